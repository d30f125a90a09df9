#!/usr/bin/env python3
"""
Each snippet of doc/guide.md compiles without a warning. One with a main is a complete program,
whose first line names it: it is linked too, and run as its section says. Of the others the first is
how the file of every other begins; one without a function of its own stands inside one.

usage: guide-test.py SOURCE_ROOT LIBRARY SANITIZE COMPILER...
"""

import os
import pathlib
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import tap

root, library = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sanitize, compiler = sys.argv[3], sys.argv[4:]
guide = (root / 'doc' / 'guide.md').read_text()
blocks = re.findall(r'^```c\n(.*?)^```$', guide, re.M | re.S)
programs = [text for text in blocks if re.search(r'^int main\(', text, re.M)]
snippets = [text for text in blocks if text not in programs]
beginning = snippets[0] if snippets else ''
WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Werror', '-Wno-unused-function']
PATIENCE = 120  # seconds; bounds a hang only

work = tempfile.TemporaryDirectory(prefix='fastsocket-guide-')


def nameOf(program):
    found = re.match(r'/\* (\w+)\.c: ', program)
    return found[1] if found else 'nameless'


def compileSnippet(text):
    if not re.search(r'^static ', text, re.M):
        text = f"void snippet(void);\nvoid snippet(void)\n{{\n{text}}}\n"
    source = pathlib.Path(work.name) / 'snippet.c'
    source.write_text(beginning + text)
    tap.run([*compiler, '-std=c11', *WARNINGS, f'-I{root / "include"}', '-c', source, '-o',
             source.with_suffix('.o')])


def compileProgram(text):
    source = pathlib.Path(work.name) / f'{nameOf(text)}.c'
    source.write_text(text)
    sanitizer = [] if sanitize == 'none' else [f'-fsanitize={sanitize}']
    tap.run([*compiler, *WARNINGS, *sanitizer, f'-I{root / "include"}', source, library,
             f'-Wl,-rpath,{library.parent}', '-pthread', '-o', source.with_suffix('')])
    return source.with_suffix('')


def found():
    assert len(snippets) >= 5 and '#include' in beginning, len(snippets)
    assert sorted(map(nameOf, programs)) == sorted(runs), "each program is run here"


def anchors():
    """What the guide points at within itself is there."""
    titles = [re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-')
              for title in re.findall(r'^#+ (.*)$', guide, re.M)]
    for target in re.findall(r'\]\(#([^)]*)\)', guide):
        assert target in titles, target


def files():
    for name in re.findall(r'doc/examples/([\w-]+\.c)', guide):
        assert (root / 'doc' / 'examples' / name).exists(), name


# ---- the programs ----

class Running:
    """A program as a child process; as a context it must end by itself with status 0."""

    def __init__(self, *words, stdin=subprocess.DEVNULL):
        self.process = subprocess.Popen([str(word) for word in words], stdin=stdin,
                                        stdout=subprocess.PIPE)

    def readLine(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        assert ready, "the program says nothing"
        return self.process.stdout.readline()

    def readPort(self):
        return int(re.fullmatch(rb'port (\d+)\n', self.readLine())[1])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                assert self.process.wait(PATIENCE) == 0, f"exit status {self.process.returncode}"
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


def serve(listening, answer):
    """Takes one connection, reads to its end, and answers."""
    connection, _ = listening.accept()
    with connection:
        connection.settimeout(PATIENCE)
        received = b''
        while part := connection.recv(65536):
            received += part
        connection.sendall(answer(received))


def withServer(function):
    """Calls function with the port of a server that answers in capitals."""
    with socket.create_server(('127.0.0.1', 0)) as listening:
        listening.settimeout(PATIENCE)
        server = threading.Thread(target=serve, args=(listening, bytes.upper), daemon=True)
        server.start()
        function(str(listening.getsockname()[1]))
        server.join(PATIENCE)


def runClient(program):
    def talk(port):
        assert tap.run([program, '127.0.0.1', port, 'one', 'two words']) == 'ONE\nTWO WORDS\n'
    withServer(talk)
    with socket.create_server(('127.0.0.1', 0)) as listening:
        port = str(listening.getsockname()[1])
    refused = subprocess.run([program, '127.0.0.1', port, 'nobody'], capture_output=True,
                             timeout=PATIENCE)
    assert refused.returncode == 1 and b'refused' in refused.stderr, refused


def runWorker(program):
    assert tap.run([program]).split() == '2 3 5 7 11 13 17 19 23 29 31 37 41 43 47'.split()


def runUdp(program):
    with Running(program) as running, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.connect(('127.0.0.1', running.readPort()))
        for size in (0, 1, 1000):
            client.send(bytes(size))
            assert client.recv(100) == b'%d bytes\n' % size, size
        running.process.send_signal(signal.SIGINT)


def runTerminal(program):
    def talkByPipes(port):
        with Running(program, '127.0.0.1', port, stdin=subprocess.PIPE) as running:
            running.process.stdin.write(b'text ' * 100000)
            running.process.stdin.close()
            assert running.process.stdout.read() == b'TEXT ' * 100000

    def talkByTerminal(port):
        side, handle = pty.openpty()
        with Running(program, '127.0.0.1', port, stdin=handle) as running:
            os.write(side, b'typed\n\x04')
            assert running.process.stdout.read() == b'TYPED\n'
        os.close(side)
        os.close(handle)

    withServer(talkByPipes)
    withServer(talkByTerminal)


def runIdle(program):
    data = bytes(range(256)) * 4096
    with Running(program) as running:
        port = running.readPort()
        with socket.create_connection(('127.0.0.1', port), timeout=PATIENCE) as client:
            writer = threading.Thread(target=lambda: (client.sendall(data),
                                                      client.shutdown(socket.SHUT_WR)), daemon=True)
            writer.start()
            assert client.makefile('rb').read() == data
            writer.join(PATIENCE)
        running.process.send_signal(signal.SIGINT)
    with Running(program, 50) as running, \
            socket.create_connection(('127.0.0.1', running.readPort()), timeout=PATIENCE) as client:
        assert client.recv(1) == b'', "not dismissed"
        running.process.send_signal(signal.SIGINT)


def tryProgram(text):
    program = compileProgram(text)
    runs[nameOf(text)](program)


runs = {'client': runClient, 'worker': runWorker, 'udp': runUdp, 'terminal': runTerminal,
        'idle': runIdle}

tap.runCases([('guide/found', found), ('guide/anchors', anchors), ('guide/files', files)] +
             [(f'guide/{number}', lambda text=text: compileSnippet(text))
              for number, text in enumerate(snippets[1:], 1)] +
             [(f'guide/{nameOf(text)}', lambda text=text: tryProgram(text))
              for text in programs])
