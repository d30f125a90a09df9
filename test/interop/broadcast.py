#!/usr/bin/env python3
"""
broadcast to ncat and socat, to a thousand clients, and to those who don't read.

usage: broadcast.py PROGRAM
"""

import contextlib
import hashlib
import os
import re
import resource
import selectors
import signal
import socket
import subprocess
import sys

from harness import (ANY, HOST, LIMIT, MEBIBYTE, Program, Skip, Worker, case, connect, main, need,
                     randomBlocks, readAll, readExactly, same, waitFor)

program = sys.argv[1]
NEVER = 1000000  # milliseconds
data = b''.join(randomBlocks(2 * MEBIBYTE + 17))


class Broadcast(Program):
    def __init__(self, limit=256 * MEBIBYTE, patience=NEVER):
        super().__init__(program, ANY, limit, patience, stdin=subprocess.PIPE)
        self.input = self.process.stdin

    def countDescriptors(self):
        """Of sockets alone: the pipe at its input may be opened once more."""
        folder, count = f'/proc/{self.process.pid}/fd', 0
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                count += os.readlink(f'{folder}/{name}').startswith('socket:')
        return count

    def say(self, words):
        os.write(self.input.fileno(), words)

    def feed(self, words):
        view = memoryview(words)
        while view:
            view = view[os.write(self.input.fileno(), view):]

    def waitIdle(self):
        """Who has ended its side may still hear, until it is told something and answers by a
        reset."""
        waitFor(self.process, lambda: self.countDescriptors() == self.descriptors or self.say(b'.'),
                "all have gone")

    def join(self, count, **options):
        """Clients that are known to be served."""
        before = self.countDescriptors()
        clients = [connect(self, **options) for _ in range(count)]
        waitFor(self.process, lambda: self.countDescriptors() == before + count, "served")
        return clients

    def finish(self):
        """Notes how many were served, and evicted; once."""
        self.expectStatus(0)
        if self.process.stdout.closed:
            return
        words = self.process.stdout.read().decode()
        self.input.close()
        self.process.stdout.close()
        match = re.fullmatch(r'(\d+) clients, (\d+) evicted\n', words)
        assert match, words
        self.counts = int(match[1]), int(match[2])


def readTogether(clients, size):
    """What many hear at the same time: the hash of each."""
    selector = selectors.DefaultSelector()
    states = []
    for client in clients:
        states.append([hashlib.sha256(), 0])
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ, states[-1])
    left = len(clients)
    while left:
        ready = selector.select(LIMIT)
        assert ready, f"{left} of {len(clients)} still wait"
        for key, _ in ready:
            part = key.fileobj.recv(262144)
            assert part, f"the end after {key.data[1]} of {size} bytes"
            key.data[0].update(part)
            key.data[1] += len(part)
            if key.data[1] == size:
                selector.unregister(key.fileobj)
                left -= 1
    selector.close()
    return {state[0].hexdigest() for state in states}


@case
def foreignClients():
    """ncat and socat, which end their own side at once, hear all."""
    need('ncat')
    need('socat')
    with Broadcast() as server:
        before = server.countDescriptors()
        clients = [subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
                   for words in (['ncat', HOST, str(server.port)],
                                 ['socat', '-u', f'TCP:{HOST}:{server.port}', '-'])]
        waitFor(server.process, lambda: server.countDescriptors() == before + 2, "served")
        readers = [Worker(client.stdout.read) for client in clients]
        server.feed(data)
        server.input.close()
        for reader, client in zip(readers, clients):
            same(reader.join(), data)
            client.wait(LIMIT)
            client.stdout.close()
        server.finish()
        same(server.counts, (2, 0))


@case
def thousandClients():
    """Nothing is copied for each: two gigabytes go out, from two megabytes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1100:
        raise Skip(f"at most {hard} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with Broadcast() as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client) for client in server.join(1000)]
        feeder = Worker(server.feed, data)
        same(readTogether(clients, len(data)), {hashlib.sha256(data).hexdigest()})
        feeder.join()
        assert server.memory() < server.memoryBound(), f"{server.memory()} bytes of memory"
        server.signal(signal.SIGTERM)
        for client in clients:
            client.setblocking(True)
            same(client.recv(1), b'')
        stack.close()
        server.finish()
        same(server.counts, (1000, 0))


@case
def thousandSlowClients():
    """What a thousand don't take lies there once."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1100:
        raise Skip(f"at most {hard} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with Broadcast() as server, contextlib.ExitStack() as stack:
        for client in server.join(1000, bufferSize=4096):
            stack.enter_context(client)
        fast = stack.enter_context(server.join(1)[0])
        feeder = Worker(server.feed, data)
        same(Worker(readExactly, fast, len(data)).join(), data)
        feeder.join()
        # What is counted is the queue of each, an entry for each buffer.
        assert server.memory() < 4 * server.memoryBound(), f"{server.memory()} bytes of memory"
        stack.close()
        server.waitIdle()


@case
def slowIsEvicted():
    """By what is unsent: the fast one hears all, and the slow one that it has missed something."""
    with Broadcast(limit=MEBIBYTE) as server:
        slow, = server.join(1, bufferSize=4096)
        fast, = server.join(1)
        block, count = data[:MEBIBYTE // 2], 0
        while server.countDescriptors() > server.descriptors + 1:
            assert count < 1024, "half a GiB was kept for who reads nothing"
            feeder = Worker(server.feed, block)
            same(Worker(readExactly, fast, len(block)).join(), block)  # in step with the fast one
            feeder.join()
            count += 1
        with contextlib.suppress(ConnectionResetError):
            assert len(readAll(slow)) < count * len(block)
        server.say(b'last')
        same(readExactly(fast, 4), b'last')
        slow.close()
        fast.close()
        server.waitIdle()
        server.signal(signal.SIGTERM)
        server.finish()
        same(server.counts, (2, 1))


@case
def stuckIsEvicted():
    """By time: however much may be unsent."""
    with Broadcast(patience=300) as server:
        slow, = server.join(1, bufferSize=4096)
        fast, = server.join(1)
        feeder = Worker(server.feed, 4 * data)
        same(Worker(readExactly, fast, 4 * len(data)).join(), 4 * data)
        feeder.join()
        waitFor(server.process, lambda: server.countDescriptors() == server.descriptors + 1,
                "evicted")
        server.say(b'last')
        same(readExactly(fast, 4), b'last')
        slow.close()
        fast.close()
        server.waitIdle()
        server.signal(signal.SIGTERM)
        server.finish()
        same(server.counts, (2, 1))


@case
def nobodyThere():
    """What is said meanwhile waits for the first who comes, also the end."""
    with Broadcast() as server:
        server.say(b'hello?')
        server.input.close()
        with connect(server) as client:
            same(readAll(client), b'hello?')
        server.finish()
        same(server.counts, (1, 0))


@case
def comeAndGo():
    """Who comes hears from then on; who goes, or talks, or resets harms nobody."""
    with Broadcast() as server:
        first, = server.join(1)
        for number in range(20):
            second, = server.join(1)
            second.sendall(b'is anybody there?')
            server.say(b'%02d' % number)
            same(readExactly(first, 2), b'%02d' % number)
            same(readExactly(second, 2), b'%02d' % number)
            if number % 2:
                second.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
            second.close()
            # One that has only ended its own side is found out by what it is sent.
            waitFor(server.process, lambda: (server.say(b'.'), readExactly(first, 1)) and
                    server.countDescriptors() == server.descriptors + 1, "it has gone")
        first.close()
        server.waitIdle()


@case
def terminateInTransfer():
    """What was read leaves, to those who take it."""
    with Broadcast() as server:
        client, = server.join(1)
        feeder = Worker(server.feed, data)
        same(readExactly(client, 1000), data[:1000])
        feeder.join()
        server.signal(signal.SIGTERM)
        rest = readAll(client)
        same(rest, data[1000:1000 + len(rest)])
        client.close()
        server.finish()
        same(server.counts, (1, 0))


main('broadcast')
