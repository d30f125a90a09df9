"""
What can go wrong between a library that calls back and Python: test/interop/bindings.py has the
words that this must print.

    python3 trial.py FOLDER_OF_THE_LOADER
"""

import gc
import os
import sys

sys.path.insert(0, sys.argv[1])
import fastsocket
from fastsocket import POLLHUP, POLLIN, POLLOUT

ring = fastsocket.Ring()
address = f'unix:@fastsocket-trial-{os.getpid()}'
served = set()
raises = True


def runWhile(condition):
    while condition():
        ring.wait()


def rests():
    return not served and not ring.pending


def serve(socket, event, parameter):
    global raises
    if event == POLLIN and raises:
        raises = False
        raise ValueError('told')
    if event == POLLIN:
        socket.forward(socket)
    elif event == POLLHUP:
        served.remove(socket)
        socket.release()


def receive(socket, event, parameter):
    if event == POLLIN:
        text.extend(socket.receive().data)


listener = fastsocket.Listener(ring, address, lambda handle:
                               served.add(fastsocket.Socket(ring, handle, serve)))

# A handler raises; afterwards everything is as if it had returned.
text = bytearray()
client = fastsocket.Socket(ring, address, receive)
client.send(b'first')
try:
    runWhile(lambda: True)
except ValueError as error:
    print('raised:', error)
client.send(b'again')
runWhile(lambda: len(text) < 10)
print('usable:', text.decode())

# A release inside the socket's own handler, of either side.
client.release()
runWhile(lambda: not rests())
released = False


def release(socket, event, parameter):
    global released
    if event == POLLIN:
        socket.release()
        released = True


fastsocket.Socket(ring, address, release).send(b'x')
runWhile(lambda: not released or not rests())
print('released')

# Nothing but the library knows the handlers, while the collector runs.
count = 0


def makeHandler(collects):
    def handle(socket, event, parameter):
        global count
        if collects:
            gc.collect()
        if event == POLLOUT and not socket.outbound_length:
            socket.send(b'x' * 100)
        elif event == POLLIN:
            count += 1
            socket.release()
    return handle


for index in range(100):
    fastsocket.Socket(ring, address, makeHandler(index % 10 == 0))
gc.collect()
runWhile(lambda: count < 100 or not rests())
print('collected:', count)

# The end, with everything left as it is.
fastsocket.Socket(ring, address, lambda *_: None).send(b'x' * 1000000)
ring.wait()
print('exit', flush=True)
