#!/usr/bin/env python3
"""
asyncio_echo: echo_server inside asyncio, a coroutine for each connection.

    python3 asyncio_echo.py [ADDRESS [PORT]]    127.0.0.1 and 7000 by default; port 0 = any

The ring has a descriptor that asyncio watches like any other: when it is readable, a turn runs. It is
readable, too, when a coroutine has queued something outside of a turn. One thing more needs a turn, a
timeout of the ring's: so it is asked for after each turn.
"""

import asyncio
import signal
import socket
import sys

import fastsocket
from fastsocket import POLLERR, POLLHUP

OUTBOUND_LIMIT = 1024 * 1024  # bytes queued at which send() waits


class AsyncRing(fastsocket.Ring):
    """A ring whose turns are run by the loop."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.timer = None
        self.turned = asyncio.Event()
        self.loop.add_reader(self.fileno(), self.turn)

    def turn(self):
        try:
            self.wait(0)  # never blocks
        finally:
            self.turned.set()
            if self.timer is not None:
                self.timer.cancel()
            interval = self.interval()
            self.timer = None if interval is None else self.loop.call_later(interval, self.turn)

    async def drain(self):
        """Waits until what is queued has left."""
        while self.pending:
            self.turned.clear()
            await self.turned.wait()

    def close(self):
        self.loop.remove_reader(self.fileno())
        if self.timer is not None:
            self.timer.cancel()
        return super().close()


class Connection:
    """A socket for coroutines: an asynchronous iterator over the buffers of its input."""

    def __init__(self, ring, handle):
        self.socket = fastsocket.Socket(ring, handle, self.handle_event)
        self.changed = asyncio.Event()
        self.ended = False
        self.broken = False

    def handle_event(self, connection, event, parameter):
        self.ended = self.ended or event == POLLHUP
        self.broken = self.broken or event == POLLERR
        self.changed.set()

    async def wait_change(self):
        self.changed.clear()
        await self.changed.wait()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while (buffer := self.socket.receive()) is None:
            if self.ended:
                raise StopAsyncIteration
            await self.wait_change()
        return buffer

    async def send(self, buffer):
        """Queues a buffer, and waits while too much is queued."""
        self.socket.transmit(buffer)
        while self.socket.outbound_length >= OUTBOUND_LIMIT and not self.broken:
            await self.wait_change()

    def release(self):
        self.socket.release()


async def echo(connection):
    try:
        async for buffer in connection:
            await connection.send(buffer)
    except BrokenPipeError:
        pass  # the peer is gone


async def main():
    address = sys.argv[1] if len(sys.argv) > 1 else '127.0.0.1'
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 7000
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)

    ring = AsyncRing()
    tasks = set()  # the loop itself holds tasks only weakly

    def handle_connection(handle):
        connection = Connection(ring, handle)
        task = asyncio.create_task(echo(connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        # However it ends: a task that is canceled before its first step never enters a «try».
        task.add_done_callback(lambda task: connection.release())

    listener = fastsocket.Listener(ring, f'{address}:{port}', handle_connection)
    with socket.fromfd(listener.fileno(), socket.AF_INET, socket.SOCK_STREAM) as listening:
        port = listening.getsockname()[1]
    print(f'listening on {address}:{port}', flush=True)
    await stopped.wait()

    listener.release()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await ring.drain()
    left = ring.close()
    if left.sockets or left.buffers:
        sys.exit(f'left: {left.sockets} sockets, {left.buffers} buffers')


asyncio.run(main())
