#!/usr/bin/env python3
"""
chat-tty, a terminal and a connection in one loop: with chat-server, with servers of our own and of
socat's, on terminals, pipes and files.

usage: chat-tty.py PROGRAM CHAT_SERVER
"""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import tempfile

from filters import OLDER, Filter, Terminal, blocks, drain, feed, fill, quiet, readEnd, readExactly
from harness import HOST, LIMIT, MEBIBYTE, Program, Worker, case, isListening, main, need, readAll, same, waitFor
from harness import readExactly as receiveExactly

program, chatServer = sys.argv[1:3]
PIPE = subprocess.PIPE


@contextlib.contextmanager
def listening():
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(LIMIT)
        yield server


def accept(server):
    connection, _ = server.accept()
    connection.settimeout(LIMIT)
    return connection


def chat(server, *, stdin=PIPE, stdout=PIPE, **options):
    port = server.port if isinstance(server, Program) else server.getsockname()[1]
    return Filter(program, HOST, str(port), stdin=stdin, stdout=stdout, **options)


def echo(server):
    with accept(server) as connection:
        while data := connection.recv(MEBIBYTE):
            connection.sendall(data)


# ---- conversations ----

@case
def twoTerminals():
    """Each sees what the other types, by way of chat-server; ^D ends one, then the other."""
    with Program(chatServer, 0) as server, Terminal() as one, Terminal() as two:
        with chat(server, stdin=one.handle, stdout=one.handle), chat(server, stdin=two.handle, stdout=two.handle):
            for terminal in (one, two):
                same(terminal.see(9), b'welcome\r\n')
            for number in range(20):
                line = b'hello %d' % number
                for mine, other in ((one, two), (two, one)):
                    mine.type(line + b'\n')
                    same(mine.see(len(line) + 2), line + b'\r\n', 'echo')
                    same(other.see(len(line) + 2), line + b'\r\n', 'what the other sees')
            for terminal in (one, two):
                terminal.type(b'\x04')
        server.waitIdle()


@case
def terminalAndPipes():
    """The last words are heard although they end without a line's end and the input with them."""
    with Program(chatServer, 0) as server, Terminal() as terminal:
        with chat(server, stdin=terminal.handle, stdout=terminal.handle):
            same(terminal.see(9), b'welcome\r\n')
            with chat(server) as piped:
                same(readExactly(piped.process.stdout.fileno(), 8), b'welcome\n')
                terminal.type(b'to the pipe\n')
                same(readExactly(piped.process.stdout.fileno(), 12), b'to the pipe\n')
                same(terminal.see(13), b'to the pipe\r\n', 'echo')
                piped.process.stdin.write(b'to the terminal\n')
                piped.process.stdin.close()
                readEnd(piped.process.stdout.fileno())
            same(terminal.see(17), b'to the terminal\r\n')
            terminal.type(b'\x04')
        server.waitIdle()


def much(total, featuresOff=None):
    with listening() as server, chat(server, featuresOff=featuresOff) as client:
        answerer = Worker(echo, server)
        writer = Worker(feed, client.process.stdin.fileno(), total)
        same(drain(client.process.stdout.fileno(), total), writer.join(), 'sha256')
        assert client.memory() < client.memoryBound(), f"{client.memory()} bytes of memory"
        client.process.stdin.close()
        readEnd(client.process.stdout.fileno())
        answerer.join()


@case
def muchThroughPipes():
    much(128 * MEBIBYTE + 12345)


@case
def muchWithOlderKernel():
    much(16 * MEBIBYTE + 12345, OLDER)


@case
def muchThroughTerminal():
    """Any bytes, both ways at once, between a terminal and an echo."""
    for featuresOff in (None, OLDER):
        with listening() as server, Terminal(raw=True) as terminal, \
                chat(server, stdin=terminal.handle, stdout=terminal.handle, status=1, featuresOff=featuresOff):
            answerer = Worker(echo, server)
            writer = Worker(feed, terminal.side, MEBIBYTE)
            same(drain(terminal.side, MEBIBYTE), writer.join(), 'sha256')
            terminal.hangUp()
            answerer.join()


@case
def files():
    text = b''.join(bytes(block) for block in blocks(4 * MEBIBYTE + 12345))
    with listening() as server, tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as sink:
        source.write(text)
        source.seek(0)
        answerer = Worker(echo, server)
        with chat(server, stdin=source, stdout=sink):
            pass
        answerer.join()
        sink.seek(0)
        same(sink.read(), text)


@case
def socatAnswers():
    """By a path; both sides have little to say."""
    need('socat')
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'server')
        server = subprocess.Popen(['socat', '-t', str(LIMIT), 'UNIX-LISTEN:' + path, 'SYSTEM:tr a-z A-Z'],
                                  stdin=subprocess.DEVNULL)
        try:
            waitFor(server, lambda: isListening(path), "a listening socket")
            with Filter(program, 'unix:' + path, stdin=PIPE, stdout=PIPE) as client:
                client.process.stdin.write(b'loud\nlouder\n')
                client.process.stdin.close()
                same(client.process.stdout.read(), b'LOUD\nLOUDER\n')
        finally:
            server.kill()
            server.wait()


# ---- the ends ----

@case
def endOfInput():
    """^D: the server hears the end, and what it says then is printed."""
    with listening() as server, Terminal() as terminal, \
            chat(server, stdin=terminal.handle) as client, accept(server) as connection:
        terminal.type(b'a question\n\x04')
        same(readAll(connection), b'a question\n')
        connection.sendall(b'an answer\nafter the end\n')
        same(readExactly(client.process.stdout.fileno(), 24), b'an answer\nafter the end\n')
        connection.close()
        readEnd(client.process.stdout.fileno())


@case
def endOfServer():
    """Our input stays open and silent: the server's end is ours all the same, after what it has said."""
    answer = b'z' * 4 * MEBIBYTE
    with listening() as server, chat(server) as client, accept(server) as connection:
        writer = Worker(lambda: (connection.sendall(answer), connection.close()))
        same(readExactly(client.process.stdout.fileno(), len(answer)), answer)
        readEnd(client.process.stdout.fileno())
        writer.join()
        same(client.finish(), '')


@case
def slowServer():
    """What the server doesn't take isn't read from the input; when it takes it, all comes."""
    with listening() as server, chat(server) as client, accept(server) as connection:
        taken = fill(client.process.stdin.fileno(), 64 * MEBIBYTE, client)
        with quiet(client):
            same(fill(client.process.stdin.fileno(), 1, client), b'')
        client.process.stdin.close()
        same(readAll(connection), taken)


@case
def slowTerminal():
    """What the terminal doesn't take isn't read from the server; typing goes on meanwhile."""
    with listening() as server, Terminal(raw=True) as terminal, \
            chat(server, stdin=terminal.handle, stdout=terminal.handle) as client, accept(server) as connection:
        taken = fill(connection.fileno(), 64 * MEBIBYTE, client)
        connection.settimeout(LIMIT)
        with quiet(client):
            terminal.type(b'enough!')
            same(receiveExactly(connection, 7), b'enough!')
        assert client.memory() < client.memoryBound(), f"{client.memory()} bytes of memory"
        connection.close()
        same(terminal.see(len(taken)), taken)


# ---- hang-up ----

@case
def hangUpWhileIdle():
    """It is reported, what was typed has arrived, and the server hears the end."""
    for featuresOff in (None, OLDER):
        for ofSession in (False, True):
            with listening() as server, Terminal() as terminal, \
                    chat(server, stdin=terminal.handle, stdout=terminal.handle, status=1, featuresOff=featuresOff,
                         terminal=terminal.handle if ofSession else None) as client, \
                    accept(server) as connection:
                terminal.type(b'last words\n')
                same(receiveExactly(connection, 11), b'last words\n')
                with quiet(client):
                    terminal.hangUp()
                    same(readAll(connection), b'')
                    client.waitEnd()
                same(client.finish(), 'terminal: hung up\n')


@case
def hangUpWhilePrinting():
    """The output waits for the terminal that goes, and the input is another one."""
    for featuresOff in (None, OLDER):
        with listening() as server, Terminal(raw=True) as terminal, \
                chat(server, stdout=terminal.handle, status=1, featuresOff=featuresOff) as client, \
                accept(server) as connection:
            fill(connection.fileno(), 64 * MEBIBYTE, client)
            with quiet(client):
                terminal.hangUp()
                client.waitEnd()
            same(client.finish(), 'terminal: hung up\n')


@case
def hangUpAfterInput():
    """The input was a file and has ended, and the server says nothing: the terminal is missed all the same."""
    with listening() as server, Terminal() as terminal, \
            chat(server, stdin=subprocess.DEVNULL, stdout=terminal.handle, status=1) as client, \
            accept(server) as connection:
        same(readAll(connection), b'')
        with quiet(client):
            terminal.hangUp()
            client.waitEnd()
        same(client.finish(), 'terminal: hung up\n')


@case
def hangUpWhileSending():
    """A server that takes its time gets all that we had read."""
    with listening() as server, Terminal(raw=True) as terminal, \
            chat(server, stdin=terminal.handle, stdout=terminal.handle, status=1,
                 terminal=terminal.handle) as client, accept(server) as connection:
        taken = fill(terminal.side, 64 * MEBIBYTE, client)
        with quiet(client):
            terminal.hangUp()
            waitFor(client.process, lambda: 'hung up' in client.readErrors(), "a report")
        found = readAll(connection)
        assert len(found) > 256 * 1024, f"only {len(found)} bytes"
        same(found, taken[:len(found)])


# ---- what fails ----

@case
def refusedConnection():
    with listening() as server:
        port = server.getsockname()[1]
    with Filter(program, HOST, str(port), stdin=PIPE, stdout=PIPE, status=1) as client:
        same(client.process.stdout.read(), b'')
        same(client.finish(), 'connection: Connection refused\n')


@case
def resetConnection():
    """What came before is printed."""
    with listening() as server, chat(server, status=1) as client:
        with accept(server) as connection:
            connection.sendall(b'before')
            same(readExactly(client.process.stdout.fileno(), 6), b'before')
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        readEnd(client.process.stdout.fileno())
        same(client.finish(), 'connection: Connection reset by peer\n')


@case
def readerLeaves():
    """Nobody reads our output: an error, not a signal, and the server gets what was typed."""
    with listening() as server, chat(server, status=1) as client, accept(server) as connection:
        client.process.stdout.close()
        client.process.stdin.write(b'hello?\n')
        client.process.stdin.flush()
        same(receiveExactly(connection, 7), b'hello?\n')
        connection.sendall(b'nobody reads this')
        same(readAll(connection), b'')
        same(client.finish(), 'output: Broken pipe\n')


@case
def wrongUse():
    for arguments in ([], [HOST], ['unix:']):
        with Filter(program, *arguments, status=1 if arguments == ['unix:'] else 2, stdin=PIPE, stdout=PIPE) as client:
            assert client.finish() != '', arguments
    with Filter('sh', '-c', 'exec "$0" 127.0.0.1 1 <&-', program, status=1, stdout=PIPE) as client:
        same(client.finish(), 'chat-tty: Bad file descriptor\n')


main('chat-tty')
