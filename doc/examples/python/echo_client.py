#!/usr/bin/env python3
"""
echo_client: sends its standard input over a TCP connection and writes what comes back to its standard
output, until the peer ends.

    python3 echo_client.py HOST PORT < data > same-data

Input and output are sockets, too (MODE_FILE_IO): buffers are handed on, and Python touches no byte.
"""

import sys

import fastsocket
from fastsocket import MODE_FILE_IO, POLLERR, POLLHUP, POLLIN, POLLOUT

LIMIT = 1024 * 1024  # bytes queued at which we stop reading the other side

ring = fastsocket.Ring()
error, ended = None, False


def handle_event(socket, event, parameter):
    global error, ended
    to = connection if socket is source else sink
    if event == POLLIN:
        try:
            socket.forward(to)
        except BrokenPipeError:
            return  # POLLERR and POLLHUP tell soon
        if to.outbound_length >= LIMIT:
            socket.pause()  # until POLLOUT
    elif event == POLLOUT:
        (source if socket is connection else connection).resume()
    elif event == POLLERR:
        error = socket.error_text
    elif event == POLLHUP and socket is not source:
        ended = True
    elif not error:
        connection.shutdown()


connection = fastsocket.Socket(ring, ':'.join(sys.argv[1:]), handle_event)
source = fastsocket.Socket(ring, 0, handle_event, MODE_FILE_IO)
sink = fastsocket.Socket(ring, 1, handle_event, MODE_FILE_IO)
sink.pause()  # a terminal is read, too: by the source alone
while not ended:
    ring.wait()
for socket in (connection, source, sink):
    socket.release()
while ring.pending:
    ring.wait()
left = ring.close()
if error:
    sys.exit(error)
if left.sockets or left.buffers:
    sys.exit(f'left: {left.sockets} sockets, {left.buffers} buffers')
