#!/usr/bin/env python3
"""
chat-server: who hears what, who is held up, and who has to go.

usage: chat-server.py PROGRAM
"""

import signal
import sys

from harness import MEBIBYTE, Program, Worker, case, connect, fillUntilBlocked, main, need, readAll, readExactly, runClient, same

program = sys.argv[1]


def join(server, count):
    """Connections which all take part."""
    clients = [connect(server) for _ in range(count)]
    for client in clients:
        same(readExactly(client, 8), b'welcome\n')
    return clients


@case
def everybodyHears():
    with Program(program, 0) as server:
        clients = join(server, 5)
        for index, client in enumerate(clients):
            client.sendall(b'from %d\n' % index)
            for other in clients:
                if other is not client:
                    same(readExactly(other, 7), b'from %d\n' % index)
        for client in clients:
            client.close()
        server.waitIdle()


@case
def wholeLines():
    """What two say at once in pieces comes out line by line."""
    with Program(program, 0) as server:
        one, two, listener = join(server, 3)
        one.sendall(b'one ')
        two.sendall(b'two ')
        one.sendall(b'one\n')
        same(readExactly(listener, 8), b'one one\n')
        two.sendall(b'two\n')
        same(readExactly(listener, 8), b'two two\n')
        one.sendall(b'x' * 5000 + b'\n')  # too long to be held back
        same(readExactly(listener, 5001), b'x' * 5000 + b'\n')
        for client in (one, two, listener):
            client.close()
        server.waitIdle()


@case
def socatTalks():
    """socat says what it hears to a client that does the same."""
    need('socat')
    with Program(program, 0) as server:
        one, = join(server, 1)
        address = f'TCP:{server.host}:{server.port}'
        same(runClient('socat', '-t', 0, '-u', '-', address, data=b'hello\n'), b'')
        same(readExactly(one, 6), b'hello\n')
        one.close()
        server.waitIdle()


@case
def slowClientHoldsUp():
    """Who talks has to wait for who doesn't read, and nothing is lost then."""
    with Program(program, 0) as server:
        talker, slow = join(server, 2)
        line = b'y' * 999 + b'\n'
        sent, rest = fillUntilBlocked(talker, [line * 1000] * 200, 200 * MEBIBYTE)
        assert sent < 64 * MEBIBYTE, f"{sent} bytes were taken for a client that reads nothing"
        assert server.memory() < server.memoryBound(), f"{server.memory()} bytes of memory"
        writer = Worker(talker.sendall, rest)
        whole = (sent + len(rest)) // len(line) * len(line)
        same(Worker(slow.makefile('rb').read, whole).join(), line * (whole // len(line)))
        writer.join()
        talker.close()
        slow.close()
        server.waitIdle()


@case
def idleClientsGo():
    """Silent ones are dismissed, connected to nothing but patience."""
    with Program(program, 0, 50) as server:
        with connect(server) as one, connect(server) as two:
            same(readAll(one), b'welcome\n')
            same(readAll(two), b'welcome\n')
            server.waitIdle()


@case
def stuckClientGoes():
    """Who reads nothing is dismissed at last, and the talker goes on."""
    with Program(program, 0, 4000) as server:
        talker, stuck = join(server, 2)
        line = b'z' * 999 + b'\n'
        Worker(talker.sendall, line * 64 * 1000).join()
        talker.close()
        stuck.close()
        server.waitIdle()


@case
def terminateWhileConnected():
    with Program(program, 0) as server:
        one, two = join(server, 2)
        one.sendall(b'last words\n')
        same(readExactly(two, 11), b'last words\n')
        server.signal(signal.SIGTERM)
        same(one.recv(100), b'')
        same(two.recv(100), b'')
        server.finish()
        one.close()
        two.close()


main('chat-server')
