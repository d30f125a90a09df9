#!/usr/bin/env python3
"""
proxy between socat and ncat, with 200 MB through it, fast and slow readers, and every kind of end.

usage: proxy.py PROGRAM ECHO-SERVER
"""

import contextlib
import functools
import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile

from harness import HOST, LIMIT, MEBIBYTE, Program, Talk, Worker, case, connect, fillUntilBlocked, hashStream, main, need, randomBlocks, readAll, readExactly, runClient, same, waitFor

program, echoServer = sys.argv[1:3]
SIZE = 200 * 1000 * 1000
data = b''.join(randomBlocks(3 * MEBIBYTE + 4321))


@functools.lru_cache
def largeFile():
    """A file of 200 MB without a repetition, and its sha256."""
    file = tempfile.NamedTemporaryFile()
    digest = hashlib.sha256()
    for block in randomBlocks(SIZE):
        file.write(block)
        digest.update(block)
    file.flush()
    return file, digest.hexdigest()


def findListeningPort(process):
    """The port on which a process listens, or None. Some tools don't tell what port 0 became."""
    try:
        handles = [os.readlink(f'/proc/{process.pid}/fd/{name}') for name in os.listdir(f'/proc/{process.pid}/fd')]
    except OSError:
        return None
    inodes = {name[8:-1] for name in handles if name.startswith('socket:[')}
    with open(f'/proc/{process.pid}/net/tcp') as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if fields[3] == '0A' and fields[9] in inodes:
                return int(fields[1].split(':')[1], 16)
    return None


class Target:
    """A foreign program that listens for one connection; its output is hashed as it comes."""

    def __init__(self, *arguments, source=subprocess.DEVNULL, blockSize=MEBIBYTE):
        self.process = subprocess.Popen([str(word) for word in arguments], stdin=source,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.hash = Worker(hashStream, self.process.stdout, blockSize)
        waitFor(self.process, lambda: findListeningPort(self.process) is not None, "a listening socket")
        self.port = findListeningPort(self.process)

    def finish(self):
        """sha256 and length of all that came, after the end."""
        result = self.hash.join()
        same(self.process.wait(timeout=LIMIT), 0, 'status of the target')
        return result

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.hash.join()
        self.process.stdout.close()


@contextlib.contextmanager
def listening(bufferSize=None):
    """A listening socket of our own."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        if bufferSize is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, bufferSize)
        listener.settimeout(LIMIT)
        listener.bind((HOST, 0))
        listener.listen()
        yield listener


@contextlib.contextmanager
def tunnel(bufferSize=None):
    """The proxy with one connection through it, both ends ours."""
    with listening(bufferSize) as listener:
        with Program(program, HOST, listener.getsockname()[1], HOST, 0) as proxy:
            with connect(proxy, bufferSize) as client:
                target, _ = listener.accept()
                target.settimeout(LIMIT)
                with target:
                    yield proxy, client, target
            if proxy.process.poll() is None:
                proxy.waitIdle()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    connection.close()


@case
def socatToSocat():
    need('socat')
    file, digest = largeFile()
    with Target('socat', '-u', f'TCP-LISTEN:0,bind={HOST}', '-') as target:
        with Program(program, HOST, target.port, HOST, 0) as proxy:
            runClient('socat', '-u', f'OPEN:{file.name}', f'TCP:{HOST}:{proxy.port}')
            same(target.finish(), (digest, SIZE))
            assert proxy.memory() < proxy.memoryBound(), f"{proxy.memory()} bytes of memory"
            proxy.waitIdle()


@case
def ncatToNcat():
    need('ncat')
    file, digest = largeFile()
    with Target('ncat', '-l', '--recv-only', HOST, '0') as target:
        with Program(program, HOST, target.port, HOST, 0) as proxy:
            with open(file.name, 'rb') as source:
                runClient('ncat', '--send-only', HOST, proxy.port, source=source)
            same(target.finish(), (digest, SIZE))
            assert proxy.memory() < proxy.memoryBound(), f"{proxy.memory()} bytes of memory"
            proxy.waitIdle()


@case
def socatFromNcat():
    """The other way: the target sends."""
    need('socat')
    need('ncat')
    file, digest = largeFile()
    with open(file.name, 'rb') as source, Target('ncat', '-l', '--send-only', HOST, '0', source=source) as target:
        with Program(program, HOST, target.port, HOST, 0) as proxy:
            client = subprocess.Popen(['socat', '-u', f'TCP:{HOST}:{proxy.port}', '-'], stdout=subprocess.PIPE)
            try:
                same(hashStream(client.stdout), (digest, SIZE))
                same(client.wait(timeout=LIMIT), 0, 'status of the client')
            finally:
                client.kill()
                client.wait()
                client.stdout.close()
            target.finish()
            proxy.waitIdle()


@case
def slowHasher():
    """A target behind a pipe that is read in small blocks."""
    need('socat')
    file, digest = largeFile()
    with Target('socat', '-u', '-b', '1024', f'TCP-LISTEN:0,bind={HOST},rcvbuf=16384', '-', blockSize=1024) as target:
        with Program(program, HOST, target.port, HOST, 0) as proxy:
            runClient('socat', '-u', f'OPEN:{file.name}', f'TCP:{HOST}:{proxy.port}')
            same(target.finish(), (digest, SIZE))
            assert proxy.memory() < proxy.memoryBound(), f"{proxy.memory()} bytes of memory"
            proxy.waitIdle()


def stall(proxy, sender, receiver):
    """200 MB; the receiver reads nothing until the sender is stuck, then slowly."""
    blocks = randomBlocks(SIZE)
    digest = hashlib.sha256()

    def hashed():
        for block in blocks:
            digest.update(block)
            yield block

    sent, rest = fillUntilBlocked(sender, hashed(), SIZE)
    assert sent < 64 * MEBIBYTE, f"{sent} bytes were taken though nobody reads"
    assert proxy.memory() < proxy.memoryBound(), f"{proxy.memory()} bytes of memory in the stall"

    def send():
        sender.sendall(rest)
        for block in hashed():
            sender.sendall(block)
        sender.shutdown(socket.SHUT_WR)

    worker = Worker(send)
    with receiver.makefile('rb', buffering=0) as stream:
        found = hashStream(stream, 4096)
    worker.join()
    same(found, (digest.hexdigest(), SIZE))
    assert proxy.memory() < proxy.memoryBound(), f"{proxy.memory()} bytes of memory"


@case
def stalledTarget():
    with tunnel(65536) as (proxy, client, target):
        stall(proxy, client, target)


@case
def stalledClient():
    with tunnel(65536) as (proxy, client, target):
        stall(proxy, target, client)


@case
def bothWays():
    """Each way has its own flow, its own end and its own back-pressure."""
    with tunnel() as (proxy, client, target):
        senders = [Worker(lambda end, part: (end.sendall(part), end.shutdown(socket.SHUT_WR)), end, part)
                   for end, part in ((client, data), (target, data[::-1]))]
        readers = [Worker(readAll, target), Worker(readAll, client)]
        same(readers[0].join(), data)
        same(readers[1].join(), data[::-1])
        for sender in senders:
            sender.join()


@case
def halfClose():
    """The end of the request is passed on, and the reply that follows it comes through."""
    with tunnel() as (proxy, client, target):
        client.sendall(b'question')
        client.shutdown(socket.SHUT_WR)
        same(readAll(target), b'question')
        worker = Worker(lambda: (target.sendall(data), target.shutdown(socket.SHUT_WR)))
        same(readAll(client), data)
        worker.join()


@case
def halfCloseByTarget():
    with tunnel() as (proxy, client, target):
        target.sendall(b'welcome')
        target.shutdown(socket.SHUT_WR)
        same(readAll(client), b'welcome')
        worker = Worker(lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        same(readAll(target), data)
        worker.join()


@case
def socatThroughEcho():
    """A foreign client, the proxy, and the echo server behind it."""
    need('socat')
    with Program(echoServer, HOST, 0) as echo:
        with Program(program, HOST, echo.port, HOST, 0) as proxy:
            same(runClient('socat', '-t', LIMIT, '-', f'TCP:{HOST}:{proxy.port}', data=data), data)
            workers = [Worker(lambda part: runClient('ncat', HOST, proxy.port, data=part), data[index * 1000:]) for index in range(10)]
            for index, worker in enumerate(workers):
                same(worker.join(), data[index * 1000:])
            proxy.waitIdle()
            echo.waitIdle()


@case
def unixTarget():
    need('socat')
    with tempfile.TemporaryDirectory() as directory:
        with Program(echoServer, f'unix:{directory}/echo'):
            with Program(program, f'unix:{directory}/echo', 0, f'unix:{directory}/proxy') as proxy:
                same(runClient('socat', '-t', LIMIT, '-', f'UNIX-CONNECT:{directory}/proxy', data=data), data)
                proxy.waitIdle()


@case
def smallMessages():
    """What comes is passed on at once, however little."""
    need('socat')
    with Program(echoServer, HOST, 0) as echo:
        with Program(program, HOST, echo.port, HOST, 0) as proxy:
            with Talk('socat', '-', f'TCP:{HOST}:{proxy.port}') as talk:
                for size in range(1, 300):
                    same(talk.exchange(data[:size]), data[:size])


@case
def refusedTarget():
    """The client's connection ends, and the proxy waits for the next."""
    with socket.socket() as reserved:
        reserved.bind((HOST, 0))  # a port where nobody listens, nor will
        with Program(program, HOST, reserved.getsockname()[1], HOST, 0) as proxy:
            for _ in range(5):
                with connect(proxy) as client, contextlib.suppress(ConnectionError):
                    same(client.recv(100), b'')
            proxy.waitIdle()


@case
def clientReset():
    """What came before the reset still arrives, then the end."""
    with tunnel() as (proxy, client, target):
        client.sendall(b'before')
        same(readExactly(target, 6), b'before')
        reset(client)
        same(readAll(target), b'')


@case
def targetReset():
    with tunnel() as (proxy, client, target):
        target.sendall(b'before')
        same(readExactly(client, 6), b'before')
        reset(target)
        same(readAll(client), b'')


@case
def resetBehindData():
    """Data that was received is passed on in front of the end, though the reader is slow."""
    with tunnel(65536) as (proxy, client, target):
        sent, _ = fillUntilBlocked(client, randomBlocks(64 * MEBIBYTE), 64 * MEBIBYTE)
        reset(client)
        received = readAll(target)
        # A reset destroys what the kernel had not yet handed over; the rest is a piece from the start.
        expected = b''.join(randomBlocks(64 * MEBIBYTE))[:sent]
        assert 0 < len(received) <= sent, f"{len(received)} of {sent} bytes"
        same(received, expected[:len(received)])


@case
def resetAfterHalfClose():
    """An error that comes after the end of input ends both sides as well."""
    with tunnel(65536) as (proxy, client, target):
        client.sendall(b'question')
        client.shutdown(socket.SHUT_WR)
        same(readAll(target), b'question')
        worker = Worker(lambda: target.sendall(bytes(16 * MEBIBYTE)))
        client.recv(1)
        reset(client)
        with contextlib.suppress(ConnectionError):
            worker.join()
        with contextlib.suppress(ConnectionError):
            same(target.recv(100), b'')


@case
def terminateInTransfer():
    """SIGTERM in the middle: what the proxy has is passed on, and it ends well."""
    with tunnel(65536) as (proxy, client, target):
        sent, _ = fillUntilBlocked(client, randomBlocks(64 * MEBIBYTE), 64 * MEBIBYTE)
        proxy.signal(signal.SIGTERM)
        received = readAll(target)
        same(received, b''.join(randomBlocks(64 * MEBIBYTE))[:len(received)])
        assert len(received) > 0
        proxy.finish()


@case
def interrupt():
    with Program(program, HOST, 1, HOST, 0, stopSignal=signal.SIGINT):
        pass


@case
def usage():
    result = subprocess.run([program], capture_output=True, timeout=LIMIT)
    same(result.returncode, 2, 'status')
    assert b'usage' in result.stderr


main('proxy')
