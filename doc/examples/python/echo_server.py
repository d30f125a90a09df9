#!/usr/bin/env python3
"""
echo_server: sends back whatever it receives on TCP connections.

    python3 echo_server.py [HOST [PORT]]    127.0.0.1 and 7000 by default; port 0 = any

../echo-server.c tells more. Buffers are handed on as they came: Python touches no byte.
"""

import signal
import socket
import sys
import fastsocket
from fastsocket import POLLHUP, POLLIN, POLLOUT

LIMIT = 1024 * 1024  # bytes queued at which we stop reading from a connection
host = sys.argv[1] if len(sys.argv) > 1 else '127.0.0.1'
port = sys.argv[2] if len(sys.argv) > 2 else 7000
ring = fastsocket.Ring()
connections = set()
stopped = False


def handle_event(connection, event, parameter):
    if event == POLLIN:
        try:
            connection.forward(connection)
        except BrokenPipeError:
            return  # POLLHUP tells soon
        if connection.outbound_length >= LIMIT:
            connection.pause()  # until POLLOUT: the peer sends without reading
    elif event == POLLOUT:
        connection.resume()
    elif event == POLLHUP:
        connections.remove(connection)
        connection.release()  # what is queued still leaves


def stop(number):
    global stopped
    stopped = True


listener = fastsocket.Listener(ring, f'{host}:{port}', lambda handle:
                               connections.add(fastsocket.Socket(ring, handle, handle_event)))
signals = [fastsocket.Signal(ring, number, stop) for number in (signal.SIGINT, signal.SIGTERM)]
with socket.fromfd(listener.fileno(), socket.AF_INET, socket.SOCK_STREAM) as listening:
    port = listening.getsockname()[1]
print(f'listening on {host}:{port}', flush=True)
while not stopped:
    ring.wait()

listener.release()
for connection in connections:
    connection.release()
while ring.pending:
    ring.wait()
left = ring.close()
if left.sockets or left.buffers:
    sys.exit(f'left: {left.sockets} sockets, {left.buffers} buffers')
