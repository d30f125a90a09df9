#!/usr/bin/env python3
"""
tls-echo against openssl's own client, socat and ncat, and against what is no TLS.

usage: tls-echo.py [PROGRAM]
"""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile

from harness import (ANY, HOST, LIMIT, MEBIBYTE, Program, Skip, Talk, Worker, case, connect,
                     main, need, randomBlocks, readExactly, runClient, same)

work = tempfile.TemporaryDirectory()
certificate, key = os.path.join(work.name, 'certificate'), os.path.join(work.name, 'key')
data = b''.join(randomBlocks(4 * MEBIBYTE + 99))


def server():
    if len(sys.argv) < 2:
        raise Skip("built without OpenSSL")
    need('openssl')
    if not os.path.exists(key):
        runClient('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                  'ec_paramgen_curve:P-256', '-nodes', '-days', 2, '-subj', '/CN=localhost',
                  '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', certificate)
    return Program(sys.argv[1], certificate, key, ANY)


def wrap(client, version=None):
    """TLS over a connection of our own, which checks the certificate."""
    context = ssl.create_default_context(cafile=certificate)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context.wrap_socket(client, server_hostname='localhost', suppress_ragged_eofs=False)


@case
def opensslClient():
    """Both versions, each with the certificate verified."""
    for version in ('-tls1_2', '-tls1_3'):
        with server() as program:
            with Talk('openssl', 's_client', '-quiet', version, '-verify_return_error', '-CAfile',
                      certificate, '-connect', f'{HOST}:{program.port}') as talk:
                for size in (1, 100, 16384, 16385, 60000):
                    same(talk.exchange(data[:size]), data[:size])
            program.waitIdle()


@case
def socatClient():
    need('socat')
    with server() as program:
        address = f'OPENSSL:{HOST}:{program.port},cafile={certificate},commonname=localhost'
        same(runClient('socat', '-t', LIMIT, '-', address, data=data), data)
        program.waitIdle()


@case
def ncatClient():
    need('ncat')
    with server() as program:
        same(runClient('ncat', '--ssl', HOST, program.port, data=data), data)
        program.waitIdle()


@case
def closeNotify():
    """The client's close_notify gets ours behind all that was echoed: never a mere cut."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with server() as program:
            with connect(program) as plain, wrap(plain, version) as client:
                sender = Worker(client.sendall, data)
                same(Worker(readExactly, client, len(data)).join(), data)
                sender.join()
                plain = client.unwrap()  # sends it, and fails without the other one
                same(plain.recv(1), b'', "the end")
            program.waitIdle()


@case
def cutOff():
    """An end without a close_notify harms nobody; nor does an end in the handshake."""
    with server() as program:
        with connect(program) as plain:
            client = wrap(plain)
            client.sendall(b'hello')
            same(readExactly(client, 5), b'hello')
            os.close(client.detach())
        with connect(program):
            pass
        program.waitIdle()


@case
def garbage():
    """What is no TLS gets an alert at most, and the end. Others are served meanwhile."""
    with server() as program, connect(program) as plain, wrap(plain) as good:
        for words in (b'GET / HTTP/1.1\r\n\r\n', bytes(1000), data[:100000],
                      b'\x16\x03\x01\xff\xff' + data,
                      b'\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00'):
            with connect(program) as bad, contextlib.suppress(ConnectionError):
                Worker(bad.sendall, words)
                assert len(bad.recv(100)) <= 7, words[:10]
                same(bad.recv(100), b'', words[:10])
            good.sendall(b'still here')
            same(readExactly(good, 10), b'still here')


@case
def garbageInside():
    """A record that was tampered with ends the connection."""
    with server() as program, connect(program) as plain:
        client = wrap(plain)
        client.sendall(b'hello')
        same(readExactly(client, 5), b'hello')
        with socket.socket(fileno=os.dup(client.fileno())) as raw:
            raw.sendall(b'\x17\x03\x03\x00\x20' + bytes(32))
        try:
            left = client.recv(100)
        except (ssl.SSLError, OSError):
            left = b''
        same(left, b'')
        client.close()
        program.waitIdle()


@case
def slowClient():
    """Who sends without reading is held up, and gets all in the end."""
    total = 64 * MEBIBYTE
    with server() as program, connect(program, 65536) as plain, wrap(plain) as client:
        # Nothing is read until nothing more is taken.
        client.settimeout(1)
        count, stuck = 0, b''
        with contextlib.suppress(TimeoutError):
            for block in randomBlocks(total):
                for start in range(0, len(block), 16384):
                    stuck = block[start:start + 16384]
                    client.sendall(stuck)
                    count += len(stuck)
        assert count < total, "all was taken"
        assert program.memory() < program.memoryBound(), f"{program.memory()} bytes of memory"
        client.settimeout(LIMIT)
        same(readExactly(client, count), b''.join(randomBlocks(total))[:count])
        client.close()
        program.waitIdle()


@case
def terminateInTransfer():
    """What was echoed leaves, then close_notify."""
    with server() as program, connect(program) as plain, wrap(plain) as client:
        client.sendall(data[:100000])
        same(readExactly(client, 1), data[:1])
        program.signal(signal.SIGTERM)
        rest = b''
        while part := client.recv(65536):  # an end without close_notify would be an error
            rest += part
        same(rest, data[1:1 + len(rest)])
        client.close()
        program.finish()


@case
def usage():
    with server() as program:
        for words in ([], [certificate], [certificate, certificate], ['/nowhere', key]):
            result = subprocess.run([sys.argv[1], *words], capture_output=True, timeout=LIMIT)
            same(result.returncode, 2)
            assert b'usage' in result.stderr
        result = subprocess.run([sys.argv[1], certificate, key, f'{HOST}:{program.port}'],
                                capture_output=True, timeout=LIMIT)
        same(result.returncode, 1)
        assert b'in use' in result.stderr, result.stderr


main('tls-echo')
