#!/usr/bin/env python3
"""
echo_server: sends back whatever it receives on TCP connections.

    python3 echo_server.py [ADDRESS [PORT]]    127.0.0.1 and 7000 by default; port 0 = any

../echo-server.c tells more about what happens here. Buffers are handed on as they came: Python never
touches the bytes.
"""

import signal
import socket
import sys

import fastsocket
from fastsocket import POLLHUP, POLLIN, POLLOUT

OUTBOUND_LIMIT = 1024 * 1024  # bytes queued at which we stop reading from a connection


class Server:
    def __init__(self, ring, listening):
        self.ring = ring
        self.connections = set()
        self.listener = fastsocket.Listener(ring, listening, self.handle_connection)

    def handle_connection(self, connection):
        self.connections.add(fastsocket.Socket(self.ring, connection, self.handle_event))

    def handle_event(self, connection, event, parameter):
        if event == POLLIN:
            self.echo(connection)
        elif event == POLLOUT:
            connection.resume()
        elif event == POLLHUP:
            # The peer's end, or (after POLLERR) a broken connection: nothing is left to do but to
            # send what is queued.
            self.connections.remove(connection)
            connection.release()

    def echo(self, connection):
        try:
            while (buffer := connection.receive()) is not None:
                connection.transmit(buffer)
        except BrokenPipeError:
            return  # POLLHUP tells soon
        if connection.outbound_length >= OUTBOUND_LIMIT:
            connection.pause()  # until POLLOUT: the peer sends without reading

    def stop(self):
        """What is queued still leaves: the ring's pending tells when."""
        self.listener.release()
        while self.connections:
            self.connections.pop().release()


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else '127.0.0.1'
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 7000
    listening = socket.create_server((address, port))
    name = listening.getsockname()

    # Python writes a byte here at each signal: no moment at which one could be missed.
    signals, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.set_wakeup_fd(wakeup.fileno())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: None)

    ring = fastsocket.Ring()
    server = Server(ring, listening)
    stopped = False

    def handle_signal(watch, result):
        nonlocal stopped
        stopped = True
        watch.remove()

    fastsocket.Watch(ring, signals.fileno(), POLLIN, handle_signal)
    print(f'listening on {name[0]}:{name[1]}', flush=True)
    while not stopped:
        ring.wait()

    server.stop()
    while ring.pending:
        ring.wait()
    left = ring.close()
    if left.sockets or left.buffers:
        sys.exit(f'left: {left.sockets} sockets, {left.buffers} buffers')


main()
