"""An echo server that a document prints: it tells its port, or is told its address, echoes, and
ends in good order on SIGINT."""

import os
import re
import select
import signal
import socket
import subprocess
import time

PATIENCE = 120  # seconds; bounds a hang only


def readLine(stream):
    ready, _, _ = select.select([stream], [], [], PATIENCE)
    assert ready, "the program says nothing"
    return stream.readline()


def findPort(process):
    """Where it listens, as the system has it: port 0 is any, and not every program tells which."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"it has ended with status {process.returncode}"
        folder = f'/proc/{process.pid}/fd'
        own = set()
        for name in os.listdir(folder):
            try:
                own.add(os.readlink(f'{folder}/{name}'))
            except OSError:
                continue  # closed since
        with open(f'/proc/{process.pid}/net/tcp') as table:
            for line in table.readlines()[1:]:
                fields = line.split()
                if fields[3] == '0A' and f'socket:[{fields[9]}]' in own:
                    return int(fields[1].partition(':')[2], 16)
        time.sleep(0.01)
    raise AssertionError("it listens nowhere")


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


def serve(executable, environment, prefix=(), address=None):
    """Of a program that is told no address the first word is its port."""
    process = subprocess.Popen([*prefix, executable, *([address] if address else [])],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                               env=environment)
    try:
        port = findPort(process) if address else \
            int(re.match(r'listening on port (\d+)', readLine(process.stdout)).group(1))
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
    process = subprocess.Popen([executable, f'127.0.0.1:{port}'], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)
    try:
        port = findPort(process)
        with socket.create_connection(('127.0.0.1', port), timeout=PATIENCE) as client:
            client.sendall(b'hello\n')
            assert client.recv(6, socket.MSG_WAITALL) == b'hello\n'
            process.send_signal(signal.SIGINT)
            assert client.recv(1) == b'', "more than it was sent"
        assert process.wait(PATIENCE) == 0, f"exit status {process.returncode}"
        return port
    finally:
        process.kill()
        process.wait()
