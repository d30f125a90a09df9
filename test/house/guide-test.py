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
import socket
import subprocess
import sys
import threading

import snippets
import tap
from snippets import PATIENCE, Running, nameOf

root = pathlib.Path(sys.argv[1])
compiler = snippets.Compiler(root, pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
document = snippets.Document(root / 'doc' / 'guide.md')
guide, programs = document.text, document.programs
beginning = document.takeBeginning()


def found():
    assert len(document.snippets) >= 5 and beginning, len(document.snippets)
    assert sorted(map(nameOf, programs)) == sorted(runs), "each program is run here"


def files():
    for name in re.findall(r'doc/examples/([\w-]+\.c)', guide):
        assert (root / 'doc' / 'examples' / name).exists(), name


# ---- the programs ----

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
        running.interrupt()


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
        snippets.exchange(port, data)
        running.interrupt()
    with Running(program, 50) as running, \
            socket.create_connection(('127.0.0.1', running.readPort()), timeout=PATIENCE) as client:
        assert client.recv(1) == b'', "not dismissed"
        running.interrupt()


def tryProgram(text):
    runs[nameOf(text)](compiler.compileProgram(text))


runs = {'client': runClient, 'worker': runWorker, 'udp': runUdp, 'terminal': runTerminal,
        'idle': runIdle}

tap.runCases([('guide/found', found), ('guide/files', files)] +
             [(f'guide/{number}', lambda text=text: compiler.compileSnippet(beginning, text))
              for number, text in enumerate(document.snippets, 1)] +
             [(f'guide/{nameOf(text)}', lambda text=text: tryProgram(text))
              for text in programs])
