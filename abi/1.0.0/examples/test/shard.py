#!/usr/bin/env python3
"""
shard: several rings in several threads serve one port.

usage: shard.py PROGRAM
"""

import contextlib
import signal
import socket
import subprocess
import sys

from harness import HOST, LIMIT, MEBIBYTE, Program, Worker, case, connect, fillUntilBlocked, main, need, randomBlocks, readAll, readExactly, runClient, same

program = sys.argv[1]
data = b''.join(randomBlocks(3 * MEBIBYTE + 5))
GREETING = len('shard 0\n')


def join(server):
    """A connection, and the number of its shard."""
    client = connect(server)
    words = readExactly(client, GREETING).split()
    same(words[0], b'shard')
    return client, int(words[1])


@case
def everyShardServes():
    """The kernel picks by chance: go on until each was picked, each with its connections open."""
    with Program(program, HOST, 0, 3) as server:
        with contextlib.ExitStack() as stack:
            clients = {}
            for _ in range(400):
                client, shard = join(server)
                stack.enter_context(client)
                clients[shard] = client
                if len(clients) == 3:
                    break
            same(sorted(clients), [0, 1, 2])
            # All at once: no shard waits for another.
            writers = [Worker(client.sendall, data) for client in clients.values()]
            readers = [Worker(readExactly, client, len(data)) for client in clients.values()]
            for reader in readers:
                same(reader.join(), data)
            for writer in writers:
                writer.join()
        server.waitIdle()


@case
def socatTcp():
    need('socat')
    with Program(program, HOST, 0, 4) as server:
        workers = [Worker(lambda: runClient('socat', '-t', LIMIT, '-', f'TCP:{HOST}:{server.port}', data=data))
                   for _ in range(10)]
        for worker in workers:
            same(worker.join()[GREETING:], data)
        server.waitIdle()


@case
def oneShard():
    with Program(program, HOST, 0, 1) as server:
        client, shard = join(server)
        same(shard, 0)
        client.close()
        server.waitIdle()


@case
def stalledReader():
    """A client that reads nothing is held up, and its shard's others are not."""
    with Program(program, HOST, 0, 1) as server:
        client, _ = join(server)
        other, _ = join(server)
        blocks = list(randomBlocks(64 * MEBIBYTE))
        sent, _ = fillUntilBlocked(client, blocks, len(blocks) * MEBIBYTE)
        assert sent < 64 * MEBIBYTE, f"{sent} bytes were taken from a client that reads nothing"
        other.sendall(b'not me')
        same(readExactly(other, 6), b'not me')
        client.shutdown(socket.SHUT_WR)
        same(readAll(client), b''.join(blocks)[:sent])
        client.close()
        other.close()
        server.waitIdle()


@case
def terminateWhileConnected():
    """Every thread ends its connections, and then the program ends."""
    with Program(program, HOST, 0, 4) as server:
        clients = [join(server)[0] for _ in range(20)]
        server.signal(signal.SIGTERM)
        for client in clients:
            same(readAll(client), b'')
            client.close()
        server.finish()


@case
def wrongArguments():
    for arguments in ([HOST, '0', '0'], [HOST, '0', '65'], ['unix:/nowhere', '0']):
        same(subprocess.run([program, *arguments], capture_output=True, timeout=LIMIT).returncode, 1)


main('shard')
