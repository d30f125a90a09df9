"""An echo server that a document prints: it tells its port, echoes, and ends in good order on
SIGINT."""

import re
import select
import signal
import socket
import subprocess

PATIENCE = 120  # seconds; bounds a hang only


def readLine(stream):
    ready, _, _ = select.select([stream], [], [], PATIENCE)
    assert ready, "the program says nothing"
    return stream.readline()


def exchange(port):
    """Sends a few hundred KiB, ends its output, and reads until the end."""
    data = bytes(range(256)) * 1024
    with socket.create_connection(('127.0.0.1', port), timeout=PATIENCE) as client:
        client.sendall(b'hello\n')
        assert client.recv(6, socket.MSG_WAITALL) == b'hello\n'
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        received = bytearray()
        while piece := client.recv(65536):
            received += piece
    assert received == data, f"{len(received)} of {len(data)} bytes, or others"


def serve(executable, environment, prefix=()):
    process = subprocess.Popen([*prefix, executable], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True, env=environment)
    try:
        port = int(re.match(r'listening on port (\d+)', readLine(process.stdout)).group(1))
        for _ in range(3):
            exchange(port)
        with socket.create_connection(('127.0.0.1', port), timeout=PATIENCE) as client:
            client.sendall(b'still here\n')
            assert client.recv(11, socket.MSG_WAITALL) == b'still here\n'
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0, f"exit status {process.returncode}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def interruptWithClient(executable, port):
    """Ends it by SIGINT while a client is connected, who ends later: so the port is left in
    TIME_WAIT. Returns it."""
    process = subprocess.Popen([executable, port], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    try:
        words = readLine(process.stdout)
        match = re.match(r'listening on port (\d+)', words)
        assert match, words
        with socket.create_connection(('127.0.0.1', int(match.group(1))),
                                      timeout=PATIENCE) as client:
            client.sendall(b'hello\n')
            assert client.recv(6, socket.MSG_WAITALL) == b'hello\n'
            process.send_signal(signal.SIGINT)
            assert client.recv(1) == b'', "more than it was sent"
        assert process.wait(PATIENCE) == 0, f"exit status {process.returncode}"
        return match.group(1)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
