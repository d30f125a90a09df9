#!/usr/bin/env python3
"""
dns-forwarder between drill and upstreams of our own, which lose answers, are dead, or send garbage.

usage: dns-forwarder.py PROGRAM
"""

import contextlib
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time

from harness import (ANY, HOST, LIMIT, Program, Skip, Worker, case, main, need, runClient, same,
                     waitFor)

program = sys.argv[1]
NEVER = 1000 * 1000 * 1000  # milliseconds
SOON = 100
ADDRESS = '192.0.2.77'
SERVER_FAILURE = 2
ROUNDS = 2  # how often each upstream is asked


# ---- messages ----

def question(name):
    labels = name.encode().split(b'.')
    return b''.join(bytes([len(label)]) + label for label in labels) + b'\0\0\1\0\1'


def makeQuery(number, name, flags=b'\1\0'):
    return number.to_bytes(2, 'big') + flags + b'\0\1\0\0\0\0\0\0' + question(name)


def makeAnswer(query, address=ADDRESS):
    record = b'\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4' + socket.inet_aton(address)
    return query[:2] + b'\x81\x80\0\1\0\1\0\0\0\0' + query[12:] + record


def makeFailure(query):
    return query[:2] + b'\x81\x02' + query[4:]


def nameOf(message):
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return '.'.join(labels)


def numberOf(message):
    return int.from_bytes(message[:2], 'big')


def codeOf(message):
    return message[3] & 15


# ---- the programs ----

class Forwarder(Program):
    def __init__(self, *upstreams, patience=NEVER, limit=4096, address=ANY, **options):
        super().__init__(program, '-t', patience, '-q', limit, address,
                         *[upstream.address for upstream in upstreams], **options)

    def finish(self):
        """Notes how many were answered, failed, and dropped; once."""
        self.expectStatus(0)
        if self.process.stdout.closed:
            return
        words = self.process.stdout.read().decode()
        self.process.stdout.close()
        match = re.fullmatch(r'(\d+) answered, (\d+) failed, (\d+) dropped\n', words)
        assert match, words
        self.counts = tuple(map(int, match.groups()))

    def stop(self, *expected):
        self.signal(signal.SIGTERM)
        self.finish()
        same(self.counts, expected, 'answered, failed, dropped')


class Upstream:
    """A server whose answers are given by a function of the query, a list of datagrams."""

    def __init__(self, answers=lambda query: [makeAnswer(query)], host=HOST, port=0):
        family = socket.AF_INET6 if ':' in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, port))
        self.port = self.socket.getsockname()[1]
        self.address = f'[{host}]:{self.port}' if ':' in host else f'{host}:{self.port}'
        self.answers = answers
        self.asked = []  # names, one for each query that has come
        self.held = {}  # name: query and whence, of the last query
        self.ended, self.end = socket.socketpair()
        self.thread = Worker(self.serve)

    def serve(self):
        while True:
            ready, _, _ = select.select([self.socket, self.ended], [], [])
            if self.ended in ready:
                return
            query, peer = self.socket.recvfrom(65536)
            answers = self.answers(query)
            self.held[nameOf(query)] = query, peer
            self.asked.append(nameOf(query))
            for answer in answers:
                self.socket.sendto(answer, peer)

    def give(self, name):
        """Answers a query that was held."""
        query, peer = self.held[name]
        self.socket.sendto(makeAnswer(query), peer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end.close()
        self.thread.join()
        self.ended.close()
        self.socket.close()


def silent():
    return Upstream(lambda query: [])


class Dead:
    """A port that is taken, but by a socket that hears one peer alone, which is another: so who
    sends there is told that nobody listens."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((HOST, 0))
        self.socket.connect((HOST, 9))
        self.port = self.socket.getsockname()[1]
        self.address = f'{HOST}:{self.port}'

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@contextlib.contextmanager
def clientOf(forwarder):
    with socket.socket(socket.AF_INET6 if ':' in forwarder.host else socket.AF_INET,
                       socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        client.settimeout(LIMIT)
        client.connect((forwarder.host, forwarder.port))
        yield client


def ask(client, number, name):
    """Asks, and expects the right answer and nothing else before."""
    query = makeQuery(number, name)
    client.send(query)
    same(client.recv(65536), makeAnswer(query))


def insist(forwarder, client, number, name):
    """As clients do: asks again when it hears of failure, or nothing for a while. Whatever is slow
    here may make the forwarder give up."""
    deadline = time.monotonic() + LIMIT
    query = makeQuery(number, name)
    client.send(query)
    while True:
        ready, _, _ = select.select([client], [], [], 2)
        message = client.recv(65536) if ready else None
        if message == makeAnswer(query):
            return
        assert forwarder.process.poll() is None, "the program has ended"
        assert time.monotonic() < deadline, f"no answer: {name}"
        if message is None or message == makeFailure(query):
            client.send(query)
        else:
            # One that was asked for twice is answered twice.
            assert message[12:-16] != query[12:], message


def drill(forwarder, name):
    return runClient('drill', '-p', forwarder.port, name, f'@{HOST}', 'A').decode()


# ---- foreign clients ----

@case
def drillAsks():
    need('drill')
    with Upstream() as upstream, Forwarder(upstream) as forwarder:
        for name in ('example.org', 'a.example', 'x' * 63 + '.' + 'y' * 63 + '.example'):
            words = drill(forwarder, name)
            assert f'{name}.\t60\tIN\tA\t{ADDRESS}' in words, words


@case
def drillsTogether():
    need('drill')
    with Upstream() as upstream, Forwarder(upstream) as forwarder:
        workers = [Worker(drill, forwarder, f'name-{index}.example') for index in range(20)]
        for index, worker in enumerate(workers):
            assert f'name-{index}.example.\t60\tIN\tA\t{ADDRESS}' in worker.join()


@case
def drillHearsOfFailure():
    need('drill')
    with Dead() as dead, Forwarder(dead) as forwarder:
        words = drill(forwarder, 'example.org')
        assert 'rcode: SERVFAIL' in words, words


# ---- numbers ----

@case
def sameNumbers():
    """Clients that have chosen the same number, and one that has used it twice, get their own."""
    with silent() as upstream, Forwarder(upstream) as forwarder:
        with clientOf(forwarder) as one, clientOf(forwarder) as two:
            one.send(makeQuery(7, 'one.example'))
            two.send(makeQuery(7, 'two.example'))
            two.send(makeQuery(7, 'three.example'))
            waitFor(forwarder.process, lambda: len(upstream.asked) == 3, "three questions")
            same(len({numberOf(query) for query, _ in upstream.held.values()}), 3, 'numbers')
            for name in ('three.example', 'two.example', 'one.example'):
                upstream.give(name)
            same(one.recv(65536), makeAnswer(makeQuery(7, 'one.example')))
            same(two.recv(65536), makeAnswer(makeQuery(7, 'three.example')))
            same(two.recv(65536), makeAnswer(makeQuery(7, 'two.example')))
        forwarder.stop(3, 0, 0)


@case
def numbersByChance():
    """Nothing is to be guessed from those before."""
    with silent() as upstream, Forwarder(upstream) as forwarder:
        numbers = []
        with clientOf(forwarder) as client:
            for index in range(50):
                client.send(makeQuery(1, f'{index}.example'))
                waitFor(forwarder.process, lambda: len(upstream.asked) == index + 1, "a question")
                numbers.append(numberOf(upstream.held[f'{index}.example'][0]))
        same(len(set(numbers)), 50, 'numbers')
        distances = {(two - one) % 65536 for one, two in zip(numbers, numbers[1:])}
        assert len(distances) > 30, numbers


def exchange(forwarder, client, names, quiet):
    """Asks for all names at once, and again for those whose answers don't come, as any client does:
    a datagram may find no room. quiet is called when nothing has come for a while, and may know
    better."""
    deadline = time.monotonic() + LIMIT
    numbers = {name: index for index, name in enumerate(names)}
    left = set(names)
    for name in names:
        client.send(makeQuery(numbers[name], name))
    while left:
        ready, _, _ = select.select([client], [], [], 1)
        if ready:
            message = client.recv(65536)
            name = nameOf(message)
            same(message, makeAnswer(makeQuery(numbers[name], name)))
            left.discard(name)
        elif not quiet():
            assert forwarder.process.poll() is None, "the program has ended"
            assert time.monotonic() < deadline, f"no answers: {len(left)}"
            for name in left:
                client.send(makeQuery(numbers[name], name))


@case
def thousandAtOnce():
    """All are open at the same time, before the first is answered."""
    names = [f'{index}.example' for index in range(1000)]
    with silent() as upstream, Forwarder(upstream, limit=32768) as forwarder:
        together = False

        def giveAll():
            nonlocal together
            if together or len(upstream.held) < len(names):
                return False
            together = True
            upstream.answers = lambda query: [makeAnswer(query)]
            for name in names:
                upstream.give(name)
            return True

        with clientOf(forwarder) as client:
            exchange(forwarder, client, names, giveAll)
        same(len(set(upstream.asked)), 1000, 'names')
        assert forwarder.memory() < forwarder.memoryBound(), f"{forwarder.memory()} bytes"


@case
def boundedTable():
    """Who finds no place hears so at once, and nobody else is harmed."""
    with silent() as upstream, Forwarder(upstream, limit=10) as forwarder:
        with clientOf(forwarder) as client:
            for index in range(10):
                client.send(makeQuery(index, f'{index}.example'))
            waitFor(forwarder.process, lambda: len(upstream.asked) == 10, "ten questions")
            for index in range(10, 15):
                query = makeQuery(index, f'{index}.example')
                client.send(query)
                message = client.recv(65536)
                same(message, makeFailure(query))
            for index in range(10):
                upstream.give(f'{index}.example')
                same(client.recv(65536), makeAnswer(makeQuery(index, f'{index}.example')))
            upstream.answers = lambda query: [makeAnswer(query)]
            ask(client, 20, 'later.example')
        same(len(upstream.asked), 11)
        forwarder.stop(11, 5, 0)


# ---- upstreams that fail ----

@case
def lostAnswers():
    """Of each name the first answer gets lost: it is asked for again, by the same number."""
    numbers = {}

    def answerAgain(query):
        numbers.setdefault(nameOf(query), []).append(numberOf(query))
        return [makeAnswer(query)] if len(numbers[nameOf(query)]) > 1 else []

    with Upstream(answerAgain) as upstream, Forwarder(upstream, patience=SOON) as forwarder:
        with clientOf(forwarder) as client:
            for index in range(5):
                insist(forwarder, client, index, f'{index}.example')
        for name, used in numbers.items():
            same(used[1], used[0], f'the number of {name}')


@case
def silentUpstream():
    """The next one is asked after the timeout, and then first."""
    with silent() as first, Upstream() as second:
        with Forwarder(first, second, patience=1000) as forwarder, clientOf(forwarder) as client:
            for index in range(20):
                insist(forwarder, client, index, f'{index}.example')
            # On a busy machine the second may be late for once, and the first is asked again.
            assert 0 < len(set(first.asked)) < 20, first.asked
            same(len(set(second.asked)), 20)


@case
def deadUpstream():
    """The next one is asked at once: the timeout would never come."""
    with Dead() as dead, Upstream() as living:
        with Forwarder(dead, living) as forwarder, clientOf(forwarder) as client:
            for index in range(20):
                insist(forwarder, client, index, f'{index}.example')
            same(len(set(living.asked)), 20)


@case
def upstreamThatReturns():
    """What was dead serves again on the same port."""
    with Dead() as one, Dead() as two:
        with Forwarder(one, two) as forwarder, clientOf(forwarder) as client:
            query = makeQuery(1, 'early.example')
            client.send(query)
            same(client.recv(65536), makeFailure(query))
            # Of two sockets on one port that one hears a stranger which isn't connected.
            with Upstream(port=two.port):
                insist(forwarder, client, 2, 'late.example')


@case
def allSilent():
    """Each is asked twice, then the client is told."""
    with silent() as first, silent() as second:
        with Forwarder(first, second, patience=SOON) as forwarder, clientOf(forwarder) as client:
            query = makeQuery(99, 'nowhere.example')
            client.send(query)
            same(client.recv(65536), makeFailure(query))
            for upstream in (first, second):
                waitFor(forwarder.process, lambda: len(upstream.asked) >= ROUNDS, "asked")
            forwarder.stop(0, 1, 0)
        same((len(first.asked), len(second.asked)), (ROUNDS, ROUNDS))


@case
def lateAnswer():
    """The first upstream's is taken though the second was asked; the second's is dropped."""
    with silent() as first, silent() as second:
        # The second so many times that nobody gives up meanwhile.
        with Forwarder(first, *[second] * 60, patience=1000) as forwarder, \
             clientOf(forwarder) as client:
            client.send(makeQuery(5, 'slow.example'))
            waitFor(forwarder.process, lambda: first.held and second.held, "both are asked")
            first.give('slow.example')
            same(client.recv(65536), makeAnswer(makeQuery(5, 'slow.example')))
            second.give('slow.example')
            second.answers = lambda query: [makeAnswer(query)]
            insist(forwarder, client, 6, 'next.example')
            forwarder.signal(signal.SIGTERM)
            forwarder.finish()
            answered, failed, dropped = forwarder.counts
            assert answered >= 2 and failed == 0 and dropped > 0, forwarder.counts


# ---- garbage ----

@case
def garbageFromClients():
    query = makeQuery(1, 'example.org')
    long = makeQuery(1, '.'.join(['x' * 63] * 4))  # a name of 257 bytes
    generator = random.Random(1)
    garbage = [
        b'',
        query[:1],
        query[:11],
        query[:12],  # no question
        query[:-1],  # and one that is cut
        query[:20],
        makeQuery(1, 'example.org', b'\x81\x80'),  # an answer
        makeQuery(1, 'example.org', b'\x28\0'),  # an update
        query[:4] + b'\0\0' + query[6:],  # none is promised
        query[:4] + b'\0\2' + query[6:] + question('example.net'),
        query[:12] + b'\xc0\x0c\0\1\0\1',  # a name that is itself
        query[:12] + b'\xc0\0\0\1\0\1',  # one that is the header
        query[:12] + b'\x3f' + b'x' * 30,  # a label beyond the end
        long,
        query + bytes(4000),  # more than a query may have
    ] + [b'??\x80' + generator.randbytes(size) for size in (1, 9, 10, 100, 511, 1500)]
    with Upstream() as upstream, Forwarder(upstream) as forwarder, clientOf(forwarder) as client:
        for number, words in enumerate(garbage):
            client.send(words)
            ask(client, number, f'{number}.example')
        same(len(upstream.asked), len(garbage))
        forwarder.stop(len(garbage), 0, len(garbage))


@case
def garbageFromUpstream():
    """Only what has number and question of an open query is its answer."""
    def answers(query):
        good = makeAnswer(query)
        return [
            b'',
            good[:2],
            good[:11],
            good[:12],  # the header alone
            query,  # the question itself
            bytes([good[0] ^ 1]) + good[1:],  # another number
            good[:13] + bytes([good[13] ^ 1]) + good[14:],  # another name
            makeAnswer(query[:-1] + b'\3'),  # another class
            good + bytes(5000),  # too long
            good,
            good,  # once more: nobody has asked
        ]

    with Upstream(answers) as upstream, Forwarder(upstream) as forwarder:
        with clientOf(forwarder) as client:
            for number in range(10):
                ask(client, number, f'{number}.example')
        # The last one's repetition may be still on its way.
        forwarder.signal(signal.SIGTERM)
        forwarder.finish()
        same(forwarder.counts[:2], (10, 0), 'answered, failed')
        assert 99 <= forwarder.counts[2] <= 100, forwarder.counts


@case
def answerFromElsewhere():
    """What is right, but comes from another port, is no answer."""
    with silent() as upstream, Forwarder(upstream) as forwarder, clientOf(forwarder) as client:
        client.send(makeQuery(3, 'example.org'))
        waitFor(forwarder.process, lambda: upstream.held, "asked")
        query, peer = upstream.held['example.org']
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for _ in range(10):
                stranger.sendto(makeAnswer(query, '192.0.2.66'), peer)
        upstream.give('example.org')
        same(client.recv(65536), makeAnswer(makeQuery(3, 'example.org')))
        forwarder.stop(1, 0, 0)


# ---- life ----

@case
def overIPv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(('::1', 0))
    except OSError as error:
        raise Skip(f"no IPv6 here: {error}")
    with Upstream(host='::1') as upstream, Forwarder(upstream, address='[::1]:0') as forwarder:
        with clientOf(forwarder) as client:
            ask(client, 1, 'example.org')


@case
def goneClient():
    """The answer to one that is gone harms nobody else."""
    with silent() as upstream, Forwarder(upstream) as forwarder, clientOf(forwarder) as client:
        for index in range(20):
            with clientOf(forwarder) as other:
                name = f'gone-{index}.example'
                other.send(makeQuery(1, name))
                waitFor(forwarder.process, lambda: name in upstream.held, "asked")
            upstream.give(name)
            client.send(makeQuery(index, f'{index}.example'))
            waitFor(forwarder.process, lambda: f'{index}.example' in upstream.held, "asked")
            upstream.give(f'{index}.example')
            same(client.recv(65536), makeAnswer(makeQuery(index, f'{index}.example')))
        forwarder.stop(40, 0, 0)


@case
def terminateWithOpenQueries():
    with silent() as upstream, Forwarder(upstream) as forwarder, clientOf(forwarder) as client:
        for index in range(100):
            client.send(makeQuery(index, f'{index}.example'))
        waitFor(forwarder.process, lambda: len(upstream.asked) > 50, "open queries")
        forwarder.stop(0, 0, 0)


@case
def interrupt():
    with silent() as upstream, Forwarder(upstream, stopSignal=signal.SIGINT):
        pass


@case
def usage():
    for words in ([], [ANY], ['-t', '0', ANY, f'{HOST}:53'], [ANY, 'example.org:53'],
                  ['-q', '40000', ANY, f'{HOST}:53'], ['-x', ANY, f'{HOST}:53']):
        result = subprocess.run([program, *words], capture_output=True, timeout=LIMIT)
        same(result.returncode, 2, 'status')
        assert b'usage' in result.stderr


main('dns-forwarder')
