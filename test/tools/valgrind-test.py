#!/usr/bin/env python3
"""
Under valgrind's memcheck programs of the library run without a report, keep their threads going and
end at a signal while they wait: examples, and a program that looks at what counts as written.

No wait has a fixed length: LIMIT only bounds a hang.

usage: valgrind-test.py VALGRIND SANITIZE MEMORY_PROGRAM HTTP_HELLO WORKERS LINES
"""

import contextlib
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'house'))
import tap

valgrind, sanitize, memory, httpHello, workers, lines = sys.argv[1:7]
LIMIT = 240
REPORTED = 99  # exit status of a program that has a report


def command(log, *arguments):
    return [valgrind, '--leak-check=full', f'--error-exitcode={REPORTED}', f'--log-file={log}',
            *arguments]


def check(status, log, words=''):
    text = pathlib.Path(log).read_text()
    assert status == 0 and 'ERROR SUMMARY: 0 errors' in text, f"status {status}\n{words}{text}"
    assert 'WARNING' not in text, f"a call that valgrind doesn't know\n{text}"


@contextlib.contextmanager
def server(program):
    """Runs it until the block ends; then SIGTERM must end it while it waits, without a report."""
    with tempfile.TemporaryDirectory(prefix='fastsocket-valgrind-') as directory:
        log = f'{directory}/log'
        process = subprocess.Popen(command(log, program, '127.0.0.1:0'),
                                   stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline()
            yield int(re.fullmatch(r'listening on 127\.0\.0\.1:(\d+)\n', line)[1])
            process.send_signal(signal.SIGTERM)
            check(process.wait(timeout=LIMIT), log)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def connect(port):
    return socket.create_connection(('127.0.0.1', port), timeout=LIMIT)


def exchange(client, data, size):
    client.sendall(data)
    answer = b''
    while len(answer) < size:
        part = client.recv(size - len(answer))
        assert part, f"the end after {answer!r}"
        answer += part
    return answer


# §2.8 valgrind: a server that looks at every byte
def parsesInput():
    with server(httpHello) as port:
        for _ in range(3):
            with connect(port) as client:
                for _ in range(3):
                    answer = exchange(client, b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 12)
                    assert answer == b'HTTP/1.1 200', answer
                    client.recv(65536)


# §2.8 valgrind: threads work while the ring waits, and their events wake it
def runsThreads():
    with server(workers) as port:
        clients = [connect(port) for _ in range(3)]
        for turn in range(5):
            for client in clients:
                assert exchange(client, b'%d' % turn, 2) == b'3%d' % turn
        for client in clients:
            client.close()


def readsLines():
    """A client: its input, its connection, and the end of both."""
    with tempfile.TemporaryDirectory(prefix='fastsocket-valgrind-') as directory, \
            socket.create_server(('127.0.0.1', 0)) as listener:
        log = f'{directory}/log'
        port = listener.getsockname()[1]
        process = subprocess.Popen(command(log, lines, f'127.0.0.1:{port}', 'one', 'two'),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        try:
            listener.settimeout(LIMIT)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(LIMIT)
                while data := connection.recv(4096):
                    connection.sendall(data)
            words, _ = process.communicate(timeout=LIMIT)
            check(process.returncode, log, words)
            assert 'one' in words and 'two' in words, words
        finally:
            process.kill()
            process.wait()


# §2.8 valgrind: what the kernel wrote, and nothing else
def knowsMemory():
    with tempfile.TemporaryDirectory(prefix='fastsocket-valgrind-') as directory:
        result = subprocess.run([valgrind, f'--error-exitcode={REPORTED}',
                                 f'--log-file={directory}/%p.log', memory],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=LIMIT)
        logs = ''.join(path.read_text() for path in pathlib.Path(directory).iterdir())
    assert result.returncode == 0 and 'not ok' not in result.stdout and '\nok ' in result.stdout, \
        f"status {result.returncode}\n{result.stdout}{logs}"


def reasonAgainst():
    """Why valgrind can't be used here, or None."""
    if sanitize != 'none':
        return "a sanitizer is built in"
    if not valgrind:
        return "valgrind is missing"
    result = subprocess.run([valgrind, '-q', '/bin/true'], stdin=subprocess.DEVNULL,
                            capture_output=True, timeout=LIMIT)
    return None if result.returncode == 0 else "valgrind runs no program here"


if reasonAgainst():
    print(f"1..0 # SKIP {reasonAgainst()}")
    sys.exit(0)
tap.runCases([
    ('valgrind/knowsMemory', knowsMemory),
    ('valgrind/parsesInput', parsesInput),
    ('valgrind/runsThreads', runsThreads),
    ('valgrind/readsLines', readsLines),
])
