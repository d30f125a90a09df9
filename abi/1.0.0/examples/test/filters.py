"""
What the tests of programs on FASTSOCKET_MODE_FILE_IO share: the program between any two descriptors,
terminals of our own, much data that nobody stores, and proof that nothing spins.
"""

import contextlib
import fcntl
import hashlib
import os
import pty
import random
import select
import termios
import time
import tty

from harness import LIMIT, MEBIBYTE, Child

OLDER = '0x38d8'  # FASTSOCKET_FEATURES_OFF: about what Linux 6.1 has
BUSY = 1          # seconds of CPU time that only a loop without end takes


class Filter(Child):
    """An example between two descriptors; as a context it must end by itself, with a status."""

    def __init__(self, *arguments, status=0, terminal=None, **options):
        if terminal is not None:  # of a session of its own, as a login has it
            options.update(start_new_session=True, preexec_fn=lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0))
        super().__init__(*arguments, **options)
        self.status = status

    def waitEnd(self):
        """Waits for the end, but leaves its traces in /proc."""
        deadline = time.monotonic() + LIMIT
        while os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            assert time.monotonic() < deadline, "it doesn't end"
            time.sleep(0.01)

    def finish(self):
        return self.expectStatus(self.status)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.finish()
            else:
                print('# program: ' + self.readErrors().replace('\n', '\n# '), flush=True)
        finally:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()


@contextlib.contextmanager
def quiet(child):
    """Whatever happens inside takes the child next to no CPU time. It may end meanwhile."""
    before = child.cpuTime()
    yield
    used = child.cpuTime() - before
    assert used < BUSY, f"{used} s of CPU time"


class Terminal:
    """Both sides of a pseudo-terminal: we are the one who types and looks."""

    def __init__(self, raw=False):
        self.side, self.handle = pty.openpty()  # ours, the program's
        if raw:
            tty.setraw(self.handle)
        self.settings = self.readSettings()

    def readSettings(self):
        return termios.tcgetattr(self.handle), fcntl.fcntl(self.handle, fcntl.F_GETFL)

    def type(self, data):
        os.set_blocking(self.side, True)
        data = memoryview(data)
        while data:
            data = data[os.write(self.side, data):]

    def see(self, size):
        """Reads so many bytes of what is printed."""
        return readExactly(self.side, size)

    def hangUp(self):
        os.close(self.side)
        self.side = -1

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        same = self.side < 0 or self.readSettings() == self.settings
        for handle in (self.side, self.handle):
            if handle >= 0:
                os.close(handle)
        assert same or kind is not None, "the terminal's settings have changed"


def readExactly(handle, size):
    parts = []
    while size > 0:
        ready, _, _ = select.select([handle], [], [], LIMIT)
        assert ready, f"{size} bytes are missing"
        part = os.read(handle, min(size, MEBIBYTE))
        assert part, f"the end, {size} bytes too early"
        parts.append(part)
        size -= len(part)
    return b''.join(parts)


def readEnd(handle):
    """Makes sure that nothing comes but the end."""
    ready, _, _ = select.select([handle], [], [], LIMIT)
    assert ready, "no end"
    rest = os.read(handle, 1000)
    assert rest == b'', f"instead of the end: {rest[:100]}"


def fill(handle, limit, child):
    """Writes until nobody has taken anything for a second, and the child, which might, is asleep all the
    same: on a busy machine it may only have had no turn. Returns what was taken."""
    block = random.Random(limit).randbytes(64 * 1024)
    taken = bytearray()
    os.set_blocking(handle, False)
    while select.select([], [handle], [], 1)[1] or not child.isAsleep():
        with contextlib.suppress(BlockingIOError):
            taken += block[:os.write(handle, block)]
        assert len(taken) < limit, f"{len(taken)} bytes were taken, and go nowhere"
    os.set_blocking(handle, True)
    return bytes(taken)


def blocks(total):
    """Random bytes, cheaper than by a generator: each block is another part of the same store, so that
    a byte too much, too few or in another place is seen."""
    store = memoryview(random.Random(total).randbytes(MEBIBYTE + 65536))
    number = 0
    while total > 0:
        size = min(total, MEBIBYTE)
        start = number * 4099 % 65536
        yield store[start:start + size]
        total -= size
        number += 1


def feed(handle, total):
    """Writes so many bytes; returns their hash. The handle stays open."""
    digest = hashlib.sha256()
    for block in blocks(total):
        digest.update(block)
        while block:
            block = block[os.write(handle, block):]
    return digest.hexdigest()


def drain(handle, total):
    """Reads so many bytes; returns their hash."""
    digest = hashlib.sha256()
    while total > 0:
        ready, _, _ = select.select([handle], [], [], LIMIT)
        assert ready, f"{total} bytes are missing"
        part = os.read(handle, min(total, MEBIBYTE))
        assert part, f"the end, {total} bytes too early"
        digest.update(part)
        total -= len(part)
    return digest.hexdigest()
