"""
What the tests against foreign clients share: cases in TAP, the examples as child processes, clients
with a time limit, and a bounded wait for a condition.

No wait has a fixed length: each ends with what it waits for, and LIMIT only bounds a hang.
"""

import contextlib
import hashlib
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'house'))
import tap

LIMIT = 240  # seconds: far more than anything takes on a busy machine
HOST = '127.0.0.1'
MEBIBYTE = 1024 * 1024

cases = []


class Skip(Exception):
    """The case can't run here; the text says why."""


def case(function):
    """Registers a test: a function without arguments that raises when its promise is broken."""
    cases.append(function)
    return function


def need(tool):
    if shutil.which(tool) is None:
        raise Skip(f"{tool} is missing")


def main(area):
    failed = 0
    tap.needRingForAll()
    # Who ends a test early, by a time limit say, must not leave the programs behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"1..{len(cases)}", flush=True)
    for number, function in enumerate(cases, 1):
        name = f"{area}/{function.__name__}"
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {name}")
            print(''.join('# ' + line + '\n' for line in traceback.format_exc().splitlines()), end='', flush=True)
    sys.exit(1 if failed else 0)


def same(found, expected, what='data'):
    """assert found == expected, with a message that doesn't print megabytes."""
    if found == expected:
        return
    if isinstance(found, (bytes, bytearray)):
        place = next((index for index, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]),
                     min(len(found), len(expected)))
        raise AssertionError(f"{what}: {len(found)} bytes instead of {len(expected)}, different from byte {place} on: "
                             f"{bytes(found[place:place + 60])!r} instead of {bytes(expected[place:place + 60])!r}")
    raise AssertionError(f"{what}: {repr(found)[:1000]} instead of {repr(expected)[:1000]}")


def waitFor(process, condition, what):
    """Waits until a condition holds, as long as the process lives."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"still not: {what}"
        try:
            status = process.wait(timeout=0.01)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"ended with status {status} before: {what}")


def isListening(path):
    """Whether somebody listens at the path of a unix socket: it is there before."""
    with open('/proc/net/unix') as sockets:
        return any(line.split()[3] == '00010000' and line.rstrip('\n').endswith(' ' + path) for line in sockets)


class Child:
    """An example as a child process: what it uses, and what it has said on its standard error."""

    def __init__(self, *arguments, featuresOff=None, **options):
        environment = dict(os.environ)
        # The sanitizer's quarantine would count as memory of the program.
        environment['ASAN_OPTIONS'] = environment.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=4'
        if featuresOff is not None:
            environment['FASTSOCKET_FEATURES_OFF'] = featuresOff
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(word) for word in arguments], stderr=self.errors,
                                        env=environment, **options)

    def countDescriptors(self):
        return len(os.listdir(f'/proc/{self.process.pid}/fd'))

    def memory(self, field='VmHWM'):
        """Bytes; VmHWM is the most that was ever resident."""
        with open(f'/proc/{self.process.pid}/status') as status:
            return int(re.search(rf'^{field}:\s*(\d+) kB$', status.read(), re.M)[1]) * 1024

    def isAsleep(self):
        """No thread of it runs, nor waits for a processor to run on."""
        states = []
        for task in os.listdir(f'/proc/{self.process.pid}/task'):
            with contextlib.suppress(OSError), open(f'/proc/{self.process.pid}/task/{task}/stat') as stat:
                states.append(stat.read().rpartition(')')[2].split()[0])
        return not set(states) & {'R', 'D'}

    def cpuTime(self):
        """Seconds; of a child that has ended too, while nobody has waited for it."""
        with open(f'/proc/{self.process.pid}/stat') as stat:
            fields = stat.read().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def isSanitized(self):
        with open(f'/proc/{self.process.pid}/exe', 'rb') as program:
            return b'__asan_init' in program.read()

    def memoryBound(self):
        """Shadow memory and red zones count as well."""
        return (192 if self.isSanitized() else 64) * MEBIBYTE

    def readErrors(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors='replace')

    def expectStatus(self, expected):
        """Waits for the end. Returns what it has said."""
        status = self.process.wait(timeout=LIMIT)
        words = self.readErrors()
        assert status == expected, f"status {status}; {words}"
        for sign in ('Sanitizer', 'runtime error'):
            assert sign not in words, words
        return words


class Program(Child):
    """
    A server. As a context it is ended with SIGTERM, and must then end with status 0 and without a word
    from a sanitizer.
    """

    def __init__(self, *arguments, stopSignal=signal.SIGTERM, stdin=subprocess.DEVNULL):
        super().__init__(*arguments, stdin=stdin, stdout=subprocess.PIPE)
        self.stopSignal = stopSignal
        try:
            line = self.readLine()
            match = re.fullmatch(r'listening on (unix:(?P<path>.+)|\[?(?P<host>[^]]+)\]?:(?P<port>\d+))\n', line)
            assert match, f"instead of an address: {line!r}"
            self.path = match['path']
            self.host = match['host']
            self.port = int(match['port'] or 0)
            self.descriptors = self.countDescriptors()
        except BaseException:
            self.kill()
            raise

    def readLine(self):
        ready, _, _ = select.select([self.process.stdout], [], [], LIMIT)
        assert ready, "no word where it listens"
        return self.process.stdout.readline().decode()

    def waitIdle(self):
        """Waits until every connection has left its last trace."""
        waitFor(self.process, lambda: self.countDescriptors() == self.descriptors,
                f"descriptors as at the start: {self.descriptors}")

    def signal(self, number):
        self.process.send_signal(number)

    def finish(self):
        """Waits for the end. The program was told to end."""
        self.expectStatus(0)
        self.process.stdout.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        for line in self.readErrors().splitlines():
            print('# program: ' + line, flush=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            with contextlib.suppress(Exception):
                print(f"# the program lives: {self.process.poll() is None}, {self.countDescriptors()} descriptors")
            self.kill()
            return
        try:
            self.signal(self.stopSignal)
            self.finish()
        except BaseException:
            self.kill()
            raise


def runClient(*arguments, data=None, source=None, expect=0):
    """Runs a foreign client to its end, with data or a file as its input, and returns its output."""
    result = subprocess.run([str(word) for word in arguments], input=data,
                            stdin=source if data is None else None,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT)
    assert result.returncode == expect, f"{arguments}: status {result.returncode}: {result.stderr.decode(errors='replace')}"
    return result.stdout


class Talk:
    """A foreign client that is kept open: for protocols that have no end of their own."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([str(word) for word in arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)

    def exchange(self, data):
        """Sends data and returns as many bytes as come back of that many."""
        os.write(self.process.stdin.fileno(), data)
        answer = b''
        while len(answer) < len(data):
            ready, _, _ = select.select([self.process.stdout], [], [], LIMIT)
            assert ready, f"{len(answer)} of {len(data)} bytes came back"
            part = os.read(self.process.stdout.fileno(), MEBIBYTE)
            assert part, f"the end after {len(answer)} of {len(data)} bytes"
            answer += part
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def connect(program, bufferSize=None):
    """A TCP connection of our own, for what the tools can't do."""
    family = socket.AF_INET6 if ':' in program.host else socket.AF_INET
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(LIMIT)
    if bufferSize is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, bufferSize)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, bufferSize)
    client.connect((program.host, program.port))
    return client


def readAll(connection):
    parts = []
    while part := connection.recv(MEBIBYTE):
        parts.append(part)
    return b''.join(parts)


def readExactly(connection, size):
    data = b''
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, f"the end after {len(data)} of {size} bytes"
        data += part
    return data


def fillUntilBlocked(connection, blocks, limit):
    """
    Sends blocks until the connection takes no more for a second, or limit bytes have gone. Returns
    the number of bytes, and what is left of the block that got stuck.
    """
    total = 0
    connection.setblocking(False)
    try:
        for block in blocks:
            rest = memoryview(block)
            while rest:
                try:
                    sent = connection.send(rest)
                except BlockingIOError:
                    _, writable, _ = select.select([], [connection], [], 1)
                    if not writable:
                        return total, bytes(rest)
                    continue
                rest = rest[sent:]
                total += sent
            if total >= limit:
                break
        return total, b''
    finally:
        connection.settimeout(LIMIT)


class Worker(threading.Thread):
    """A thread whose result or exception join() hands over."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self.function = function
        self.arguments = arguments
        self.result = None
        self.error = None
        self.start()

    def run(self):
        try:
            self.result = self.function(*self.arguments)
        except BaseException as error:
            self.error = error

    def join(self):
        super().join(LIMIT)
        assert not self.is_alive(), f"{self.function.__name__} hangs"
        if self.error is not None:
            raise self.error
        return self.result


def hashStream(stream, blockSize=MEBIBYTE):
    """sha256 and length of all that a file object has to give."""
    digest = hashlib.sha256()
    length = 0
    while block := stream.read(blockSize):
        digest.update(block)
        length += len(block)
    return digest.hexdigest(), length


def randomBlocks(total, blockSize=MEBIBYTE):
    """Blocks of random bytes, the same ones in every run."""
    generator = random.Random(total)
    while total > 0:
        size = min(total, blockSize)
        yield generator.randbytes(size)
        total -= size
