#!/usr/bin/env python3
"""
udp-echo against socat and ncat, on UDP and AF_UNIX datagram sockets.

Datagrams may get lost only when a queue is full: here each one waits for the answer to the last.

usage: udp-echo.py PROGRAM
"""

import os
import signal
import socket
import sys
import tempfile

from harness import HOST, LIMIT, Program, Skip, Talk, case, main, need, randomBlocks, same

program = sys.argv[1]
data = b''.join(randomBlocks(70000))
sizes = [1, 2, 15, 16, 17, 500, 1472, 1473, 8000]  # socat reads and writes 8 KiB at a time


def converse(talk):
    for size in sizes:
        same(talk.exchange(data[:size]), data[:size])


@case
def socatUdp():
    need('socat')
    with Program(program, HOST, 0) as server:
        with Talk('socat', '-', f'UDP:{HOST}:{server.port}') as talk:
            converse(talk)


@case
def socatUdp6():
    need('socat')
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(('::1', 0))
    except OSError as error:
        raise Skip(f"no IPv6 here: {error}")
    with Program(program, '::1', 0) as server:
        with Talk('socat', '-', f'UDP6:[::1]:{server.port}') as talk:
            converse(talk)


@case
def ncatUdp():
    need('ncat')
    with Program(program, HOST, 0) as server:
        with Talk('ncat', '-u', HOST, server.port) as talk:
            converse(talk)


@case
def socatUnix():
    need('socat')
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'server')
        with Program(program, 'unix:' + path):
            with Talk('socat', '-', f'UNIX-SENDTO:{path},bind={directory}/client') as talk:
                converse(talk)
        assert not os.path.exists(path), "the socket is left in the file system"


@case
def ncatUnix():
    need('ncat')
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'server')
        with Program(program, 'unix:' + path):
            with Talk('ncat', '-U', '-u', '-s', f'{directory}/client', path) as talk:
                converse(talk)


@case
def twoClients():
    """Each gets its own answers."""
    need('socat')
    with Program(program, HOST, 0) as server:
        with Talk('socat', '-', f'UDP:{HOST}:{server.port}') as one, Talk('socat', '-', f'UDP:{HOST}:{server.port}') as two:
            for index in range(50):
                same(one.exchange(b'one %d' % index), b'one %d' % index)
                same(two.exchange(b'two %d' % index), b'two %d' % index)


@case
def emptyAndLargest():
    with Program(program, HOST, 0) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(LIMIT)
            client.connect((HOST, server.port))
            for size in (0, 65507, 0, 1, 0, 0, 40000):
                client.send(data[:size])
                same(client.recv(70000), data[:size])


@case
def goneSender():
    """The answer to a sender that is gone harms nobody else."""
    with Program(program, HOST, 0) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(LIMIT)
            client.connect((HOST, server.port))
            for index in range(20):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                    other.sendto(b'answer me', (HOST, server.port))
                client.send(b'me too %d' % index)
                same(client.recv(100), b'me too %d' % index)


@case
def namelessAndGoneUnixSender():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'server')
        with Program(program, 'unix:' + path):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.settimeout(LIMIT)
                client.bind(os.path.join(directory, 'client'))
                client.connect(path)
                for index in range(20):
                    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
                        if index % 2:
                            other.bind(os.path.join(directory, f'other-{index}'))
                        other.sendto(b'answer me', path)
                    client.send(b'me too %d' % index)
                    same(client.recv(100), b'me too %d' % index)


@case
def interrupt():
    with Program(program, HOST, 0, stopSignal=signal.SIGINT):
        pass


main('udp-echo')
