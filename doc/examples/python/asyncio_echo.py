#!/usr/bin/env python3
"""
asyncio_echo: echo_server inside asyncio, a coroutine for each connection.

    python3 asyncio_echo.py [ADDRESS [PORT]]    127.0.0.1 and 7000 by default; port 0 = any

The ring has a descriptor that asyncio watches like any other: when it is readable, a turn runs. Two
things more need a turn: a timeout of the ring's, and work that is queued outside of a turn, as
coroutines do. For those there is AsyncRing.wake().
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
            self.wake()

    def wake(self):
        """Has the next turn run in time: after each turn, and after calls outside of one."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        interval = self.interval()
        if interval == 0:
            self.timer = self.loop.call_soon(self.turn)
        elif interval is not None:
            self.timer = self.loop.call_later(interval, self.turn)

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

    def __init__(self, ring, connection):
        self.ring = ring
        self.socket = fastsocket.Socket(ring, connection, self.handle_event)
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
        self.ring.wake()
        while self.socket.outbound_length >= OUTBOUND_LIMIT and not self.broken:
            await self.wait_change()

    def release(self):
        self.socket.release()
        self.ring.wake()


async def echo(connection):
    try:
        async for buffer in connection:
            await connection.send(buffer)
    except BrokenPipeError:
        pass  # the peer is gone


async def main():
    address = sys.argv[1] if len(sys.argv) > 1 else '127.0.0.1'
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 7000
    listening = socket.create_server((address, port))
    name = listening.getsockname()

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)

    ring = AsyncRing()
    tasks = set()  # the loop itself holds tasks only weakly

    def handle_connection(connection):
        connection = Connection(ring, connection)
        task = asyncio.create_task(echo(connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        # However it ends: a task that is canceled before its first step never enters a «try».
        task.add_done_callback(lambda task: connection.release())

    listener = fastsocket.Listener(ring, listening, handle_connection)
    ring.wake()
    print(f'listening on {name[0]}:{name[1]}', flush=True)
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
