#!/usr/bin/env python3
"""
lines, a client on the FILE* bridge, against socat and a server of our own.

usage: lines.py PROGRAM
"""

import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile

from harness import HOST, LIMIT, MEBIBYTE, Worker, case, isListening, main, need, readAll, readExactly, same, waitFor

program = sys.argv[1]
text = b''.join(b'line %d %s\n' % (number, b'x' * (number % 300)) for number in range(40000))


class Client:
    """The example as a child process; as a context it must end by itself, with status 0 unless told."""

    def __init__(self, address, port, *lines, source=subprocess.PIPE, status=0):
        self.status = status
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([program, address, str(port), *lines], stdin=source, bufsize=0,
                                        stdout=subprocess.PIPE, stderr=self.errors)

    def say(self, data):
        self.process.stdin.write(data)

    def endInput(self):
        self.process.stdin.close()

    def readLine(self):
        ready, _, _ = select.select([self.process.stdout], [], [], LIMIT)
        assert ready, "no line"
        return self.process.stdout.readline()

    def isSilent(self):
        return not select.select([self.process.stdout], [], [], 0)[0]

    def readAll(self):
        return self.process.stdout.read()

    def words(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors='replace')

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                status = self.process.wait(timeout=LIMIT)
                assert status == self.status, f"status {status}: {self.words()}"
                for sign in ('Sanitizer', 'runtime error'):
                    assert sign not in self.words(), self.words()
        finally:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    stream.close()


@contextlib.contextmanager
def listening():
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(LIMIT)
        yield server


def accept(server):
    connection, _ = server.accept()
    connection.settimeout(LIMIT)
    return connection


def portOf(server):
    return server.getsockname()[1]


@contextlib.contextmanager
def socat(command):
    """socat as a server for one connection, whose command answers."""
    need('socat')
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'server')
        process = subprocess.Popen(['socat', '-t', str(LIMIT), 'UNIX-LISTEN:' + path, command],
                                   stdin=subprocess.DEVNULL)
        try:
            waitFor(process, lambda: isListening(path), "a listening socket")
            yield 'unix:' + path
        finally:
            process.kill()
            process.wait()


@case
def linesOfArguments():
    with listening() as server, Client(HOST, portOf(server), 'one', 'two words', '', 'last') as client:
        with accept(server) as connection:
            same(readAll(connection), b'one\ntwo words\n\nlast\n')
            connection.sendall(b'an answer\nafter the end\n')
        same(client.readAll(), b'an answer\nafter the end\n')


@case
def socatAnswers():
    with socat('SYSTEM:tr a-z A-Z') as address, Client(address, '-', 'one', 'two') as client:
        same(client.readAll(), b'ONE\nTWO\n')


def echo(server):
    """Not socat with cat: the two block each other when much is on its way both ways."""
    with accept(server) as connection:
        while data := connection.recv(MEBIBYTE):
            connection.sendall(data)


@case
def longPipe():
    """7 MB there and back."""
    with listening() as server, Client(HOST, portOf(server)) as client:
        writer = Worker(lambda: (client.say(text), client.endInput()))
        answerer = Worker(echo, server)
        same(client.readAll(), text)
        writer.join()
        answerer.join()


@case
def regularFile():
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        with listening() as server, Client(HOST, portOf(server), source=file) as client:
            answerer = Worker(echo, server)
            same(client.readAll(), text)
            answerer.join()


@case
def emptyInput():
    with listening() as server, Client(HOST, portOf(server), source=subprocess.DEVNULL) as client:
        with accept(server) as connection:
            same(readAll(connection), b'')
            connection.sendall(b'nothing?\n')
        same(client.readAll(), b'nothing?\n')


@case
def conversation():
    """Each line leaves at once although the input stays open, and each answer is printed at once."""
    with listening() as server, Client(HOST, portOf(server)) as client:
        with accept(server) as connection:
            for number in range(100):
                line = b'question %d\n' % number
                client.say(line)
                same(readExactly(connection, len(line)), line)
                connection.sendall(b'answer %d\n' % number)
                same(client.readLine(), b'answer %d\n' % number)
            client.endInput()
            same(readAll(connection), b'')
        same(client.readAll(), b'')


@case
def partialLines():
    """A line is printed when it is whole; the last one, which lacks its end, at the end."""
    with listening() as server, Client(HOST, portOf(server)) as client:
        with accept(server) as connection:
            for byte in b'byte by byte':
                connection.sendall(bytes([byte]))
                client.say(b'.')
                same(readExactly(connection, 1), b'.')
                assert client.isSilent(), "part of a line is printed"
            connection.sendall(b'\nnext\nlast')
            same(client.readLine(), b'byte by byte\n')
            same(client.readLine(), b'next\n')
        same(client.readAll(), b'last\n')


@case
def slowServer():
    """Who takes nothing isn't sent the whole input: the client stops reading it."""
    with listening() as server, Client(HOST, portOf(server)) as client:
        with accept(server) as connection:
            os.set_blocking(client.process.stdin.fileno(), False)
            total = 0
            while select.select([], [client.process.stdin], [], 1)[1] and total < 256 * MEBIBYTE:
                total += client.process.stdin.write(b'x' * 4095 + b'\n') or 0
            assert total < 64 * MEBIBYTE, f"{total} bytes taken"
            client.endInput()
            same(len(readAll(connection)), total)


@case
def refusedConnection():
    with listening() as server:
        port = portOf(server)
    with Client(HOST, port, 'nobody hears this', status=1) as client:
        same(client.readAll(), b'')
        client.process.wait(timeout=LIMIT)
        assert 'Connection refused' in client.words(), client.words()


@case
def resetConnection():
    with listening() as server, Client(HOST, portOf(server), status=1) as client:
        with accept(server) as connection:
            connection.sendall(b'before\n')
            same(client.readLine(), b'before\n')
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        same(client.readAll(), b'')
        client.process.wait(timeout=LIMIT)
        assert 'Connection reset' in client.words(), client.words()


main('lines')
