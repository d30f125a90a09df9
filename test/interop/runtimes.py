#!/usr/bin/env python3
"""
The examples for Python and LuaJIT, which load the shared library: each server against each client,
and against socat and ncat. The programs themselves end with an error if they have left a socket or
a buffer behind.

usage: runtimes.py EXAMPLES LIBRARY SANITIZE ECHO_SERVER
"""

import contextlib
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile

from harness import (ANY, HOST, LIMIT, MEBIBYTE, Program, Skip, Worker, case, connect,
                     fillUntilBlocked, main, need, randomBlocks, readAll, readExactly, runClient,
                     same)

examples, library, sanitize, nativeServer = sys.argv[1:]
os.environ['LD_LIBRARY_PATH'] = os.path.dirname(library)

python, lua = os.path.join(examples, 'python'), os.path.join(examples, 'lua')
SERVERS = {
    'python': [sys.executable, os.path.join(python, 'echo_server.py')],
    'asyncio': [sys.executable, os.path.join(python, 'asyncio_echo.py')],
    'luajit': ['luajit', os.path.join(lua, 'echo-server.lua')],
}
CLIENTS = {
    'python': [sys.executable, os.path.join(python, 'echo_client.py')],
    'luajit': ['luajit', os.path.join(lua, 'echo-client.lua')],
}
ROUNDS = 300
GROWTH = 2 * MEBIBYTE  # of resident memory, in ROUNDS

data = b''.join(randomBlocks(16 * MEBIBYTE + 4321))
digest = hashlib.sha256(data).hexdigest()


def needRuntime(command):
    if sanitize != 'none':
        raise Skip("a sanitized library can't be loaded by a program that isn't")
    if command[0] != sys.executable:
        need(command[0])


def startServer(name):
    needRuntime(SERVERS[name])
    return Program(*SERVERS[name], HOST, 0)


def runRuntime(name, port, **options):
    needRuntime(CLIENTS[name])
    return runClient(*CLIENTS[name], HOST, port, **options)


def sameHash(found):
    same((hashlib.sha256(found).hexdigest(), len(found)), (digest, len(data)))


def forEach(names):
    """Registers a case for each name."""
    def register(function):
        for name in names:
            def run(name=name):
                function(name)
            run.__name__ = f'{function.__name__}-{name}'
            case(run)
    return register


# ---- the servers ----

@forEach(SERVERS)
def socatClient(name):
    need('socat')
    with startServer(name) as server:
        sameHash(runClient('socat', '-t', LIMIT, '-', f'TCP:{HOST}:{server.port}', data=data))
        server.waitIdle()


@forEach(SERVERS)
def ncatClient(name):
    need('ncat')
    with startServer(name) as server:
        sameHash(runClient('ncat', HOST, server.port, data=data))
        server.waitIdle()


@forEach(SERVERS)
def pythonClient(name):
    with startServer(name) as server:
        sameHash(runRuntime('python', server.port, data=data))
        server.waitIdle()


@forEach(SERVERS)
def luajitClient(name):
    with startServer(name) as server:
        sameHash(runRuntime('luajit', server.port, data=data))
        server.waitIdle()


@forEach(SERVERS)
def manyClients(name):
    """All at once, each with data of its own."""
    with startServer(name) as server:
        parts = [data[index * 100000:(index + 5) * 100000] for index in range(40)]

        def exchange(part):
            with connect(server) as client:
                writer = Worker(client.sendall, part)
                same(readExactly(client, len(part)), part)
                writer.join()

        for worker in [Worker(exchange, part) for part in parts]:
            worker.join()
        server.waitIdle()


@forEach(SERVERS)
def resetConnection(name):
    """A client that goes without a goodbye takes nobody with it."""
    with startServer(name) as server:
        with connect(server) as other:
            client = connect(server)
            client.sendall(data[:100000])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            client.close()
            other.sendall(b'still here')
            other.shutdown(socket.SHUT_WR)
            same(readAll(other), b'still here')
        server.waitIdle()


@forEach(SERVERS)
def stalledReader(name):
    """Who sends without reading is held up, and loses nothing when it reads at last."""
    with startServer(name) as server:
        with connect(server, 65536) as client:
            blocks = list(randomBlocks(96 * MEBIBYTE))
            sent, _ = fillUntilBlocked(client, blocks, len(blocks) * MEBIBYTE)
            # The system's own buffers alone may be 32 MiB and more: see tcp(7), tcp_rmem.
            assert sent < 64 * MEBIBYTE, f"{sent} bytes were taken from a client that reads nothing"
            client.shutdown(socket.SHUT_WR)
            same(readAll(client), b''.join(blocks)[:sent])
        server.waitIdle()


@forEach(SERVERS)
def noGrowth(name):
    """Many connections leave no memory behind, and no descriptor."""
    part = data[:MEBIBYTE // 4]

    def runRounds(server, count):
        for _ in range(count):
            with connect(server) as client:
                writer = Worker(client.sendall, part)
                same(readExactly(client, len(part)), part)
                writer.join()
                client.shutdown(socket.SHUT_WR)
                same(readAll(client), b'')
        server.waitIdle()
        return server.memory('VmRSS')

    with startServer(name) as server:
        before = runRounds(server, ROUNDS // 5)  # pools, caches and the compiler find their size
        growth = runRounds(server, ROUNDS) - before
        assert growth < GROWTH, f"{growth} bytes in {ROUNDS} connections"


@forEach(SERVERS)
def terminateWhileConnected(name):
    """SIGTERM sends what is queued, ends open connections and the program."""
    with startServer(name) as server:
        with connect(server) as client:
            client.sendall(b'before')
            same(readExactly(client, 6), b'before')
            server.signal(signal.SIGTERM)
            same(readAll(client), b'')
            server.finish()


@forEach(SERVERS)
def interrupt(name):
    """SIGINT is the same, without a connection."""
    with startServer(name) as server:
        server.signal(signal.SIGINT)
        server.finish()


# ---- the clients ----

@contextlib.contextmanager
def socatServer():
    """Each connection becomes the standard input and output of a cat; yields the port."""
    need('socat')
    process = subprocess.Popen(['socat', '-d', '-d', f'TCP-LISTEN:0,bind={HOST},fork',
                                'EXEC:cat,nofork'],
                               stderr=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stderr if 'listening on' in line)
        yield int(re.search(r':(\d+)$', line)[1])
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@forEach(CLIENTS)
def nativeEchoServer(name):
    needRuntime(CLIENTS[name])
    with Program(nativeServer, ANY) as server:
        sameHash(runRuntime(name, server.port, data=data))
        server.waitIdle()


@forEach(CLIENTS)
def socatEchoServer(name):
    needRuntime(CLIENTS[name])
    with socatServer() as port:
        sameHash(runRuntime(name, port, data=data))


@forEach(CLIENTS)
def emptyInput(name):
    needRuntime(CLIENTS[name])
    with Program(nativeServer, ANY) as server:
        same(runRuntime(name, server.port, data=b''), b'')


@forEach(CLIENTS)
def fileInput(name):
    """A regular file instead of a pipe."""
    needRuntime(CLIENTS[name])
    with Program(nativeServer, ANY) as server, tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        sameHash(runRuntime(name, server.port, source=file))


@forEach(CLIENTS)
def refusedConnection(name):
    """An error is a status and a word, not a hang."""
    needRuntime(CLIENTS[name])
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]
    runRuntime(name, port, data=b'', expect=1)


@forEach(CLIENTS)
def boundedMemory(name):
    """However much passes through a client, it keeps but a little of it."""
    needRuntime(CLIENTS[name])
    blocks = list(randomBlocks(64 * MEBIBYTE))
    with Program(nativeServer, ANY) as server:
        process = subprocess.Popen([*CLIENTS[name], HOST, str(server.port)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def write():
            for block in blocks:
                process.stdin.write(block)
            process.stdin.flush()

        try:
            writer = Worker(write)
            for block in blocks:
                same(process.stdout.read(len(block)), block)
            writer.join()
            with open(f'/proc/{process.pid}/status') as status:
                memory = int(re.search(r'^VmHWM:\s*(\d+) kB$', status.read(), re.M)[1]) // 1024
            process.stdin.close()
            same(process.stdout.read(), b'')
            process.stdout.close()
            same(process.wait(LIMIT), 0, 'status')
        finally:
            process.kill()
        assert memory < 48, f"{memory} MiB"


# A handler raises while the ring is closed under its socket.
RAISES = {
    'python': (python, """
import socket, sys
sys.path.insert(0, sys.argv[1])
import fastsocket
def handle(connection, event, parameter):
    if event == fastsocket.POLLHUP:
        raise ValueError('told')
ring = fastsocket.Ring()
ours, peer = socket.socketpair()
connection = fastsocket.Socket(ring, ours.detach(), handle)
ring.wait(0)
try:
    ring.close()
except ValueError as error:
    print(error)
connection.release()
"""),
    'luajit': (lua, """
package.path = arg[1] .. '/?.lua'
local fastsocket, ffi = require('fastsocket'), require('ffi')
ffi.cdef('int socketpair(int family, int type, int protocol, int* handles);')
local handles = ffi.new('int[2]')
ffi.C.socketpair(1, 1, 0, handles)
local ring = fastsocket.ring()
local socket = ring:open(handles[0], function(_, event)
    if event == fastsocket.POLLHUP then
        error('told', 0)
    end
end)
ring:wait(0)
local good, message = pcall(ring.close, ring)
print(not good and message:match('^told') or 'lost')
socket:release()
"""),
}


@forEach(RAISES)
def raiseAtClose(name):
    """What a handler raises is not lost, when it is the last."""
    needRuntime(CLIENTS[name])
    directory, text = RAISES[name]
    with tempfile.NamedTemporaryFile('w') as script:
        script.write(text)
        script.flush()
        result = subprocess.run([CLIENTS[name][0], script.name, directory],
                                stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=LIMIT)
    same(result.stdout, b'told\n')


main('runtimes')
