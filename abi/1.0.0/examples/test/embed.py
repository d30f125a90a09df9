#!/usr/bin/env python3
"""
embed-epoll or embed-glib: the ring does all its work inside a foreign loop.

usage: embed.py AREA [PROGRAM]
"""

import os
import signal
import socket
import sys

from harness import HOST, MEBIBYTE, Program, Skip, Worker, case, connect, fillUntilBlocked, main, randomBlocks, readAll, readExactly, same

area = sys.argv[1]
NEVER = 1000000000  # milliseconds between ticks
data = b''.join(randomBlocks(3 * MEBIBYTE + 77))


class Embedded(Program):
    """With a pipe as its standard input: what is written there is announced."""

    def __init__(self, period):
        if len(sys.argv) < 3:
            raise Skip("built without GLib")
        reader, self.input = os.pipe()
        try:
            super().__init__(sys.argv[2], HOST, 0, period, stdin=reader)
        finally:
            os.close(reader)

    def __exit__(self, *arguments):
        os.close(self.input)
        super().__exit__(*arguments)

    def join(self):
        client = connect(self)
        same(readExactly(client, 8), b'welcome\n')
        return client


@case
def completions():
    """Connections and input wake the foreign loop."""
    with Embedded(NEVER) as server:
        with server.join() as client:
            writer = Worker(client.sendall, data)
            same(readExactly(client, len(data)), data)
            writer.join()
        server.waitIdle()


@case
def timeouts():
    """They fire although no descriptor tells anything."""
    with Embedded(5) as server:
        with server.join() as client:
            same(readExactly(client, 50), b'tick\n' * 10)
        server.waitIdle()


@case
def queuedWork():
    """What a foreign handler queues leaves at once, with nothing else to wake the loop."""
    with Embedded(NEVER) as server:
        with server.join() as one, server.join() as two:
            for number in range(100):
                text = b'announcement %d\n' % number
                os.write(server.input, text)
                same(readExactly(one, len(text)), text)
                same(readExactly(two, len(text)), text)
        server.waitIdle()


@case
def inputEnds():
    """The end of a foreign descriptor is no end of the service."""
    with Embedded(NEVER) as server:
        null = os.open('/dev/null', os.O_WRONLY)
        os.dup2(null, server.input)
        os.close(null)
        with server.join() as client:
            client.sendall(b'still here')
            same(readExactly(client, 10), b'still here')
        server.waitIdle()


@case
def stalledReader():
    with Embedded(NEVER) as server:
        with server.join() as client:
            blocks = list(randomBlocks(64 * MEBIBYTE))
            sent, _ = fillUntilBlocked(client, blocks, len(blocks) * MEBIBYTE)
            assert sent < 64 * MEBIBYTE, f"{sent} bytes were taken from a client that reads nothing"
            client.shutdown(socket.SHUT_WR)
            same(readAll(client), b''.join(blocks)[:sent])
        server.waitIdle()


@case
def terminateWhileConnected():
    with Embedded(NEVER) as server:
        with server.join() as client:
            server.signal(signal.SIGTERM)
            same(readAll(client), b'')
            server.finish()


main(area)
