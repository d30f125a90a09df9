#!/usr/bin/env python3
"""
echo-server against socat and ncat, on TCP and AF_UNIX.

usage: echo-server.py PROGRAM
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile

from harness import HOST, MEBIBYTE, LIMIT, Program, Skip, Talk, Worker, case, connect, fillUntilBlocked, main, need, randomBlocks, readAll, readExactly, runClient, same

program = sys.argv[1]
data = b''.join(randomBlocks(8 * MEBIBYTE + 12345))


@case
def socatTcp():
    need('socat')
    with Program(program, HOST, 0) as server:
        same(runClient('socat', '-t', LIMIT, '-', f'TCP:{HOST}:{server.port}', data=data), data)
        server.waitIdle()


@case
def socatTcp6():
    need('socat')
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(('::1', 0))
    except OSError as error:
        raise Skip(f"no IPv6 here: {error}")
    with Program(program, '::1', 0) as server:
        same(runClient('socat', '-t', LIMIT, '-', f'TCP6:[::1]:{server.port}', data=data), data)
        server.waitIdle()


@case
def ncatTcp():
    need('ncat')
    with Program(program, HOST, 0) as server:
        same(runClient('ncat', HOST, server.port, data=data), data)
        server.waitIdle()


@case
def socatUnix():
    need('socat')
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'echo')
        with Program(program, 'unix:' + path) as server:
            same(server.path, path)
            same(runClient('socat', '-t', LIMIT, '-', 'UNIX-CONNECT:' + path, data=data), data)
            server.waitIdle()
        assert not os.path.exists(path), "the socket is left in the file system"


@case
def ncatUnix():
    need('ncat')
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'echo')
        with Program(program, 'unix:' + path) as server:
            same(runClient('ncat', '-U', path, data=data), data)
            server.waitIdle()


@case
def manyClients():
    """All at once, each with data of its own."""
    need('socat')
    with Program(program, HOST, 0) as server:
        parts = [data[index * 100000:(index + 5) * 100000] for index in range(40)]
        workers = [Worker(lambda part: runClient('socat', '-t', LIMIT, '-', f'TCP:{HOST}:{server.port}', data=part), part)
                   for part in parts]
        for worker, part in zip(workers, parts):
            same(worker.join(), part)
        server.waitIdle()


@case
def smallMessages():
    """Each one is answered although the connection stays open."""
    need('socat')
    with Program(program, HOST, 0) as server:
        with Talk('socat', '-', f'TCP:{HOST}:{server.port}') as talk:
            for size in list(range(1, 200)) + [1000, 10000, 65536]:
                same(talk.exchange(data[:size]), data[:size])
        server.waitIdle()


@case
def emptyConnection():
    need('socat')
    with Program(program, HOST, 0) as server:
        same(runClient('socat', '-t', LIMIT, '-', f'TCP:{HOST}:{server.port}', data=b''), b'')
        server.waitIdle()


@case
def resetConnection():
    """A client that goes without a goodbye takes nobody with it."""
    with Program(program, HOST, 0) as server:
        with connect(server) as other:
            client = connect(server)
            client.sendall(data[:100000])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            client.close()
            other.sendall(b'still here')
            other.shutdown(socket.SHUT_WR)
            same(readAll(other), b'still here')
        server.waitIdle()


@case
def stalledReader():
    """Who sends without reading is held up, and loses nothing when it reads at last."""
    with Program(program, HOST, 0) as server:
        with connect(server, 65536) as client:
            blocks = list(randomBlocks(128 * MEBIBYTE))
            sent, _ = fillUntilBlocked(client, blocks, len(blocks) * MEBIBYTE)
            assert sent < 64 * MEBIBYTE, f"{sent} bytes were taken from a client that reads nothing"
            assert server.memory() < server.memoryBound(), f"{server.memory()} bytes of memory"
            client.shutdown(socket.SHUT_WR)
            same(readAll(client), b''.join(blocks)[:sent])
        server.waitIdle()


@case
def terminateWhileConnected():
    """SIGTERM sends what is queued, ends open connections and the program."""
    with Program(program, HOST, 0) as server:
        with connect(server) as client:
            client.sendall(b'before')
            same(readExactly(client, 6), b'before')
            server.signal(signal.SIGTERM)
            same(client.recv(100), b'', 'end of the connection')
            server.finish()


@case
def interrupt():
    with Program(program, HOST, 0, stopSignal=signal.SIGINT):
        pass


@case
def portInUse():
    """A failed start has a reason and a status."""
    with Program(program, HOST, 0) as server:
        result = subprocess.run([program, HOST, str(server.port)], capture_output=True, timeout=LIMIT)
        same(result.returncode, 1, 'status')
        assert b'in use' in result.stderr, result.stderr


main('echo-server')
