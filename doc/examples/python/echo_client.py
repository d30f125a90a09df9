#!/usr/bin/env python3
"""
echo_client: sends its standard input over a TCP connection and writes what comes back to its standard
output, until the peer ends.

    python3 echo_client.py ADDRESS PORT < data > same-data

Input is read right into buffers of the library's, which then leave without another copy.
"""

import os
import select
import socket
import sys

import fastsocket
from fastsocket import POLLERR, POLLHUP, POLLIN, POLLOUT

INPUT, OUTPUT = 0, 1
BLOCK = 65536
OUTBOUND_LIMIT = 1024 * 1024  # bytes queued at which we stop reading our input


class Client:
    def __init__(self, ring, connection):
        self.ring = ring
        self.error = 0
        self.ended = False
        self.socket = fastsocket.Socket(ring, connection, self.handle_event)
        self.input = fastsocket.Watch(ring, INPUT, POLLIN, self.handle_input)

    def handle_input(self, watch, result):
        # A report can come late: what woke the kernel's poll may have been read already. We ask again,
        # since our standard input may block (and whether it does isn't ours alone to change).
        if not select.select([INPUT], [], [], 0)[0]:
            return
        buffer = self.ring.allocate(BLOCK)
        buffer.set_length(os.readv(INPUT, [buffer.memory]))
        if len(buffer) == 0:
            self.stop_input()
            self.socket.shutdown()
            return
        self.socket.transmit(buffer)
        if self.socket.outbound_length >= OUTBOUND_LIMIT:
            watch.update(0)  # until POLLOUT

    def handle_event(self, connection, event, parameter):
        if event == POLLIN:
            while (buffer := connection.receive()) is not None:
                self.write(buffer.data)
        elif event == POLLOUT and self.input is not None:
            self.input.update(POLLIN)
        elif event == POLLERR:
            self.error = parameter
            self.stop_input()
        elif event == POLLHUP:
            self.ended = True
            self.stop_input()
            connection.release()

    def write(self, data):
        while data:
            data = data[os.write(OUTPUT, data):]

    def stop_input(self):
        if self.input is not None:
            self.input.remove()
            self.input = None


def main():
    ring = fastsocket.Ring()
    client = Client(ring, socket.create_connection((sys.argv[1], int(sys.argv[2]))))
    while not client.ended or ring.pending:
        ring.wait()
    left = ring.close()
    if client.error:
        sys.exit(os.strerror(client.error))
    if left.sockets or left.buffers:
        sys.exit(f'left: {left.sockets} sockets, {left.buffers} buffers')


main()
