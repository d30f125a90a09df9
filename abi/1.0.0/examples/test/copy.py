#!/usr/bin/env python3
"""
copy, cat on FASTSOCKET_MODE_FILE_IO: pipes, files, FIFOs, and terminals by socat, by script and of our
own; what it does when they break.

usage: copy.py PROGRAM
"""

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile

from filters import OLDER, Filter, Terminal, drain, feed, fill, quiet, readEnd, readExactly
from harness import MEBIBYTE, Worker, case, main, need, same, waitFor

GIBIBYTE = 1024 * MEBIBYTE

program = sys.argv[1]
PIPE = subprocess.PIPE


def passThroughPipes(total, featuresOff=None):
    """cat | copy | cat"""
    with subprocess.Popen(['cat'], stdin=PIPE, stdout=PIPE, bufsize=0) as source, \
            Filter(program, stdin=source.stdout, stdout=PIPE, featuresOff=featuresOff) as copy, \
            subprocess.Popen(['cat'], stdin=copy.process.stdout, stdout=PIPE, bufsize=0) as sink:
        source.stdout.close()
        copy.process.stdout.close()
        try:
            writer = Worker(feed, source.stdin.fileno(), total)
            found = Worker(drain, sink.stdout.fileno(), total).join()
            same(found, writer.join(), 'sha256')
            assert copy.memory() < copy.memoryBound(), f"{copy.memory()} bytes of memory"
            source.stdin.close()
            readEnd(sink.stdout.fileno())
        except BaseException:
            source.kill()
            sink.kill()
            raise


@case
def gibibyteThroughPipes():
    passThroughPipes(GIBIBYTE)


@case
def pipesOfOlderKernel():
    passThroughPipes(64 * MEBIBYTE + 12345, OLDER)


def copyFile(total, featuresOff=None):
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as sink:
        expected = feed(source.fileno(), total)
        source.seek(0)
        with Filter(program, stdin=source, stdout=sink, featuresOff=featuresOff):
            pass
        same(os.fstat(sink.fileno()).st_size, total, 'size')
        sink.seek(0)
        same(drain(sink.fileno(), total), expected, 'sha256')


@case
def regularFiles():
    copyFile(256 * MEBIBYTE + 12345)


@case
def regularFilesOfOlderKernel():
    copyFile(16 * MEBIBYTE + 12345, OLDER)


@case
def appends():
    """At the end of a file that has something already, and from the middle of another."""
    with tempfile.NamedTemporaryFile() as sink, tempfile.TemporaryFile() as source:
        sink.write(b'before ')
        sink.flush()
        source.write(b'not this, but this')
        source.seek(len('not this, '))
        source.flush()
        with open(sink.name, 'ab') as end, Filter(program, stdin=source, stdout=end):
            pass
        with open(sink.name, 'rb') as result:
            same(result.read(), b'before but this')


def copyFifo(total, featuresOff=None):
    with tempfile.TemporaryDirectory() as directory:
        names = [os.path.join(directory, name) for name in ('in', 'out')]
        for name in names:
            os.mkfifo(name)
        # The shell opens them, each as soon as we open the other side.
        with Filter('sh', '-c', 'exec "$0" <"$1" >"$2"', program, *names, featuresOff=featuresOff):
            source = os.open(names[0], os.O_WRONLY)
            sink = os.open(names[1], os.O_RDONLY)
            writer = Worker(feed, source, total)
            same(drain(sink, total), writer.join(), 'sha256')
            os.close(source)
            readEnd(sink)
            os.close(sink)


@case
def fifos():
    copyFifo(64 * MEBIBYTE + 12345)


@case
def fifosOfOlderKernel():
    copyFifo(8 * MEBIBYTE + 12345, OLDER)


@case
def emptyInput():
    with Filter(program, stdin=subprocess.DEVNULL, stdout=PIPE) as copy:
        readEnd(copy.process.stdout.fileno())


@case
def slowReader():
    """What isn't read isn't taken, and waiting costs nothing."""
    with Filter(program, stdin=PIPE, stdout=PIPE) as copy:
        taken = fill(copy.process.stdin.fileno(), 32 * MEBIBYTE, copy)
        with quiet(copy):
            same(fill(copy.process.stdin.fileno(), 1, copy), b'')
        assert copy.memory() < copy.memoryBound(), f"{copy.memory()} bytes of memory"
        copy.process.stdin.close()
        same(readExactly(copy.process.stdout.fileno(), len(taken)), taken)
        readEnd(copy.process.stdout.fileno())


# ---- what fails ----

@case
def readerLeaves():
    """copy | head: an error, not a signal; also while the input stays open and says nothing."""
    for featuresOff in (None, OLDER):
        with Filter(program, stdin=PIPE, stdout=PIPE, status=1, featuresOff=featuresOff) as copy:
            head = subprocess.Popen(['head', '-c', '10'], stdin=copy.process.stdout, stdout=PIPE)
            copy.process.stdout.close()
            os.write(copy.process.stdin.fileno(), b'0123456789')
            same(head.communicate()[0], b'0123456789')
            os.write(copy.process.stdin.fileno(), b'nobody reads this')
            same(copy.finish(), 'copy: output: Broken pipe\n')


@case
def readerLeavesEndlessInput():
    with open('/dev/zero', 'rb') as zero, \
            Filter(program, stdin=zero, stdout=PIPE, status=1) as copy:
        head = subprocess.Popen(['head', '-c', '1000000'], stdin=copy.process.stdout, stdout=PIPE)
        copy.process.stdout.close()
        same(head.communicate()[0], bytes(1000000))
        same(copy.finish(), 'copy: output: Broken pipe\n')


@case
def fullDevice():
    with open('/dev/full', 'wb') as full, Filter(program, stdin=PIPE, stdout=full, status=1) as copy:
        copy.process.stdin.write(b'no room')
        copy.process.stdin.close()
        same(copy.finish(), 'copy: output: No space left on device\n')


@case
def wrongDescriptors():
    """None, a directory, or one of the wrong direction: a message, and no waiting for ever."""
    for redirection, words in (('<&-', 'copy: Bad file descriptor\n'),
                               ('0>/dev/null', 'copy: Bad file descriptor\n'),
                               ('</', 'copy: Operation not supported\n'),
                               ('>&-', 'copy: Bad file descriptor\n'),
                               ('1</dev/null', 'copy: output: Bad file descriptor\n')):
        with Filter('sh', '-c', f'exec "$0" {redirection}', program, stdin=PIPE, stdout=PIPE, status=1) as copy:
            with contextlib.suppress(BrokenPipeError):
                os.write(copy.process.stdin.fileno(), b'in vain')
            same(copy.finish(), words, redirection)


# ---- terminals ----

@case
def typing():
    """Lines arrive as they are typed, edited by the terminal; ^D ends."""
    for featuresOff in (None, OLDER):
        with Terminal() as terminal, \
                Filter(program, stdin=terminal.handle, stdout=PIPE, featuresOff=featuresOff) as copy:
            for number in range(20):
                line = b'line %d\n' % number
                terminal.type(b'x\x7f' + line)  # the first letter is rubbed out
                same(readExactly(copy.process.stdout.fileno(), len(line)), line)
            terminal.type(b'half a line\x04')
            same(readExactly(copy.process.stdout.fileno(), 11), b'half a line')
            terminal.type(b'\x04')
            readEnd(copy.process.stdout.fileno())


@case
def printing():
    """On the same terminal: what is typed is seen twice, as its echo and as what is copied."""
    with Terminal() as terminal, Filter(program, stdin=terminal.handle, stdout=terminal.handle):
        terminal.type(b'hello\n')
        same(terminal.see(14), b'hello\r\n' * 2)
        terminal.type(b'\x04')


@case
def rawTerminal():
    """Any bytes, both ways at once, more than a terminal holds."""
    for featuresOff in (None, OLDER):
        with Terminal(raw=True) as terminal, \
                Filter(program, stdin=terminal.handle, stdout=terminal.handle, status=1, featuresOff=featuresOff) as copy:
            writer = Worker(feed, terminal.side, MEBIBYTE)
            same(drain(terminal.side, MEBIBYTE), writer.join(), 'sha256')
            terminal.hangUp()
            same(copy.finish(), 'copy: the terminal was hung up\n')


@case
def slowTerminal():
    """Nobody looks at what is printed: nothing more is taken of what is typed."""
    with Terminal(raw=True) as terminal, \
            Filter(program, stdin=terminal.handle, stdout=terminal.handle, status=1) as copy:
        taken = fill(terminal.side, 32 * MEBIBYTE, copy)
        with quiet(copy):
            same(fill(terminal.side, 1, copy), b'')
        same(terminal.see(len(taken)), taken)
        terminal.hangUp()


def hangUp(featuresOff, ofSession):
    with Terminal(raw=True) as terminal, \
            Filter(program, stdin=terminal.handle, stdout=terminal.handle, status=1, featuresOff=featuresOff,
                   terminal=terminal.handle if ofSession else None) as copy:
        terminal.type(b'hello')
        same(terminal.see(5), b'hello')
        with quiet(copy):
            terminal.hangUp()
            copy.waitEnd()
        same(copy.finish(), 'copy: the terminal was hung up\n')


@case
def hangUpWhileIdle():
    """Also of a terminal that signals SIGHUP."""
    for featuresOff in (None, OLDER):
        hangUp(featuresOff, False)
        hangUp(featuresOff, True)


@case
def hangUpWhileWriting():
    """The output waits for a terminal that goes."""
    for featuresOff in (None, OLDER):
        with Terminal(raw=True) as terminal, \
                Filter(program, stdin=PIPE, stdout=terminal.handle, status=1, featuresOff=featuresOff) as copy:
            fill(copy.process.stdin.fileno(), 32 * MEBIBYTE, copy)
            with quiet(copy):
                terminal.hangUp()
                copy.waitEnd()
            same(copy.finish(), 'copy: the terminal was hung up\n')


@case
def hangUpOfInput():
    """What was typed before is still written, to a reader that takes its time."""
    with Terminal(raw=True) as terminal, \
            Filter(program, stdin=terminal.handle, stdout=PIPE, status=1, terminal=terminal.handle) as copy:
        os.set_blocking(terminal.side, False)
        taken = fill(terminal.side, 32 * MEBIBYTE, copy)
        terminal.hangUp()
        # The terminal itself drops what it still has: how much, nobody knows.
        found = b''
        while part := os.read(copy.process.stdout.fileno(), MEBIBYTE):
            found += part
        assert len(found) > 128 * 1024, f"only {len(found)} bytes"
        same(found, taken[:len(found)])
        same(copy.finish(), 'copy: the terminal was hung up\n')


# ---- socat ----

def throughSocat(*addresses, total=MEBIBYTE):
    """socat's own standard input and output, there and back; it is ended when all has come back."""
    need('socat')
    socat = subprocess.Popen(['socat', '-t', '0.1', *addresses], stdin=PIPE, stdout=PIPE, bufsize=0)
    try:
        writer = Worker(feed, socat.stdin.fileno(), total)
        same(drain(socat.stdout.fileno(), total), writer.join(), 'sha256')
        socat.stdin.close()
        readEnd(socat.stdout.fileno())
        socat.wait()
    finally:
        socat.kill()
        socat.wait()
        socat.stdin.close()
        socat.stdout.close()


@case
def socatWithTerminal():
    throughSocat('-', f'EXEC:{program},pty,raw,echo=0')


@case
def socatWithControllingTerminal():
    throughSocat('-', f'EXEC:{program},pty,setsid,ctty,raw,echo=0')


@case
def socatWithPipes():
    throughSocat('-', f'EXEC:{program},pipes', total=16 * MEBIBYTE)


@case
def socatWithSocket():
    """Input and output are the same socket, which FILE_IO takes as well."""
    throughSocat('-', f'EXEC:{program}', total=16 * MEBIBYTE)


@case
def socatMakesTerminal():
    """We are at a terminal of socat's, and the program between it and socat."""
    need('socat')
    with tempfile.TemporaryDirectory() as directory:
        link = os.path.join(directory, 'terminal')
        socat = subprocess.Popen(['socat', f'PTY,link={link},raw,echo=0,wait-slave', f'EXEC:{program},pipes'])
        try:
            waitFor(socat, lambda: os.path.exists(link), "a terminal")
            handle = os.open(link, os.O_RDWR | os.O_NOCTTY)
            writer = Worker(feed, handle, MEBIBYTE)
            same(drain(handle, MEBIBYTE), writer.join(), 'sha256')
            os.close(handle)
            socat.wait()
        finally:
            socat.kill()
            socat.wait()


# ---- script ----

@case
def scriptLogs():
    """What is typed arrives, what is written is logged."""
    need('script')
    with tempfile.NamedTemporaryFile() as log, Terminal() as terminal:
        script = subprocess.Popen(['script', '-qe', '-c', shlex.quote(program), log.name],
                                  stdin=terminal.handle, stdout=terminal.handle, stderr=terminal.handle)
        try:
            terminal.type(b'typed and written\n')
            same(terminal.see(38), b'typed and written\r\n' * 2)
            terminal.type(b'\x04')
            assert script.wait() == 0, script.returncode
        finally:
            script.kill()
            script.wait()
        logged = log.read()
        assert logged.count(b'typed and written\r\n') == 2, logged


@case
def scriptTakesStatus():
    """Nothing is written where nothing can be: script hands the status on."""
    need('script')
    with Terminal() as terminal:
        script = subprocess.Popen(['script', '-qe', '-c', f'{shlex.quote(program)} >/dev/full', '/dev/null'],
                                  stdin=terminal.handle, stdout=terminal.handle, stderr=terminal.handle)
        try:
            terminal.type(b'no room\n')
            assert script.wait() == 1, script.returncode
        finally:
            script.kill()
            script.wait()


main('copy')
