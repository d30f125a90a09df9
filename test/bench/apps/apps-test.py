#!/usr/bin/env python3
"""
That the application servers of the bench are right, in every contender, also when requests come in
pieces; that their loads take them, and refuse wrong ones. Nothing here is timed.

usage: apps-test.py SOURCE_ROOT BINARIES -- SERVER ... -- COSTS ...
"""

import contextlib
import functools
import json
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import threading

root, binaries = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path[:0] = [str(root / 'test/house'), str(root / 'test/bench')]

import contest  # noqa: E402
import rows_apps  # noqa: E402
import tap  # noqa: E402

rest = sys.argv[4:]
servers, costs = rest[:rest.index('--')], rest[rest.index('--') + 1:]
LIMIT = 120  # seconds: far more than anything takes, on a busy machine too
MEBIBYTE = 1024 * 1024
HOST = '127.0.0.1'
contest.START = LIMIT


@contextlib.contextmanager
def serve(name, service, variant=''):
    """A server of a contender; it must still live at the end."""
    way = ['-x', variant] if variant else []
    server = contest.Server([str(binaries / f'app-{name}'), service, *way])
    try:
        yield server
    finally:
        died = server.stop()
    assert not died, died


def connect(server):
    client = socket.create_connection((HOST, server.port), LIMIT)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def readExactly(client, size):
    data = bytearray()
    while len(data) < size:
        part = client.recv(size - len(data))
        assert part, f"the end after {len(data)} of {size} bytes: {bytes(data[:100])!r}"
        data += part
    return bytes(data)


def expect(client, wanted):
    found = readExactly(client, len(wanted))
    assert found == wanted, f"{found[:200]!r} instead of {wanted[:200]!r}"


def expectEnd(client):
    rest = client.recv(100)
    assert rest == b'', f"{rest!r} instead of the end"


def expectSilence(client):
    client.setblocking(False)
    try:
        rest = client.recv(100)
        raise AssertionError(f"{rest!r} instead of nothing")
    except BlockingIOError:
        client.settimeout(LIMIT)


def exchangeInPieces(server, request, reply):
    """The same request cut at each place, and byte by byte."""
    with connect(server) as client:
        for place in range(1, len(request)):
            client.sendall(request[:place])
            client.sendall(request[place:])
            expect(client, reply)
        for byte in request:
            client.sendall(bytes([byte]))
        expect(client, reply)


# ---- redis ----

def command(*words):
    """A command as clients send it."""
    text = b'*%d\r\n' % len(words)
    for word in words:
        text += b'$%d\r\n%s\r\n' % (len(word), word)
    return text


def bulk(value):
    return b'$%d\r\n%s\r\n' % (len(value), value)


COMMANDS = [
    (command(b'PING'), b'+PONG\r\n'), (command(b'ping', b'you'), bulk(b'you')),
    (command(b'GET', b'none'), b'$-1\r\n'), (command(b'SET', b'key', b'a\r\nb'), b'+OK\r\n'),
    (command(b'GET', b'key'), bulk(b'a\r\nb')), (command(b'SET', b'key', b''), b'+OK\r\n'),
    (command(b'GET', b'key'), bulk(b'')), (command(b'ECHO', b'$-1'), bulk(b'$-1')),
    (command(b'DEL', b'key'), b':1\r\n'), (command(b'DEL', b'key'), b':0\r\n'),
    (command(b'GET', b'key'), b'$-1\r\n'), (command(b'COMMAND', b'DOCS'), b'*0\r\n'),
    (command(b'CONFIG', b'GET', b'save'), b'*2\r\n' + bulk(b'save') + bulk(b'')),
    (command(b'GET'), b'-ERR wrong number of arguments\r\n'),
    (command(b'SET', b'a', b'b', b'EX', b'5'), b'-ERR wrong number of arguments\r\n'),
    (command(b'FLUSHALL'), b'-ERR unknown command\r\n'), (b'*0\r\n', b''),
    (b'PING\r\n', b'+PONG\r\n'), (b'  ECHO  word \n', bulk(b'word')), (b'\r\n', b''),
]


def redisAnswers(name, variant):
    with serve(name, 'redis', variant) as server, connect(server) as client:
        for request, reply in COMMANDS:
            client.sendall(request)
            expect(client, reply)
        expectSilence(client)


def redisInPieces(name, variant):
    whole = command(b'SET', b'key', b'value') + command(b'GET', b'key') + command(b'DEL', b'key')
    with serve(name, 'redis', variant) as server:
        exchangeInPieces(server, whole, b'+OK\r\n' + bulk(b'value') + b':1\r\n')


def redisPipelined(name, variant):
    """Many commands at once, with large values among them."""
    large = bytes(range(256)) * 1000
    requests, replies = [], []
    for number in range(5000):
        key, value = b'key%d' % number, b'%d' % number if number % 1000 else large
        requests += [command(b'SET', key, value), command(b'GET', key)]
        replies += [b'+OK\r\n', bulk(value)]
    # Again when all are there: no key passes for another of its chain.
    requests += requests[1::2]
    replies += replies[1::2]
    with serve(name, 'redis', variant) as server, connect(server) as client:
        sender = threading.Thread(target=client.sendall, args=[b''.join(requests)])
        sender.start()
        expect(client, b''.join(replies))
        sender.join()


def redisRefuses(name, variant):
    with serve(name, 'redis', variant) as server:
        for wrong in (b'*1\r\n+PING\r\n', b'*x\r\n', b'*1\r\n$-5\r\n', b'*99\r\n', b'*\r\n',
                      b'*1\r\n$4\r\nPINGxx', b'*1\r\n$999999999999\r\n', b'a ' * 20 + b'\r\n',
                      b'x' * 70000):
            with connect(server) as client:
                client.sendall(command(b'PING') + wrong)
                expect(client, b'+PONG\r\n-ERR Protocol error\r\n')
                with contextlib.suppress(ConnectionResetError):
                    expectEnd(client)
        with connect(server) as client:
            client.sendall(command(b'QUIT') + command(b'PING'))
            expect(client, b'+OK\r\n')
            with contextlib.suppress(ConnectionResetError):
                expectEnd(client)


# ---- http ----

def get(size, fields=''):
    return f'GET /{size} HTTP/1.1\r\nHost: test\r\n{fields}\r\n'.encode()


def page(size):
    body = (bytes(index * 7 % 256 for index in range(256)) * (size // 256 + 1))[:size]
    body = body.translate(bytes((value + 3) % 256 for value in range(256)))
    return b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % size + body


MISSING = b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'
SIZES = [0, 1, 512, 4096, 4097, 65536, 262144, 1000000]


def httpAnswers(name, variant):
    with serve(name, 'http', variant) as server, connect(server) as client:
        for size in SIZES:
            client.sendall(get(size))
            expect(client, page(size))
        for wrong in (b'GET / HTTP/1.1\r\n\r\n', b'GET /12x HTTP/1.1\r\n\r\n', b'GET /5\r\n\r\n',
                      b'HEAD /5 HTTP/1.1\r\n\r\n', b'GET /999999999 HTTP/1.1\r\n\r\n'):
            client.sendall(wrong)
            expect(client, MISSING)
        client.sendall(get(512, 'Connection: close\r\n') + get(512))
        expect(client, page(512))
        with contextlib.suppress(ConnectionResetError):
            expectEnd(client)


def httpInPieces(name, variant):
    with serve(name, 'http', variant) as server:
        exchangeInPieces(server, get(3) + get(2), page(3) + page(2))


def httpPipelined(name, variant):
    """More than all buffers hold, asked for before anything is read."""
    asked = SIZES * 40
    with serve(name, 'http', variant) as server, connect(server) as client:
        client.sendall(b''.join(get(size) for size in asked))
        for size in asked:
            expect(client, page(size))
        expectSilence(client)


def httpEndsWithClient(name, variant):
    """A client that closes its side gets everything, one that goes away harms nobody."""
    with serve(name, 'http', variant) as server:
        for _ in range(20):
            with connect(server) as client:
                client.sendall(get(1000000) * 3)
                client.recv(1000)
        with connect(server) as client:
            client.sendall(get(1000000) * 3)
            client.shutdown(socket.SHUT_WR)
            for _ in range(3):
                expect(client, page(1000000))
            expectEnd(client)


# ---- ping-pong ----

def message(number, flags, size):
    body = bytes(index % 251 for index in range(size - 14))
    return struct.pack('>QHI', number, flags, size) + body


def pongAnswers(name, variant):
    with serve(name, 'pong', variant) as server:
        exchangeInPieces(server, message(1, 1 | 4, 14) + message(2, 3, 40) + message(3, 7, 14),
                         message(2, 2, 40) + message(3, 6, 14))
        with connect(server) as client:
            client.sendall(message(1, 3, 65536) * 3)
            expect(client, message(1, 2, 65536) * 3)
            client.sendall(message(1, 3, 14)[:-4] + bytes(4))
            expectEnd(client)


def pongAnswersDatagrams(name, variant):
    with serve(name, 'pong-udp', variant) as server:
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
        for number, client in enumerate(clients):
            client.settimeout(LIMIT)
            client.connect((HOST, server.port))
            client.send(b'short')
            client.send(message(number, 1, 30))
            client.send(message(number, 3, 1400))
        for number, client in enumerate(clients):
            assert client.recv(2000) == message(number, 2, 1400)
            client.close()


# ---- broadcast ----

def load(server, *arguments):
    """(exit status, standard output and errors) of the load of a broadcast."""
    result = subprocess.run([str(binaries / 'app-load'), '-p', str(server.port), '-i', '100',
                             *arguments],
                            capture_output=True, text=True, timeout=LIMIT, check=False)
    return result.returncode, result.stdout + result.stderr


def broadcastReachesAll(name, variant):
    with serve(name, 'broadcast', variant) as server:
        for arguments in (['-c', '20', '-d', '1'], ['-c', '20', '-d', '16'],
                          ['-c', '3', '-d', '5', '-s', '4096'], ['-c', '1', '-d', '1']):
            status, words = load(server, *arguments, '-t', '0.05', '-w', '0')
            assert status == 0, words
            assert json.loads(words)['messages'] > 0, words


def broadcastKeepsLines(name, variant):
    """What two say in pieces arrives in whole lines, in each one's order."""
    with serve(name, 'broadcast', variant) as server, connect(server) as first, \
            connect(server) as second, connect(server) as listener:
        listener.sendall(b'here\n')
        for client in (first, second, listener):
            expect(client, b'here\n')
        for number in range(100):
            first.sendall(b'first %d ' % number)
            second.sendall(b'second ')
            first.sendall(b'end\nfi')
            second.sendall(b'%d\n' % number)
            first.sendall(b'rst again\n')
        for client in (first, second, listener):
            lines = client.makefile('rb')
            heard = [lines.readline() for _ in range(300)]
            for beginning, wanted in ((b's', [b'second %d\n' % each for each in range(100)]),
                                      (b'f', [line for each in range(100) for line in
                                              (b'first %d end\n' % each, b'first again\n')])):
                same = [line for line in heard if line.startswith(beginning)]
                assert same == wanted, same[:5]


class Wrong:
    """A room that is wrong in one way after some lines have gone well."""

    def __init__(self, change):
        self.change = change
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        clients = [self.listener.accept()[0] for _ in range(2)]
        with contextlib.suppress(OSError, AssertionError):
            clients[0].sendall(clients[1].recv(1))  # the last one's word that all are there
            clients[1].sendall(b'\n')
            for number in range(1000):
                line = readExactly(clients[0], 64)
                clients[0].sendall(line)
                clients[1].sendall(self.change(line) if number == 100 else line)


FAULTS = {
    'flip': lambda line: line[:30] + b'!' + line[31:],
    'double': lambda line: line * 2,
    'drop': lambda line: line.replace(line[:16], b'%016x' % (int(line[:16], 16) + 1)),
}


def loadRefuses(change):
    status, words = load(Wrong(change), '-c', '2', '-d', '1', '-t', '100')
    assert status == 3, f"status {status}: {words}"


# ---- costs ----

def costsTell(name, what, keys):
    result = tap.run([str(binaries / f'costs-{name}'), what, '-n', '50'])
    numbers = json.loads(result)
    assert set(numbers) == keys and all(value > 0 for value in numbers.values()), numbers


# ---- other projects' programs ----

TOOLS = {
    'redis-get': ('redis', ['redis', 'get', '1'], 'redis-benchmark'),
    'redis-set': ('redis', ['redis', 'set', '16'], 'redis-benchmark'),
    'http': ('http', ['http', '65536', '2'], 'wrk'),
    'http-pipelined': ('http', ['http', '512', '2', '4'], 'wrk'),
    'pong-tcp': ('pong', ['pong', 'tcp'], 'sockperf'),
    'pong-udp': ('pong-udp', ['pong', 'udp'], 'sockperf'),
}


def toolMeasures(name, service, words, needed):
    if shutil.which(needed) is None:
        raise tap.Skip(f"{needed} is missing")
    with serve(name, service) as server:
        output = tap.run([sys.executable, str(root / 'test/bench/tool.py'), *words, '-p',
                          str(server.port), '-P', str(server.process.pid), '-t', '0.1'])
    numbers = json.loads(output)
    assert numbers['cpu'] > 0 and numbers['requests'] > 0, numbers


class Between:
    """Passes streams on between a load and a server, and makes one bit of one answer another: of
    the connection with that number among those whose first bytes hold the mark."""

    def __init__(self, server, mark, number):
        self.server, self.mark, self.number, self.marked = server, mark, number, 0
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.passOn, args=[client], daemon=True).start()

    def passOn(self, client):
        with client, connect(self.server) as server, contextlib.suppress(OSError):
            first = client.recv(MEBIBYTE)
            self.marked += self.mark in first
            wrong = self.mark in first and self.marked == self.number
            server.sendall(first)
            threading.Thread(target=self.passBack, args=[server, client, wrong],
                             daemon=True).start()
            while data := client.recv(MEBIBYTE):
                server.sendall(data)

    @staticmethod
    def passBack(server, client, wrong):
        with contextlib.suppress(OSError):
            while data := server.recv(MEBIBYTE):
                if wrong:
                    data, wrong = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:], False
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)


# What is compared: (the tool's words, its program, the service, what a comparison's requests hold,
# how many comparisons there are of which one is wrong, what is said)
COMPARED = {
    'http': (['http', '65536', '2'], 'wrk', 'http', b'Python-urllib', 2, 'another body'),
    'redis-get': (['redis', 'get', '16'], 'redis-benchmark', 'redis', b'GET\r\n$7\r\nvalue:', 2,
                  'other values'),
    'redis-set': (['redis', 'set', '16'], 'redis-benchmark', 'redis', b'GET\r\n$7\r\nvalue:', 2,
                  'other values'),
    'pong': (['pong', 'tcp'], 'sockperf', 'pong', b'', 1, 'sockperf: exit status'),
}


def toolRefuses(number, words, needed, service, mark, said):
    if shutil.which(needed) is None:
        raise tap.Skip(f"{needed} is missing")
    with serve('epoll', service) as server:
        between = Between(server, mark, number)
        result = subprocess.run([sys.executable, str(root / 'test/bench/tool.py'), *words, '-p',
                                 str(between.port), '-P', str(server.process.pid), '-t', '0.1'],
                                capture_output=True, text=True, timeout=LIMIT, check=False)
    assert result.returncode == 1 and said in result.stderr, result


# ---- rows ----

def rowsAreWhole():
    contest.checkRows(rows_apps.ROWS)


FUNCTIONS = [redisAnswers, redisInPieces, redisPipelined, redisRefuses, httpAnswers, httpInPieces,
             httpPipelined, httpEndsWithClient, pongAnswers, pongAnswersDatagrams,
             broadcastReachesAll, broadcastKeepsLines]
# Other ways of a server, and what they change.
VARIANTS = {
    'fastsocket': {'held': [httpAnswers, httpPipelined, httpEndsWithClient]},
    'uv': {'each': [redisPipelined, httpPipelined, broadcastReachesAll]},
    'epoll': {'each': [redisPipelined, httpPipelined, broadcastReachesAll]},
}
KEYS = {'release': {'cpu', 'call', 'turns'},
        'timers': {'cpu', 'arm', 'move', 'remove', 'expiry'}}


def cases():
    for name in servers:
        for variant, functions in {'': FUNCTIONS, **VARIANTS[name]}.items():
            for function in functions:
                yield (f'apps/{name}{"-" + variant if variant else ""}/{function.__name__}',
                       lambda function=function, name=name, variant=variant:
                       function(name, variant))
    for tool, (service, words, needed) in TOOLS.items():
        yield (f'apps/tool-{tool}',
               lambda service=service, words=words, needed=needed:
               toolMeasures('fastsocket', service, words, needed))
    for name in costs:
        for what, keys in KEYS.items():
            yield (f'apps/costs-{name}-{what}',
                   lambda name=name, what=what, keys=keys: costsTell(name, what, keys))
    for name, change in FAULTS.items():
        yield f'apps/loadRefuses-{name}', lambda change=change: loadRefuses(change)
    for name, (words, needed, service, mark, count, said) in COMPARED.items():
        for number in range(1, count + 1):
            yield (f'apps/toolRefuses-{name}-{number}',
                   functools.partial(toolRefuses, number, words, needed, service, mark, said))
    yield 'apps/rowsAreWhole', rowsAreWhole


tap.runCases(list(cases()))
