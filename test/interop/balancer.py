#!/usr/bin/env python3
"""
balancer before web servers, curl, wrk, socat and ncat, and backends of our own that are dead,
die and return, don't answer, or break.

usage: balancer.py PROGRAM ECHO-SERVER HTTP-HELLO
"""

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile

from harness import (ANY, HOST, LIMIT, MEBIBYTE, Program, Worker, case, connect, fillUntilBlocked,
                     main, need, randomBlocks, readAll, readExactly, runClient, same, waitFor)

program, echoServer, httpHello = sys.argv[1:4]
NEVER = 1000 * 1000 * 1000  # milliseconds
SOON = 200
data = b''.join(randomBlocks(16 * MEBIBYTE + 4321))


class Balancer(Program):
    def __init__(self, *backends, connecting=NEVER, checks=NEVER, idle=NEVER, drain=NEVER,
                 limit=400, address=ANY, **options):
        addresses = [getattr(backend, 'address', backend) for backend in backends]
        super().__init__(program, '-c', connecting, '-k', checks, '-i', idle, '-d', drain,
                         '-m', limit, address, *addresses, **options)
        self.status = 0
        self.descriptors = 1  # the listener: at the start there may be checks as well

    def countDescriptors(self):
        """Of sockets alone."""
        folder, count = f'/proc/{self.process.pid}/fd', 0
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                count += os.readlink(f'{folder}/{name}').startswith('socket:')
        return count

    def finish(self):
        """Notes how many connections there were, and how many got no backend; once."""
        self.expectStatus(self.status)
        if self.process.stdout.closed:
            return
        words = self.process.stdout.read().decode()
        self.process.stdout.close()
        match = re.fullmatch(r'(\d+) connections, (\d+) without a backend\n', words)
        assert match, words
        self.counts = int(match[1]), int(match[2])

    def waitTold(self, backend, state, times=1):
        """Until it has said so often that a backend is up, or down."""
        line = f'{backend.address} is {state}: '
        waitFor(self.process, lambda: self.readErrors().count(line) >= times, line)


class Backend:
    """Listens. Each connection that is not closed by the balancer's check is accepted by hand."""

    def __init__(self, bufferSize=None, port=0):
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if bufferSize is not None:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, bufferSize)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, bufferSize)
        self.listener.settimeout(LIMIT)
        self.listener.bind((HOST, port))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        self.address = f'{HOST}:{self.port}'

    def accept(self):
        connection, _ = self.listener.accept()
        connection.settimeout(LIMIT)
        return connection

    def acceptCheck(self):
        """The first connection of all, before any client's."""
        with self.accept() as connection:
            same(connection.recv(100), b'')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


class Greeter(Backend):
    """Sends its name to each client, and the end, as soon as that has said something."""

    def __init__(self, name, port=0):
        super().__init__(port=port)
        self.name = name
        self.clients = 0
        self.ended = False
        self.thread = Worker(self.serve)

    def serve(self):
        while True:
            with self.accept() as connection:
                if self.ended:
                    return
                with contextlib.suppress(ConnectionError):
                    if connection.recv(100):
                        self.clients += 1
                        connection.sendall(self.name)

    def die(self):
        """Its port refuses, and nobody waits in its backlog."""
        self.ended = True
        with socket.create_connection((HOST, self.port)):
            self.thread.join()
        self.listener.close()

    def __exit__(self, *_):
        if not self.ended:
            self.die()


class Dead:
    """A port where nobody listens, nor will."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind((HOST, 0))
        self.address = f'{HOST}:{self.socket.getsockname()[1]}'

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class WebServer:
    """Python's, in a folder with one file, which tells which server it is."""

    def __init__(self, name):
        self.folder = tempfile.TemporaryDirectory()
        with open(f'{self.folder.name}/name', 'w') as file:
            file.write(name)
        self.process = subprocess.Popen(
            [sys.executable, '-u', '-m', 'http.server', '0', '--bind', HOST, '--directory',
             self.folder.name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        line = self.process.stdout.readline().decode()
        self.address = f"{HOST}:{re.search(r'port ([0-9]+)', line)[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()


def greeting(balancer):
    """What a new client hears; nothing if it is reset."""
    with connect(balancer) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(b'hello')
            return readAll(client)
    return b''


@contextlib.contextmanager
def tunnel(bufferSize=None, **options):
    """One connection through the balancer, both ends ours."""
    with Backend(bufferSize) as backend, Balancer(backend, **options) as balancer:
        backend.acceptCheck()
        with connect(balancer, bufferSize) as client, backend.accept() as target:
            yield balancer, client, target
        if balancer.process.poll() is None:
            balancer.waitIdle()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    connection.close()


def expectReset(connection):
    try:
        words = connection.recv(100)
    except ConnectionResetError:
        return
    raise AssertionError(f"{words!r} instead of a reset")


# ---- foreign programs ----

@case
def curlTakesTurns():
    need('curl')
    with WebServer('one') as one, WebServer('two') as two:
        with Balancer(one, two, checks=SOON) as balancer:
            url = f'http://{HOST}:{balancer.port}/name'
            names = [runClient('curl', '-sSf', url) for _ in range(10)]
            same(sorted(names), [b'one'] * 5 + [b'two'] * 5)
            assert names[0] != names[1], names


@case
def wrkThroughBoth():
    """Many requests on connections that stay."""
    need('wrk')
    with Program(httpHello, ANY) as one, Program(httpHello, ANY) as two:
        backends = [f'{HOST}:{server.port}' for server in (one, two)]
        with Balancer(*backends, checks=SOON) as balancer:
            words = runClient('wrk', '-t', 1, '-c', 16, '-d', '1s', '--timeout', LIMIT,
                              f'http://{HOST}:{balancer.port}/').decode()
            assert 'Socket errors' not in words and 'Non-2xx' not in words, words
            assert int(re.search(r'(\d+) requests in', words)[1]) > 0, words
            same(balancer.readErrors(), '')


@case
def socatAndNcatThroughEcho():
    need('socat')
    need('ncat')
    with Program(echoServer, ANY) as one, Program(echoServer, ANY) as two:
        with Balancer(f'{HOST}:{one.port}', f'{HOST}:{two.port}') as balancer:
            part = data[:3 * MEBIBYTE]
            same(runClient('socat', '-t', LIMIT, '-', f'TCP:{HOST}:{balancer.port}', data=part),
                 part)
            workers = [Worker(lambda words: runClient('ncat', HOST, balancer.port, data=words),
                              part[index * 1000:]) for index in range(10)]
            for index, worker in enumerate(workers):
                same(worker.join(), part[index * 1000:])
            balancer.waitIdle()


@case
def unixAndNames():
    with tempfile.TemporaryDirectory() as folder:
        with Program(echoServer, f'unix:{folder}/echo'), Program(echoServer, ANY) as other:
            with Balancer(f'unix:{folder}/echo', f'localhost:{other.port}') as balancer:
                for _ in range(4):
                    with connect(balancer) as client:
                        client.sendall(b'hello')
                        client.shutdown(socket.SHUT_WR)
                        same(readAll(client), b'hello')


# ---- backends that fail ----

@case
def takesTurns():
    """Each connection goes to the next: none to one that is down, and its turns go round."""
    with Greeter(b'a') as a, Greeter(b'b') as b, Greeter(b'c') as c, Dead() as dead:
        with Balancer(a, b, dead, c) as balancer:
            balancer.waitTold(dead, 'down')
            same(b''.join(greeting(balancer) for _ in range(12)), b'abc' * 4)
            same((a.clients, b.clients, c.clients), (4, 4, 4))


@case
def refusingBackend():
    """It was up when it was checked last. The client that is sent there gets the next one, and so
    does what it has said."""
    with Greeter(b'living') as living, Greeter(b'dying') as dying:
        with Balancer(living, dying) as balancer:
            while not dying.clients:
                greeting(balancer)
            dying.die()
            for _ in range(6):
                same(greeting(balancer), b'living')
            same(balancer.readErrors().count('is down: '), 1, 'changes')
            balancer.signal(signal.SIGTERM)
            balancer.finish()
            same(balancer.counts[1], 0, 'without a backend')


@case
def allRefuse():
    """The client is reset at once, the balancer goes on, and finds out who returns."""
    with Dead() as first, Greeter(b'second') as second:
        with Balancer(first, second, checks=SOON) as balancer:
            same(greeting(balancer), b'second')
            port = second.port
            second.die()
            for _ in range(5):
                # It may be reset before it knows that it is connected.
                with contextlib.suppress(ConnectionResetError), connect(balancer) as client:
                    same(client.recv(100), None)
            balancer.waitTold(second, 'down')
            with Greeter(b'again', port):
                balancer.waitTold(second, 'up')
                same(greeting(balancer), b'again')
            balancer.signal(signal.SIGTERM)
            balancer.finish()
            assert balancer.counts[1] >= 5, balancer.counts


@case
def diesAndReturns():
    with Greeter(b'living') as living, Greeter(b'mortal') as mortal:
        with Balancer(living, mortal, checks=SOON) as balancer:
            same({greeting(balancer) for _ in range(2)}, {b'living', b'mortal'})
            mortal.die()
            balancer.waitTold(mortal, 'down')  # by a check: nobody has come meanwhile
            same({greeting(balancer) for _ in range(4)}, {b'living'})
            with Greeter(b'immortal', mortal.port):
                balancer.waitTold(mortal, 'up')
                same({greeting(balancer) for _ in range(2)}, {b'living', b'immortal'})


@case
def unreachableBackend():
    """One whose system doesn't answer to connections: the timeout finds it out, for the client that
    waits, too."""
    with contextlib.ExitStack() as stack:
        mute = stack.enter_context(Backend())
        mute.listener.listen(0)
        # Its backlog is full when a connection isn't made any more.
        while True:
            other = stack.enter_context(socket.socket())
            other.settimeout(1)
            try:
                other.connect((HOST, mute.port))
            except TimeoutError:
                break
        living = stack.enter_context(Greeter(b'living'))
        with Balancer(mute, living, connecting=SOON * 5) as balancer:
            for _ in range(4):
                same(greeting(balancer), b'living')
            balancer.waitTold(mute, 'down')


# ---- the way through ----

def stall(balancer, sender, receiver):
    """More than all systems keep; the receiver reads nothing until the sender is stuck, then in
    small pieces."""
    size = 4 * len(data)
    sent, rest = fillUntilBlocked(sender, [data] * 4, size)
    assert sent < size, f"{sent} bytes were taken though nobody reads"
    assert balancer.memory() < balancer.memoryBound(), f"{balancer.memory()} bytes in the stall"
    left = len(rest) + (size - sent - len(rest)) // len(data) * len(data)
    worker = Worker(lambda: (sender.sendall((rest + 4 * data)[:left]),
                             sender.shutdown(socket.SHUT_WR)))
    with receiver.makefile('rb', buffering=0) as stream:
        parts = []
        while part := stream.read(4096):
            parts.append(part)
    same(b''.join(parts), 4 * data)
    worker.join()
    assert balancer.memory() < balancer.memoryBound(), f"{balancer.memory()} bytes of memory"


@case
def slowClient():
    with tunnel(65536) as (balancer, client, target):
        stall(balancer, target, client)


@case
def slowBackend():
    with tunnel(65536) as (balancer, client, target):
        stall(balancer, client, target)


@case
def halfClose():
    """The end of the request is passed on, and the reply that follows it comes through."""
    with tunnel() as (balancer, client, target):
        client.sendall(b'question')
        client.shutdown(socket.SHUT_WR)
        same(readAll(target), b'question')
        worker = Worker(lambda: (target.sendall(data), target.shutdown(socket.SHUT_WR)))
        same(readAll(client), data)
        worker.join()


@case
def halfCloseByBackend():
    with tunnel() as (balancer, client, target):
        target.sendall(b'welcome')
        target.shutdown(socket.SHUT_WR)
        same(readAll(client), b'welcome')
        worker = Worker(lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        same(readAll(target), data)
        worker.join()


@case
def backendBreaks():
    """In the middle of its reply: the client must not take what it has for all."""
    with tunnel() as (balancer, client, target):
        target.sendall(b'half of a reply')
        same(readExactly(client, 15), b'half of a reply')
        reset(target)
        expectReset(client)


@case
def backendBreaksBehindItsEnd():
    """A server that doesn't read all of the request, but says all: the client gets that."""
    with tunnel(65536) as (balancer, client, target):
        fillUntilBlocked(client, [data], len(data))
        worker = Worker(readAll, client)
        target.sendall(data[:MEBIBYTE])
        target.shutdown(socket.SHUT_WR)
        same(worker.join(), data[:MEBIBYTE])
        reset(target)


@case
def clientBreaks():
    with tunnel() as (balancer, client, target):
        client.sendall(b'half of a request')
        same(readExactly(target, 17), b'half of a request')
        reset(client)
        expectReset(target)


# ---- time and number ----

@case
def idleIsCut():
    with tunnel(idle=SOON) as (balancer, client, target):
        expectReset(client)
        expectReset(target)


@case
def stuckIsCut():
    """Both talk, and neither listens: both are paused, which is not idle, and cut all the same."""
    with tunnel(65536, idle=2000) as (balancer, client, target):
        for end in (client, target):
            with contextlib.suppress(ConnectionError):
                fillUntilBlocked(end, [data], len(data))
        balancer.waitIdle()


@case
def limited():
    """Who is beyond the limit waits for one to go."""
    with Program(echoServer, ANY) as echo:
        with Balancer(f'{HOST}:{echo.port}', limit=2) as balancer:
            with connect(balancer) as one, connect(balancer) as two, connect(balancer) as three:
                three.sendall(b'three')
                for _ in range(5):
                    for client in (one, two):
                        client.sendall(b'hello')
                        same(readExactly(client, 5), b'hello')
                    waitFor(balancer.process, lambda: balancer.countDescriptors() == 5, "two")
                one.shutdown(socket.SHUT_WR)
                same(readAll(one), b'')
                same(readExactly(three, 5), b'three')
            balancer.waitIdle()


# ---- the end ----

def expectFree(balancer):
    """Its port is, so that a successor can listen there."""
    waitFor(balancer.process, lambda: not isListening(balancer.port), "it listens no more")


def isListening(port):
    """Without a connection, which would be served."""
    with open('/proc/net/tcp') as table:
        return any(line.split()[1].endswith(f':{port:04X}') and line.split()[3] == '0A'
                   for line in table)


@case
def terminateInTransfer():
    """Nobody new is accepted, and who is connected goes on to the end."""
    with tunnel(65536) as (balancer, client, target):
        sent, rest = fillUntilBlocked(target, [data], len(data))
        balancer.signal(signal.SIGTERM)
        expectFree(balancer)
        client.sendall(b'still here')
        same(readExactly(target, 10), b'still here')
        worker = Worker(lambda: (target.sendall(rest), target.shutdown(socket.SHUT_WR)))
        same(readAll(client), data)
        worker.join()
        assert balancer.process.poll() is None, "the other direction is open"
        client.shutdown(socket.SHUT_WR)
        same(readAll(target), b'')
        balancer.finish()


@case
def drainIsBounded():
    with tunnel(65536, drain=SOON) as (balancer, client, target):
        fillUntilBlocked(target, [data], len(data))
        balancer.signal(signal.SIGTERM)
        balancer.finish()
        expectReset(target)
        with contextlib.suppress(ConnectionResetError):
            assert len(readAll(client)) < len(data)


@case
def secondSignal():
    """It ends the process at once."""
    with tunnel() as (balancer, client, target):
        balancer.signal(signal.SIGTERM)
        expectFree(balancer)
        balancer.signal(signal.SIGTERM)
        balancer.status = -signal.SIGTERM
        balancer.expectStatus(balancer.status)
        balancer.process.stdout.close()
        with contextlib.suppress(ConnectionResetError):
            same(readAll(client), b'')


@case
def interrupt():
    with Dead() as dead, Balancer(dead, stopSignal=signal.SIGINT):
        pass


@case
def usage():
    for words in ([], [ANY], ['-c', '0', ANY, f'{HOST}:1'], ['-x', ANY, f'{HOST}:1'],
                  ['-m', 'many', ANY, f'{HOST}:1']):
        result = subprocess.run([program, *words], capture_output=True, timeout=LIMIT)
        same(result.returncode, 2, 'status')
        assert b'usage' in result.stderr
    result = subprocess.run([program, ANY, 'nobody'], capture_output=True, timeout=LIMIT)
    same(result.returncode, 1, 'status')
    assert result.stderr.startswith(b'nobody: '), result.stderr


main('balancer')
