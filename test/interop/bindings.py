#!/usr/bin/env python3
"""
The loaders for other runtimes in doc/examples: their servers and clients, a thousand connections,
and a trial for each of what can go wrong between C that calls back and a runtime: exceptions,
releases inside a handler, the collector, an end with everything left. A runtime that is missing
makes its cases skips; with BINDINGS_NEEDED=yes in the environment, failures.

usage: bindings.py EXAMPLES INCLUDE LIBRARY SANITIZE CACHE

CACHE is a folder for what the Go compiler keeps. koffi is looked for where Node looks from
EXAMPLES/node, and in NODE_PATH.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from harness import (HOST, LIMIT, MEBIBYTE, Program, Skip, case, connect, fillUntilBlocked, main,
                     need, randomBlocks, readAll, readExactly, runClient, same)

examples, include, library, cache = (pathlib.Path(os.path.abspath(sys.argv[index]))
                                     for index in (1, 2, 3, 5))
sanitize = sys.argv[4]
trials = pathlib.Path(__file__).parent / 'trials'
work = pathlib.Path(tempfile.mkdtemp(prefix='fastsocket-bindings-'))
os.environ['LD_LIBRARY_PATH'] = str(library.parent)
COMPILING = 900  # seconds, on a busy machine

CONNECTIONS = 1000
TRIAL = ['raised: told', 'usable: firstagain', 'released', 'collected: 100', 'exit']

data = b''.join(randomBlocks(4 * MEBIBYTE + 4321))


def build(command, **options):
    result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            timeout=COMPILING, **options)
    assert result.returncode == 0, result.stdout


class Interpreted:
    """A runtime that runs the sources."""

    def __init__(self, command, folder, server, client, trial):
        self.command = command
        self.folder = folder
        self.programs = {'server': examples / folder / server, 'client': examples / folder / client,
                         'trial': trials / trial}

    def check(self):
        need(self.command[0])

    def run(self, program):
        self.check()
        words = [*self.command, self.programs[program]]
        return [*words, examples / self.folder] if program == 'trial' else words


class Ruby(Interpreted):
    def check(self):
        super().check()
        if subprocess.run(['ruby', '-e', 'require "ffi"'], capture_output=True).returncode != 0:
            raise Skip("ruby-ffi is missing")


class Node(Interpreted):
    def check(self):
        super().check()
        if subprocess.run(['node', '-e', 'require("koffi")'], capture_output=True,
                          cwd=examples / self.folder).returncode != 0:
            raise Skip("koffi is missing: npm install in doc/examples/node")


class Rust:
    """A binding is a file beside the program."""

    @functools.lru_cache(None)
    def build(self, program):
        need('rustc')
        source = work / 'rust'
        if not source.exists():
            shutil.copytree(examples / 'rust', source)
            shutil.copy(trials / 'trial.rs', source)
        name = {'server': 'echo_server', 'client': 'echo_client', 'trial': 'trial'}[program]
        build(['rustc', '--edition', '2021', '-D', 'warnings', '-O', f'{name}.rs', '-o', name,
               '-L', library.parent, '-l', 'fastsocket'], cwd=source)
        return source / name

    def run(self, program):
        return [self.build(program)]


class Go:
    """A binding is a package of the module."""

    @functools.lru_cache(None)
    def build(self, program):
        need('go')
        source = work / 'go'
        if not source.exists():
            shutil.copytree(examples / 'go', source)
            (source / 'trial').mkdir()
            shutil.copy(trials / 'trial.go', source / 'trial' / 'main.go')
        package = {'server': 'echo-server', 'client': 'echo-client', 'trial': 'trial'}[program]
        environment = dict(os.environ, GOCACHE=str(cache), GOFLAGS='-mod=mod', GOPROXY='off',
                           CGO_CFLAGS=f'-I{include}', CGO_LDFLAGS=f'-L{library.parent}')
        build(['go', 'vet', f'./{package}', './fastsocket'], cwd=source, env=environment)
        build(['go', 'build', '-o', f'{program}.bin', f'./{package}'], cwd=source, env=environment)
        return source / f'{program}.bin'

    def run(self, program):
        return [self.build(program)]


RUNTIMES = {
    'python': Interpreted([sys.executable], 'python', 'echo_server.py', 'echo_client.py',
                          'trial.py'),
    'luajit': Interpreted(['luajit'], 'lua', 'echo-server.lua', 'echo-client.lua', 'trial.lua'),
    'ruby': Ruby(['ruby'], 'ruby', 'echo_server.rb', 'echo_client.rb', 'trial.rb'),
    'node': Node(['node', '--expose-gc'], 'node', 'echo-server.js', 'echo-client.js', 'trial.js'),
    'rust': Rust(),
    'go': Go(),
}
OTHERS = ['ruby', 'node', 'rust', 'go']  # runtimes.py has more about the first two


def command(name, program):
    if sanitize != 'none':
        raise Skip("a sanitized library can't be loaded by a program that isn't")
    try:
        return RUNTIMES[name].run(program)
    except Skip as reason:
        assert 'BINDINGS_NEEDED' not in os.environ, reason
        raise


def forEach(names):
    """Registers a case for each name."""
    def register(function):
        for name in names:
            def run(name=name):
                function(name)
            run.__name__ = f'{function.__name__}-{name}'
            case(run)
    return register


def startServer(name):
    return Program(*command(name, 'server'), HOST, 0)


def sameHash(found):
    same((hashlib.sha256(found).hexdigest(), len(found)),
         (hashlib.sha256(data).hexdigest(), len(data)))


@forEach(RUNTIMES)
def trial(name):
    """Exceptions (Go's go through C), a release inside a handler, the collector, the end."""
    result = subprocess.run([str(word) for word in command(name, 'trial')], timeout=LIMIT,
                            stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert result.returncode == 0, f"status {result.returncode}: {result.stderr}"
    expected = [*TRIAL[:-1], 'shared: 1000', 'exit'] if name == 'node' else TRIAL
    same([re.sub('a handler: ', '', line) for line in result.stdout.splitlines()], expected)


@forEach(RUNTIMES)
def thousand(name):
    """So many connections at once, each with bytes of its own; nothing of them stays."""
    words = command(name, 'server')
    enough = 2 * CONNECTIONS + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < enough:
        raise Skip("so many descriptors are not allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))
    with Program(*words, HOST, 0) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(CONNECTIONS)]
        for index, client in enumerate(clients):
            client.sendall(b'%016d' % index * 64)
        for index, client in enumerate(clients):
            same(readExactly(client, 1024), b'%016d' % index * 64)
        stack.close()
        server.waitIdle()


@forEach(RUNTIMES)
def exchange(name):
    """Its client and its server."""
    with startServer(name) as server:
        sameHash(runClient(*command(name, 'client'), HOST, server.port, data=data))
        server.waitIdle()


@forEach(OTHERS)
def socatClient(name):
    need('socat')
    with startServer(name) as server:
        sameHash(runClient('socat', '-t', LIMIT, '-', f'TCP:{HOST}:{server.port}', data=data))


@forEach(OTHERS)
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


@forEach(OTHERS)
def fileInput(name):
    """A regular file as input, and another as output."""
    with startServer(name) as server, tempfile.TemporaryFile() as source, \
            tempfile.TemporaryFile() as sink:
        source.write(data)
        source.seek(0)
        words = [str(word) for word in [*command(name, 'client'), HOST, server.port]]
        status = subprocess.run(words, stdin=source, stdout=sink, timeout=LIMIT).returncode
        same(status, 0, 'status')
        sink.seek(0)
        sameHash(sink.read())


@forEach(OTHERS)
def refusedConnection(name):
    """An error is a status and a word, not a hang."""
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]
    runClient(*command(name, 'client'), HOST, port, data=b'', expect=1)


@forEach(OTHERS)
def terminateWhileConnected(name):
    """A signal ends open connections and the program, in good order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        with startServer(name) as server, connect(server) as client:
            client.sendall(b'before')
            same(readExactly(client, 6), b'before')
            server.signal(number)
            same(readAll(client), b'')
            server.finish()


# ---- numbers ----

def readConstants(text):
    """Name and number of what a loader defines, one by one or in rows, by their names in C."""
    row = re.compile(r'^\s*((?:(?:MODE|POLL)\w+, )+(?:MODE|POLL)\w+) = ([\w, ]+)$', re.M)
    for names, values in row.findall(text):
        yield from zip(names.split(', '), values.split(', '), strict=True)
    yield from re.findall(r'\b((?:MODE|POLL)[A-Z_]*) = (0x[0-9a-f]+|\d+)', row.sub('', text))
    yield from re.findall(r'^pub const (\w+): \w+ = ([\w <]+);', text, re.M)


@case
def constants():
    """The loaders write out what C has as macros: the same numbers, and in Rust all features."""
    found = set()
    for path in sorted(examples.glob('*/fastsocket.*')):
        ours = {(re.sub('^MODE', 'FASTSOCKET_MODE', name), eval(value))
                for name, value in readConstants(path.read_text())}
        assert ours, path
        found |= ours
    headers = ''.join(path.read_text() for path in (include / 'Ring').glob('*.h'))
    features = set(re.findall(r'^#define (FASTRING_FEATURE_\w+)', headers, re.M))
    same(features - {name for name, _ in found}, set(), 'features that Rust lacks')
    source = work / 'constants.c'
    source.write_text('#include <Ring/FastSocket.h>\n' + ''.join(
        f'_Static_assert({name} == {value}, "{name}");\n' for name, value in sorted(found)))
    need('cc')
    build(['cc', f'-I{include}', '-fsyntax-only', source])


try:
    main('bindings')
finally:
    shutil.rmtree(work)
