#!/usr/bin/env python3
"""
http-get against Python's own HTTP server, and against servers that do what no good one does: each
exit status.

usage: http-get.py PROGRAM
"""

import sys

sys.path.append(sys.path.pop(0))  # copy.py there is a test's, and not what http.server imports

import contextlib
import http.server
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import (HOST, LIMIT, MEBIBYTE, Child, Skip, Worker, case, main, randomBlocks, readAll,
                     same, waitFor)

program = sys.argv[1]
data = b''.join(randomBlocks(8 * MEBIBYTE + 321))
GOOD, OTHER, USAGE, NAME, CONNECT, TIMEOUT, REPLY, OUTPUT = range(8)


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = data if self.path == '/data' else b'' if self.path == '/empty' else b'nothing here\n'
        self.send_response(200 if self.path in ('/data', '/empty', '/', '/?a=b') else 404)
        if self.path != '/':
            self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def pages(host=HOST):
    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ':' in host else socket.AF_INET

    with Server((host, 0), Pages) as server:
        worker = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
        worker.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            worker.join()


@contextlib.contextmanager
def answers(function):
    """A server of one connection, of which function does what it likes."""
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(LIMIT)

        def serve():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):
                connection.settimeout(LIMIT)
                request = b''
                while not request.endswith(b'\r\n\r\n'):
                    part = connection.recv(4096)
                    assert part, request
                    request += part
                function(connection)

        worker = Worker(serve)
        yield listener.getsockname()[1]
        worker.join()


def get(url, *options, status=GOOD):
    """Runs it to its end. Returns its output."""
    client = Child(program, *options, url, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    output = Worker(client.process.stdout.read).join()
    words = client.expectStatus(status)
    assert (words == '') == (status == GOOD), words
    client.process.stdout.close()
    return output


def reply(text, status, expected=b'', *options):
    with answers(lambda connection: connection.sendall(text)) as port:
        same(get(f'http://{HOST}:{port}/', *options, status=status), expected)


@case
def pagesOfPython():
    with pages() as port:
        same(get(f'http://{HOST}:{port}/data'), data)
        same(get(f'http://{HOST}:{port}/empty'), b'')
        same(get(f'HTTP://{HOST}:{port}'), b'nothing here\n')
        same(get(f'http://{HOST}:{port}?a=b'), b'nothing here\n')
        same(get(f'http://{HOST}:{port}/#part'), b'nothing here\n')
        same(get(f'http://{HOST}:{port}/no', status=OTHER), b'nothing here\n')


@case
def fileAsOutput():
    with pages() as port, tempfile.TemporaryFile() as file:
        client = Child(program, f'http://{HOST}:{port}/data', stdin=subprocess.DEVNULL, stdout=file)
        client.expectStatus(GOOD)
        file.seek(0)
        same(file.read(), data)


@case
def names():
    """localhost may be ::1, too, where nobody listens: the other address is tried."""
    with pages() as port:
        same(get(f'http://localhost:{port}/data'), data)
    get('http://no-such-name.invalid/', status=NAME)


@case
def addressOfIPv6():
    try:
        with pages('::1') as port:
            same(get(f'http://[::1]:{port}/data'), data)
    except OSError as error:
        raise Skip(f"no IPv6 here: {error}")


@contextlib.contextmanager
def full(family, address):
    """A listener whose backlog is full: it swallows whatever comes."""
    with socket.socket(family) as listener, contextlib.ExitStack() as stack:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def insideNetwork():
    """In a network of its own: a name with an IPv6 address that answers nothing, and an IPv4
    one."""
    def run(*words):
        subprocess.run(words, check=True, capture_output=True)

    hosts = sys.argv[3]
    with open(hosts, 'w') as file:
        file.write(f'2001:db8::1 half-dead.test\n{HOST} half-dead.test\n')
    run('ip', 'link', 'set', 'lo', 'up')
    run('ip', 'addr', 'add', '2001:db8::1/128', 'dev', 'lo', 'nodad')
    run('mount', '--bind', hosts, '/etc/hosts')
    with pages() as port, full(socket.AF_INET6, ('2001:db8::1', port)):
        print('ready', flush=True)
        same(get(f'http://half-dead.test:{port}/data', '-c', '60'), data)


@case
def halfDead():
    """The first address swallows all packets: the next one is tried meanwhile (RFC 8305)."""
    if os.geteuid() != 0 or shutil.which('ip') is None:
        raise Skip("no network of its own can be made")
    with tempfile.NamedTemporaryFile() as hosts:
        result = subprocess.run(['unshare', '-n', '-m', sys.executable, __file__, program, 'inside',
                                 hosts.name], capture_output=True, text=True, timeout=LIMIT)
    if 'ready' not in result.stdout:
        raise Skip(f"no network of its own can be made: {result.stderr[-200:].strip()!r}")
    same(result.returncode, 0, result.stderr)


@case
def refused():
    with socket.socket() as closed:
        closed.bind((HOST, 0))
        get(f'http://{HOST}:{closed.getsockname()[1]}/', status=CONNECT)


@case
def connectTimeout():
    with full(socket.AF_INET, (HOST, 0)) as port:
        get(f'http://{HOST}:{port}/', '-c', '0.3', status=TIMEOUT)


@case
def idleTimeout():
    """A server that says nothing, and one that stops in the middle."""
    for words in (b'', b'HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nhalf'):
        with answers(lambda connection: (connection.sendall(words), readAll(connection))) as port:
            same(get(f'http://{HOST}:{port}/', '-i', '0.3', status=TIMEOUT), words[-4:])


@case
def totalTimeout():
    """A byte now and then keeps the connection busy, but not for ever."""
    def drip(connection):
        connection.sendall(b'HTTP/1.0 200 OK\r\n\r\n')
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b'x')
                time.sleep(0.05)

    with answers(drip) as port:
        get(f'http://{HOST}:{port}/', '-i', LIMIT, '-t', '0.5', status=TIMEOUT)


@case
def brokenReplies():
    head = b'HTTP/1.1 200 OK\r\nContent-Length: '
    reply(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort', REPLY, b'short')
    reply(head + b'4\r\n\r\nmore than four', GOOD, b'more')
    reply(b'', REPLY)
    reply(b'HTTP/1.1 200 OK\r\nnever ends', REPLY)
    reply(b'220 mail.test ESMTP\r\n\r\n', REPLY)
    reply(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', REPLY)
    reply(head + b'-1\r\n\r\n', REPLY)
    reply(head + b'99999999999999999999\r\n\r\n', REPLY)
    reply(head + b'4x\r\n\r\nfour', REPLY)
    reply(b'HTTP/1.1 200 OK\r\nX: \0\r\n\r\n', REPLY)
    reply(b'HTTP/1.1 200 OK\r\nX: ' + bytes(40000), REPLY)
    reply(bytes(range(256)) * 200, REPLY)
    reply(b'HTTP/1.0 204 No Content\r\n\r\n', GOOD)


@case
def slowReader():
    """Who doesn't read holds the server up, which isn't idle for that; nothing is lost."""
    total = 64 * MEBIBYTE
    sent = []

    def pour(connection):
        connection.sendall(b'HTTP/1.0 200 OK\r\n\r\n')
        connection.settimeout(LIMIT)
        for block in randomBlocks(total):
            connection.sendall(block)
            sent.append(len(block))

    with answers(pour) as port:
        client = Child(program, '-i', '0.5', f'http://{HOST}:{port}/', stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE)
        # Longer than the timeout, with nothing going on.
        quiet = [time.monotonic(), 0]

        def isQuiet():
            if len(sent) != quiet[1] or not client.isAsleep():
                quiet[:] = [time.monotonic(), len(sent)]
            return time.monotonic() - quiet[0] > 2 and len(sent) > 0

        waitFor(client.process, isQuiet, "held up")
        assert sum(sent) < total, "all was taken"
        assert client.memory() < client.memoryBound(), f"{client.memory()} bytes of memory"
        same(Worker(client.process.stdout.read).join(), b''.join(randomBlocks(total)))
        client.expectStatus(GOOD)
        client.process.stdout.close()


@case
def readerLeaves():
    with pages() as port:
        client = Child(program, f'http://{HOST}:{port}/data', stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE)
        client.process.stdout.close()
        assert 'Broken pipe' in client.expectStatus(OUTPUT)
    client = Child('sh', '-c', 'exec "$0" http://127.0.0.1:1/ >&-', program)
    client.expectStatus(OUTPUT)


@case
def usage():
    for words in ([], ['https://test/'], ['http:///'], ['http://a b/'], ['-c', '0', 'http://a/'],
                  ['-t', 'x', 'http://a/'], ['-z', 'http://a/'], ['http://a/', 'http://b/'],
                  ['http://a/' + 9000 * 'x']):
        client = Child(program, *words, stdout=subprocess.DEVNULL)
        assert client.expectStatus(USAGE) != ''


@case
def interrupt():
    """Nothing of its own: SIGINT ends it as any program."""
    asked = threading.Event()
    with answers(lambda connection: (asked.set(), readAll(connection))) as port:
        client = Child(program, f'http://{HOST}:{port}/', stdout=subprocess.DEVNULL)
        assert asked.wait(LIMIT), "no request"
        client.process.send_signal(signal.SIGINT)
        same(client.process.wait(timeout=LIMIT), -signal.SIGINT)


if len(sys.argv) > 2:
    insideNetwork()
else:
    main('http-get')
