#!/usr/bin/env python3
"""
pass-descriptor: descriptors go both ways, and none is left behind.

usage: pass-descriptor.py PROGRAM
"""

import contextlib
import os
import signal
import socket
import sys
import tempfile

from harness import LIMIT, Program, case, main, randomBlocks, readAll, same

program = sys.argv[1]
data = b''.join(randomBlocks(300000))


@contextlib.contextmanager
def serve():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'socket')
        with Program(program, 'unix:' + path) as server:
            yield server
        assert not os.path.exists(path), "the socket is left in the file system"


def join(server):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(LIMIT)
    client.connect(server.path)
    return client


def makeFile(content):
    file = tempfile.TemporaryFile()
    file.write(content)
    file.flush()
    return file


def takeAnswer(client):
    """The text of one answer, and what the descriptor that came with it holds."""
    text, handles, flags, _ = socket.recv_fds(client, 100, 10)
    assert not flags & socket.MSG_CTRUNC, "descriptors were cut off"
    while not text.endswith(b'\n'):
        text += client.recv(1)
    contents = []
    for handle in handles:
        with open(handle, 'rb') as file:
            file.seek(0)
            contents.append(file.read())
    return text, contents


@case
def bothWays():
    with serve() as server:
        with join(server) as client:
            for size in (0, 1, 4096, 300000):
                with makeFile(data[:size]) as file:
                    socket.send_fds(client, [b'x'], [file.fileno()])
                same(takeAnswer(client), (b'copy\n', [data[:size]]))
        server.waitIdle()


@case
def severalAtOnce():
    """Each is answered, in their order."""
    with serve() as server:
        with join(server) as client, contextlib.ExitStack() as stack:
            files = [stack.enter_context(makeFile(data[:index])) for index in range(1, 9)]
            socket.send_fds(client, [b'x'], [file.fileno() for file in files])
            for index in range(1, 9):
                same(takeAnswer(client), (b'copy\n', [data[:index]]))
        server.waitIdle()


@case
def manyMessages():
    """More than the sockets' queues hold, unread for a while."""
    with serve() as server:
        with join(server) as client, makeFile(b'the same') as file:
            for _ in range(100):
                socket.send_fds(client, [b'x'], [file.fileno()])
            for _ in range(100):
                same(takeAnswer(client), (b'copy\n', [b'the same']))
        server.waitIdle()


@case
def notAFile():
    with serve() as server:
        with join(server) as client:
            socket.send_fds(client, [b'x'], [client.fileno()])
            same(takeAnswer(client), (b'Invalid argument\n', []))
            client.sendall(b'no descriptor at all')
            with makeFile(b'after') as file:
                socket.send_fds(client, [b'x'], [file.fileno()])
            same(takeAnswer(client), (b'copy\n', [b'after']))
        server.waitIdle()


@case
def tooMany():
    """What doesn't fit is lost, and told; nothing leaks."""
    with serve() as server:
        with join(server) as client, makeFile(b'one of many') as file:
            socket.send_fds(client, [b'x'], [file.fileno()] * 40)
            for _ in range(16):
                same(takeAnswer(client), (b'copy\n', [b'one of many']))
            same(takeAnswer(client), (b'some were lost\n', []))
        server.waitIdle()


@case
def goneClient():
    """Descriptors on their way to and from a client that is gone are closed."""
    with serve() as server:
        for _ in range(20):
            with join(server) as client, makeFile(data) as file:
                for _ in range(10):
                    socket.send_fds(client, [b'x'], [file.fileno()])
        server.waitIdle()


@case
def terminateWhileConnected():
    with serve() as server:
        with join(server) as client:
            with makeFile(data[:1]) as file: # who is still in the backlog is reset
                socket.send_fds(client, [b'x'], [file.fileno()])
            same(takeAnswer(client), (b'copy\n', [data[:1]]))
            server.signal(signal.SIGTERM)
            same(readAll(client), b'')
            server.finish()


main('pass-descriptor')
