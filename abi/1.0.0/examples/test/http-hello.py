#!/usr/bin/env python3
"""
http-hello against curl, wrk, and clients that do what those don't.

usage: http-hello.py PROGRAM
"""

import re
import signal
import socket
import sys
import tempfile

from harness import HOST, LIMIT, MEBIBYTE, Program, Worker, case, connect, fillUntilBlocked, main, need, readAll, readExactly, runClient, same

program = sys.argv[1]
hello = b'Hello, world!\n'
get = b'GET / HTTP/1.1\r\nHost: test\r\n\r\n'
last = b'GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n'


def curl(server, *arguments, path='/'):
    need('curl')
    return runClient('curl', '-q', '--noproxy', '*', '-s', '-S', '--max-time', LIMIT, *arguments, f'http://{HOST}:{server.port}{path}').decode()


def parseReplies(data, heads=()):
    """Takes replies apart, strictly: [(status, fields, body)]. heads: indices of replies without a body."""
    replies = []
    place = 0
    while place < len(data):
        end = data.find(b'\r\n\r\n', place)
        assert end >= 0, f"an incomplete reply: {data[place:place + 200]!r}"
        first, *lines = data[place:end].decode().split('\r\n')
        match = re.fullmatch(r'HTTP/1\.1 (\d{3}) [A-Za-z ]+', first)
        assert match, f"not a status line: {first!r}"
        fields = {}
        for line in lines:
            name, mark, value = line.partition(': ')
            assert mark and name.lower() not in fields, f"a wrong field: {line!r}"
            fields[name.lower()] = value
        place = end + 4
        length = 0 if len(replies) in heads else int(fields['content-length'])
        assert len(data) >= place + length, "an incomplete body"
        replies.append((int(match[1]), fields, data[place:place + length]))
        place += length
    return replies


def readReply(client):
    """Reads one reply with a body and returns its status."""
    data = b''
    while not data.endswith(b'\r\n\r\n'):
        data += readExactly(client, 1)
    length = int(re.search(rb'\r\nContent-Length: (\d+)\r\n', data)[1])
    return parseReplies(data + readExactly(client, length))[0][0]


def ask(server, request, heads=()):
    """Sends one request or many, ends the output, and returns all replies."""
    with connect(server) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return parseReplies(readAll(client), heads)


@case
def curlGet():
    with Program(program, HOST, 0) as server:
        same(curl(server), hello.decode())
        same(curl(server, path='/?name=value'), hello.decode())
        server.waitIdle()


@case
def curlHead():
    with Program(program, HOST, 0) as server:
        head = curl(server, '-I')
        assert head.startswith('HTTP/1.1 200 OK\r\n') and head.endswith('\r\n\r\n'), head
        assert f'Content-Length: {len(hello)}\r\n' in head, head
        assert re.search(r'\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n', head), head
        server.waitIdle()


@case
def curlStatus():
    with Program(program, HOST, 0) as server:
        code = ['-o', '/dev/null', '-w', '%{http_code}']
        same(curl(server, *code, path='/favicon.ico'), '404')
        same(curl(server, *code, '-I', path='/nothing'), '404')
        same(curl(server, *code, '-d', 'some data'), '405')
        same(curl(server, *code, '-X', 'DELETE'), '405')
        same(curl(server, *code, '-H', 'X-Large: ' + 9000 * 'x'), '431')
        server.waitIdle()


@case
def curlUpload():
    """A body that nobody reads doesn't keep the reply from arriving."""
    with Program(program, HOST, 0) as server:
        with tempfile.NamedTemporaryFile() as body:
            body.write(bytes(4 * MEBIBYTE))
            body.flush()
            for expect in ('', '100-continue'):
                same(curl(server, '-o', '/dev/null', '-w', '%{http_code}', '-H', 'Expect: ' + expect, '--data-binary', '@' + body.name), '405')
        server.waitIdle()


@case
def curlKeepAlive():
    """The second request finds the connection of the first open, unless told otherwise."""
    with Program(program, HOST, 0) as server:
        url = f'http://{HOST}:{server.port}/'
        count = ['-w', '%{num_connects}\n', url]
        same(curl(server, *count), f'{hello.decode()}1\n{hello.decode()}0\n')
        same(curl(server, '--http1.0', '-H', 'Connection: keep-alive', *count), f'{hello.decode()}1\n{hello.decode()}0\n')
        same(curl(server, '--http1.0', *count), f'{hello.decode()}1\n{hello.decode()}1\n')
        same(curl(server, '-H', 'Connection: close', *count), f'{hello.decode()}1\n{hello.decode()}1\n')
        server.waitIdle()


def runWrk(server, *arguments):
    need('wrk')
    text = runClient('wrk', '-t', 2, '-c', 50, '-d', '2s', '--timeout', f'{LIMIT}s', *arguments, f'http://{HOST}:{server.port}/').decode()
    count = re.search(r'(\d+) requests in', text)
    assert count and int(count[1]) > 0, text
    for fault in ('Socket errors', 'Non-2xx'):
        assert fault not in text, text
    server.waitIdle()


@case
def wrk():
    with Program(program, HOST, 0) as server:
        runWrk(server)


@case
def wrkPipelining():
    with Program(program, HOST, 0) as server:
        with tempfile.NamedTemporaryFile('w', suffix='.lua') as script:
            script.write('init = function(arguments)\n'
                         '    local list = {}\n'
                         '    for index = 1, 16 do list[index] = wrk.format("GET", "/") end\n'
                         '    batch = table.concat(list)\n'
                         'end\n'
                         'request = function() return batch end\n')
            script.flush()
            runWrk(server, '-s', script.name)


@case
def browser():
    """What a browser sends, word for word, on one connection."""
    common = ('Host: 127.0.0.1:8080\r\nConnection: keep-alive\r\n'
              'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n'
              'Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nCookie: a=b; c=d\r\n')
    page = f'GET / HTTP/1.1\r\n{common}Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nUpgrade-Insecure-Requests: 1\r\n\r\n'
    icon = f'GET /favicon.ico HTTP/1.1\r\n{common}Accept: image/avif,image/webp,*/*\r\nReferer: http://127.0.0.1:8080/\r\n\r\n'
    with Program(program, HOST, 0) as server:
        with connect(server) as client:
            for request, status in ((page, 200), (icon, 404), (page, 200)):
                client.sendall(request.encode())
                same(readReply(client), status)
        server.waitIdle()


@case
def pipelining():
    """Ten thousand requests in one go: as many replies, in order."""
    with Program(program, HOST, 0) as server:
        with connect(server) as client:
            requests = [get, get.replace(b'/ ', b'/no ', 1), get.replace(b'GET', b'HEAD')]
            many = 9999
            heads = {index for index in range(many) if index % 3 == 2}
            sender = Worker(lambda: client.sendall(b''.join(requests) * (many // 3) + last))
            replies = parseReplies(readAll(client), heads)
            sender.join()
            same([reply[0] for reply in replies], [200, 404, 200] * (many // 3) + [200])
            same(replies[-1][1]['connection'], 'close')
        server.waitIdle()


@case
def pipeliningAndHalfClose():
    """All is answered although the client's end comes right behind its requests."""
    with Program(program, HOST, 0) as server:
        same(len(ask(server, get * 5000)), 5000)
        server.waitIdle()


@case
def splitRequests():
    """A request may come byte by byte, with another one's beginning in the last piece."""
    with Program(program, HOST, 0) as server:
        with connect(server) as client:
            for index in range(len(get)):
                client.sendall(get[index:index + 1])
            same(readReply(client), 200)
            client.sendall(get + get[:20])
            same(readReply(client), 200)
            client.sendall(get[20:])
            same(readReply(client), 200)
        server.waitIdle()


@case
def lineEnds():
    with Program(program, HOST, 0) as server:
        same([reply[0] for reply in ask(server, b'\r\n\r\n' + get + b'\r\n' + get.replace(b'\r', b'') + get)], [200, 200, 200])
        same([reply[0] for reply in ask(server, b'GET / HTTP/1.0\n\n')], [200])


@case
def absoluteTarget():
    with Program(program, HOST, 0) as server:
        for target, status in ((b'http://test/', 200), (b'http://test', 200), (b'HTTP://test/no', 404), (b'*', 404), (b'/index.html', 404)):
            same([reply[0] for reply in ask(server, get.replace(b'/', target, 1))], [status], target)


@case
def badRequests():
    """Each gets its status and the end of the connection: nothing behind it is answered."""
    faults = {
        b'\0': 400,
        b'GET\r\n\r\n': 400,
        b'GET /\r\n\r\n': 400,
        b'GET  / HTTP/1.1\r\nHost: test\r\n\r\n': 400,
        b' GET / HTTP/1.1\r\nHost: test\r\n\r\n': 400,
        b'GET / HTTP/1.1 \r\nHost: test\r\n\r\n': 400,
        b'GET / HTTP/1.x\r\nHost: test\r\n\r\n': 400,
        b'GET / FTP/1.1\r\nHost: test\r\n\r\n': 400,
        b'GET / HTTP/2.0\r\nHost: test\r\n\r\n': 505,
        b'GET / HTTP/1.1\r\n\r\n': 400,
        b'GET / HTTP/1.1\r\nHost: test\r\nHost: test\r\n\r\n': 400,
        b'GET / HTTP/1.1\r\nHost : test\r\n\r\n': 400,
        b'GET / HTTP/1.1\r\nHost: test\r\n folded: line\r\n\r\n': 400,
        b'GET / HTTP/1.1\r\nHost: test\r\nno colon\r\n\r\n': 400,
        b'GET / HTTP/1.1\r\nHost: test\r\n: no name\r\n\r\n': 400,
        b'GET /\0 HTTP/1.1\r\nHost: test\r\n\r\n': 400,
        b'GET / HTTP/1.1\r\nHost: test\r\nX: ' + 8192 * b'x': 431,
        b'GET /' + 9000 * b'x' + b' HTTP/1.1\r\nHost: test\r\n\r\n': 431,
    }
    with Program(program, HOST, 0) as server:
        for request, status in faults.items():
            if request == b'\0':
                request += b'\r\n\r\n'
            replies = ask(server, request + get + get)
            same([reply[0] for reply in replies], [status], request[:60])
            same(replies[0][1].get('connection'), 'close', request[:60])
        server.waitIdle()


@case
def body():
    """A body isn't read as a request."""
    with Program(program, HOST, 0) as server:
        for field in (b'Content-Length: %d' % len(get), b'Transfer-Encoding: chunked', b'Content-Length: x'):
            replies = ask(server, get.replace(b'\r\n\r\n', b'\r\n' + field + b'\r\n\r\n') + get)
            same([(reply[0], reply[1]['connection']) for reply in replies], [(200, 'close')])
        same(len(ask(server, get.replace(b'\r\n\r\n', b'\r\nContent-Length: 0\r\n\r\n') + get)), 2)
        replies = ask(server, b'POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello' + get)
        same([(reply[0], reply[1]['allow']) for reply in replies], [(405, 'GET, HEAD')])
        server.waitIdle()


@case
def largestHead():
    """Up to the limit a head is taken, also in pieces; an endless one is not."""
    with Program(program, HOST, 0) as server:
        frame = b'GET / HTTP/1.1\r\nHost: test\r\nX: %s\r\n\r\n'
        exact = frame % (b'x' * (8192 - len(frame % b'')))
        same([reply[0] for reply in ask(server, exact + get)], [200, 200])
        with connect(server) as client:
            for start in range(0, len(exact), 100):
                client.sendall(exact[start:start + 100])
            same(readReply(client), 200)


@case
def stalledReader():
    """Who asks and asks without reading is held up, and gets every reply in the end."""
    with Program(program, HOST, 0) as server:
        with connect(server, 65536) as client:
            block = get * 1000
            sent, rest = fillUntilBlocked(client, iter(lambda: block, None), 256 * MEBIBYTE)
            assert sent < 64 * MEBIBYTE, f"{sent} bytes were taken from a client that reads nothing"
            assert server.memory() < server.memoryBound(), f"{server.memory()} bytes of memory"
            sender = Worker(lambda: (client.sendall(rest), client.shutdown(socket.SHUT_WR)))
            same(len(parseReplies(readAll(client))), (sent + len(rest)) // len(get))
            sender.join()
        server.waitIdle()


@case
def terminateWhileConnected():
    with Program(program, HOST, 0) as server:
        with connect(server) as client:
            client.sendall(get)
            same(readReply(client), 200)
            client.sendall(get[:10])
            server.signal(signal.SIGTERM)
            same(client.recv(100), b'', 'end of the connection')
            server.finish()


@case
def interrupt():
    with Program(program, HOST, 0, stopSignal=signal.SIGINT):
        pass


main('http-hello')
