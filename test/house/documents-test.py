#!/usr/bin/env python3
"""
The documents beside the guide: each snippet compiles without a warning, each program is run as its
document says, on both engines, and those that are written for other libraries do the same as ours.
What documents point at, in themselves and in each other, is there.

usage: documents-test.py SOURCE_ROOT LIBRARY SANITIZE COMPILER...
"""

import os
import pathlib
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading

import refusal
import snippets
import tap

root, library = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
compiler = snippets.Compiler(root, library, sys.argv[3], sys.argv[4:])
NAMES = ['from-libuv', 'from-libevent', 'sizing', 'recipes', 'faq']
documents = {path.stem: snippets.Document(path) for path in sorted((root / 'doc').glob('*.md'))}
guideBegins = documents['guide'].takeBeginning()
begins = {name: documents[name].takeBeginning() or guideBegins for name in NAMES}
ENGINES = ['epoll'] if refusal.reason() else ['io_uring', 'epoll']


# ---- what is there ----

def found():
    assert set(NAMES) <= set(documents), "a document is missing"
    programs = [snippets.nameOf(text) for name in NAMES for text in documents[name].programs]
    assert sorted(programs) == sorted(runs), "each program is run here"


def links():
    """Those of the README and of CONTRIBUTING, too."""
    others = [snippets.Document(root / name) for name in ('README.md', 'CONTRIBUTING.md')]
    faults = []
    for document in [*documents.values(), *others]:
        for link in document.links:
            if re.match(r'\w+:', link):
                continue
            name, _, anchor = link.partition('#')
            target = (document.path.parent / name).resolve() if name else document.path
            if not target.exists():
                faults.append(f"{document.path.name}: no file {name}")
            elif anchor and anchor not in snippets.Document(target).anchors:
                faults.append(f"{document.path.name}: no heading for {link}")
    assert not faults, '\n'.join(faults)


def files():
    """The examples that the text names."""
    for name in NAMES:
        for file in re.findall(r'doc/examples/([\w-]+\.c)', documents[name].text):
            assert (root / 'doc' / 'examples' / file).exists(), f"{name}: {file}"


def reached():
    """The guide or the README leads to each of them."""
    for name in NAMES:
        assert f'({name}.md)' in documents['guide'].text, f"the guide does not lead to {name}.md"
        assert f'doc/{name}.md' in (root / 'README.md').read_text(), f"README: {name}.md"


# ---- the programs ----

def serveEcho(program, **environment):
    with snippets.Running(program, **environment) as running:
        port = running.readPort()
        for size in (1, 65536, 1 << 20):
            snippets.exchange(port, bytes(range(256)) * (size // 256 + 1))
        with snippets.connectTo(port) as client, snippets.connectTo(port) as other:
            for one in (client, other):
                one.sendall(b'hello\n')
                assert one.recv(6, socket.MSG_WAITALL) == b'hello\n'
            running.interrupt()
            assert client.recv(1) == b'', "more than it was sent"


def onEngines(function):
    """On each engine that is to be had."""
    def run(program):
        for engine in ENGINES:
            function(program, FASTSOCKET_ENGINE=engine)
    return run


def runStarve(program, **environment):
    def starvations(count):
        with snippets.Running(program, count, **environment) as running:
            line = running.readLine().decode()
        return int(re.match(r'(\d+) starvations, \d+ turns, \d+ buffers there$', line)[1])

    assert starvations(1) > 0
    assert starvations(128) == 0


def runOffload(program, **environment):
    with snippets.Running(program, **environment) as running:
        port = running.readPort()
        with snippets.connectTo(port) as client:
            client.sendall(b'10\n100\n')
            client.shutdown(socket.SHUT_WR)
            assert client.makefile('rb').read() == b'4\n25\n'
        with snippets.connectTo(port) as client:  # is gone before the answer comes
            client.sendall(b'100000\n' * 3)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        with snippets.connectTo(port) as client:
            client.sendall(b'2\n')
            assert client.recv(2, socket.MSG_WAITALL) == b'1\n'
            running.interrupt()


def makeCertificate(host):
    tool = shutil.which('openssl')
    if tool is None:
        raise tap.Skip("openssl is missing")
    key, certificate = compiler.place(f'{host}.key'), compiler.place(f'{host}.pem')
    tap.run([tool, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
             '-nodes', '-days', '2', '-subj', f'/CN={host}', '-addext',
             f'subjectAltName=DNS:{host}', '-keyout', key, '-out', certificate])
    return certificate, key


def answerInCapitals(listening, context, results):
    connection, _ = listening.accept()
    try:
        connection.settimeout(snippets.PATIENCE)
        with context.wrap_socket(connection, server_side=True) as secured:
            received = b''
            while not received.endswith(b'two words\n'):
                received += secured.recv(65536)
            secured.sendall(received.upper())
            secured.unwrap()
    except (OSError, ssl.SSLError) as error:
        results.append(error)
    finally:
        connection.close()


def askSecured(program, name, environment):
    """The client's exit status and output, and the server's errors; its certificate is name's."""
    certificate, key = makeCertificate(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    results = []
    with socket.create_server(('127.0.0.1', 0)) as listening:
        listening.settimeout(snippets.PATIENCE)
        server = threading.Thread(target=answerInCapitals, args=(listening, context, results),
                                  daemon=True)
        server.start()
        client = subprocess.run(
            [program, f'localhost:{listening.getsockname()[1]}', certificate, 'one', 'two words'],
            capture_output=True, timeout=snippets.PATIENCE, env={**os.environ, **environment})
        server.join(snippets.PATIENCE)
    return client, results


def runTls(program, **environment):
    client, errors = askSecured(program, 'localhost', environment)
    assert (client.returncode, client.stdout) == (0, b'ONE\nTWO WORDS\n'), (client, errors)
    client, errors = askSecured(program, 'elsewhere', environment)
    assert client.returncode == 1 and b'certificate' in client.stderr, (client, errors)
    assert client.stdout == b'' and errors, "the server was told something"


runs = {
    'uv-echo': serveEcho,
    'event-echo': serveEcho,
    'echo': onEngines(serveEcho),
    'starve': onEngines(runStarve),
    'offload': onEngines(runOffload),
    'tls-client': onEngines(runTls),
}


def cases():
    for name in NAMES:
        document = documents[name]
        for number, text in enumerate(document.snippets, 1):
            yield (f'documents/{name}/{number}',
                   lambda name=name, text=text: compiler.compileSnippet(begins[name], text))
        for text in document.programs:
            yield (f'documents/{name}/{snippets.nameOf(text)}',
                   lambda text=text: runs[snippets.nameOf(text)](compiler.compileProgram(text)))


tap.runCases([('documents/found', found), ('documents/links', links), ('documents/files', files),
              ('documents/reached', reached), *cases()])
