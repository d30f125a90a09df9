#!/usr/bin/env python3
"""
workers: a pool of threads works on what is received, and the answers stay in order.

usage: workers.py PROGRAM
"""

import signal
import socket
import struct
import subprocess
import sys

from harness import HOST, LIMIT, MEBIBYTE, Program, Worker, case, connect, fillUntilBlocked, main, need, randomBlocks, readAll, readExactly, runClient, same

program = sys.argv[1]
data = b''.join(randomBlocks(4 * MEBIBYTE + 321))


def hexadecimal(part):
    return part.hex().encode()


@case
def inOrder():
    """Many jobs of one connection, done by several threads."""
    need('socat')
    with Program(program, HOST, 0, 8) as server:
        same(runClient('socat', '-t', LIMIT, '-', f'TCP:{HOST}:{server.port}', data=data), hexadecimal(data))
        server.waitIdle()


@case
def manyClients():
    need('socat')
    with Program(program, HOST, 0) as server:
        parts = [data[index * 50000:(index + 5) * 50000] for index in range(20)]
        workers = [Worker(lambda part: runClient('socat', '-t', LIMIT, '-', f'TCP:{HOST}:{server.port}', data=part), part)
                   for part in parts]
        for worker, part in zip(workers, parts):
            same(worker.join(), hexadecimal(part))
        server.waitIdle()


@case
def oneByOne():
    """Nothing but the event wakes the loop for an answer."""
    with Program(program, HOST, 0, 1) as server:
        with connect(server) as client:
            for size in range(1, 200):
                client.sendall(data[:size])
                same(readExactly(client, 2 * size), hexadecimal(data[:size]))
        server.waitIdle()


@case
def brokenConnection():
    """Jobs of a connection that is gone come back to nobody."""
    with Program(program, HOST, 0) as server:
        for _ in range(30):
            client = connect(server)
            client.sendall(data[:200000])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            client.close()
        with connect(server) as client:
            client.sendall(b'still here')
            client.shutdown(socket.SHUT_WR)
            same(readAll(client), hexadecimal(b'still here'))
        server.waitIdle()


@case
def stalledReader():
    """Who sends without reading is held up, and loses nothing when it reads at last."""
    with Program(program, HOST, 0) as server:
        with connect(server, 65536) as client:
            blocks = list(randomBlocks(64 * MEBIBYTE))
            sent, _ = fillUntilBlocked(client, blocks, len(blocks) * MEBIBYTE)
            assert sent < 32 * MEBIBYTE, f"{sent} bytes were taken from a client that reads nothing"
            assert server.memory() < server.memoryBound(), f"{server.memory()} bytes of memory"
            client.shutdown(socket.SHUT_WR)
            same(readAll(client), hexadecimal(b''.join(blocks)[:sent]))
        server.waitIdle()


@case
def terminateWhileConnected():
    """The answers to what was taken are still sent, then everything ends."""
    with Program(program, HOST, 0) as server:
        with connect(server) as client:
            client.sendall(b'before')
            same(readExactly(client, 12), hexadecimal(b'before'))
            server.signal(signal.SIGTERM)
            same(readAll(client), b'')
            server.finish()


@case
def terminateAtWork():
    """In the middle of it: what comes is a beginning of the whole, and the program ends."""
    with Program(program, HOST, 0) as server:
        with connect(server) as client:
            _, _ = fillUntilBlocked(client, [data], len(data))
            server.signal(signal.SIGTERM)
            answer = b''
            try:
                while part := client.recv(MEBIBYTE):
                    answer += part
            except ConnectionResetError:
                pass  # there was input that nobody took
            same(answer, hexadecimal(data)[:len(answer)])
            server.finish()


@case
def wrongArguments():
    for threads in ('0', '65'):
        same(subprocess.run([program, HOST, '0', threads], capture_output=True, timeout=LIMIT).returncode, 1)


main('workers')
