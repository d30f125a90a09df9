"""
fastsocket: libfastsocket for Python, through ctypes.

    LD_LIBRARY_PATH=... python3 echo_server.py    if the library isn't where the loader looks

Thin on purpose: each class stands for one kind of the library's objects, each method for one call,
and the promises in include/Ring/*.h hold. What a loader has to take care of, and this one does
(../README.md tells more):

- The library calls back with a pointer. There is one C callback for each kind of event, made once and
  never freed, which finds the Python object in a dictionary. That keeps the object alive, too, for as
  long as the library may call it.
- An exception can't pass through C. The first one that a handler raises is kept and raised by wait(),
  or by close(), which tells the sockets that are left.
- A Buffer is one reference of a buffer, which goes with it or is handed on by transmit(). A memory view
  has a reference of its own, so that no view can outlive the memory.
- Signals are Python's own business, unless there are no other threads: then Signal tells of them.
- Errors are OSError: BrokenPipeError for EPIPE, BlockingIOError for EAGAIN and so on.
"""

import ctypes
import errno
import math
import os
from ctypes import c_char_p, c_int, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p
from select import POLLERR, POLLHUP, POLLIN, POLLOUT  # the events, for those who import us

__all__ = ['POLLERR', 'POLLHUP', 'POLLIN', 'POLLOUT', 'MODE_REGULAR', 'MODE_ZERO_COPY', 'MODE_AUTO_CORK', 'MODE_FILE_IO',
           'Buffer', 'Listener', 'Ring', 'Signal', 'Socket', 'Statistics', 'version']

MODE_REGULAR, MODE_ZERO_COPY, MODE_AUTO_CORK, MODE_FILE_IO = 0, 0x4000000, 0x8000, 0x4

# The name with the number of the ABI: libfastsocket.so is of the development package.
_lib = ctypes.CDLL('libfastsocket.so.1', use_errno=True)


class Statistics(ctypes.Structure):
    """struct FastRingStatistics. A newer library fills in no more than this one knows."""
    _fields_ = [(name, c_uint64) for name in (
        'turns', 'system_calls', 'submissions', 'completions', 'overflows', 'wakes', 'starvations',
        'operations', 'sockets', 'inbound_length', 'buffers', 'buffer_bytes', 'provided_buffers')]


# ---- the functions ------------------------------------------------------------------------------

def _found(result, function, arguments):
    """For functions that return a pointer: NULL is an error, reported by errno."""
    if not result:
        reason = ctypes.get_errno()
        raise OSError(reason, f'{function.__name__}: {os.strerror(reason)}')
    return result


def _done(result, function, arguments):
    """For functions that return 0 or a count: a negative result is an error."""
    if result < 0:
        raise OSError(-result, f'{function.__name__}: {os.strerror(-result)}')
    return result


def _declare(name, result, *arguments, check=None):
    """Without types ctypes would pass and return everything as int, and cut pointers in half."""
    function = getattr(_lib, name)
    function.restype, function.argtypes = result, arguments
    if check is not None:
        function.errcheck = check


_HandleSignal = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_int, c_int, c_int, c_void_p)
_HandleSocket = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_int)
_HandleListener = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_void_p)

_declare('CreateFastRing', c_void_p, c_uint32, check=_found)
_declare('ReleaseFastRing', None, c_void_p)
_declare('WaitForFastRing', c_int, c_void_p, c_uint32, c_void_p, check=_done)
_declare('GetFastRingHandle', c_int, c_void_p, check=_done)
_declare('GetFastRingInterval', c_int, c_void_p)
_declare('GetFastRingPending', c_size_t, c_void_p)
_declare('GetFastRingStatistics', c_int, c_void_p, ctypes.POINTER(Statistics), c_size_t, check=_done)
_declare('AddFastRingSignal', c_void_p, c_void_p, c_int, _HandleSignal, c_void_p, check=_found)
_declare('RemoveFastRingSignal', None, c_void_p)

_declare('HoldFastBuffer', c_void_p, c_void_p)
_declare('ReleaseFastBuffer', None, c_void_p)
_declare('GetFastBufferData', c_void_p, c_void_p)
_declare('GetFastBufferLength', c_size_t, c_void_p)

_declare('OpenFastSocket', c_void_p, c_void_p, c_int, c_int, _HandleSocket, c_void_p, check=_found)
_declare('ConnectFastSocket', c_void_p, c_void_p, c_char_p, c_int, _HandleSocket, c_void_p, check=_found)
_declare('ReleaseFastSocket', None, c_void_p)
_declare('AbortFastSocket', None, c_void_p)
_declare('ShutdownFastSocket', c_int, c_void_p, check=_done)
_declare('ReceiveFastSocketBuffer', c_void_p, c_void_p)
_declare('PauseFastSocket', c_int, c_void_p, check=_done)
_declare('ResumeFastSocket', c_int, c_void_p, check=_done)
_declare('TransmitFastSocketData', c_int, c_void_p, c_void_p, c_uint32, c_char_p, c_size_t, c_int, check=_done)
_declare('TransmitFastSocketBuffer', c_int, c_void_p, c_void_p, c_uint32, c_void_p, c_size_t, c_size_t, c_int,
         check=_done)
_declare('GetFastSocketOutboundLength', c_size_t, c_void_p)
_declare('GetFastSocketErrorText', c_char_p, c_void_p)
_declare('ListenFastSocket', c_void_p, c_void_p, c_char_p, c_int, _HandleListener, c_void_p, check=_found)
_declare('GetFastListenerHandle', c_int, c_void_p, check=_done)
_declare('ReleaseFastListener', None, c_void_p)
_declare('GetFastSocketVersion', c_char_p)


def version():
    """The version of the library that was found, '1.0.0'."""
    return _lib.GetFastSocketVersion().decode()


# ---- the callbacks ------------------------------------------------------------------------------

_objects = {}  # pointer: Socket, Listener or Signal, from its creation to its release


@_HandleSocket
def _handle_socket(pointer, event, parameter):
    target = _objects[pointer]
    target.ring._call(target.handler, target, event, parameter)


@_HandleListener
def _handle_listener(pointer, handle, closure):
    target = _objects[pointer]
    target.ring._call(target._accept, handle)


@_HandleSignal
def _handle_signal(pointer, number, code, process, value, closure):
    target = _objects[pointer]
    target.ring._call(target.handler, number)


# ---- the objects --------------------------------------------------------------------------------

class Ring:
    """The event loop. Sockets share its buffers, which are made when they are first needed."""

    def __init__(self):
        self._error = None
        self._ring = _lib.CreateFastRing(0)

    def close(self):
        """
        Ends the loop; output that is still queued is dropped (see pending). Returns the statistics:
        sockets and buffers count what the program has forgotten to release.
        """
        statistics = self.statistics()
        statistics.buffers -= statistics.provided_buffers  # the ring's own
        _lib.ReleaseFastRing(self._ring)  # tells the sockets that are left
        self._ring = None
        self._raise()
        return statistics

    def _call(self, function, *arguments):
        """Runs a handler. What it raises must not reach the C code that called us."""
        try:
            function(*arguments)
        except BaseException as error:
            if self._error is None:
                self._error = error

    def _raise(self):
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def wait(self, timeout=None):
        """Runs one turn; the handlers are called in it. timeout in seconds, None for no limit."""
        # ctypes lets other Python threads run meanwhile.
        _lib.WaitForFastRing(self._ring, 0xffffffff if timeout is None else math.ceil(timeout * 1000), None)
        self._raise()

    def fileno(self):
        """Readable when there is something to handle: for select, asyncio and other loops."""
        return _lib.GetFastRingHandle(self._ring)

    def interval(self):
        """Seconds until wait() is due although fileno() stays quiet; None for never."""
        interval = _lib.GetFastRingInterval(self._ring)
        return None if interval < 0 else interval / 1000

    @property
    def pending(self):
        """Sockets that still have something to send or to close."""
        return _lib.GetFastRingPending(self._ring)

    def statistics(self):
        statistics = Statistics()
        _lib.GetFastRingStatistics(self._ring, statistics, ctypes.sizeof(statistics))
        return statistics


class Buffer:
    """One reference of a buffer, until it is handed on."""

    def __init__(self, pointer):
        self._pointer = pointer

    # Bound here, since at the interpreter's end the module's names go before its objects.
    def __del__(self, release=_lib.ReleaseFastBuffer):
        release(self._pointer)

    @property
    def data(self):
        """The bytes in use, as a view: nothing is copied."""
        array = (ctypes.c_ubyte * len(self)).from_address(_lib.GetFastBufferData(self._pointer))
        array.owner = Buffer(_lib.HoldFastBuffer(self._pointer))  # the view keeps the array
        return memoryview(array).cast('B')

    def __len__(self):
        return _lib.GetFastBufferLength(self._pointer)


class Socket:
    """
    A connection, or with MODE_FILE_IO whatever can be read or written.

    target      an address to connect to, as text; or a descriptor, which is the library's from now on.
    handler     handler(socket, event, parameter) gets POLLIN, POLLOUT, POLLERR and POLLHUP.
    """

    def __init__(self, ring, target, handler, mode=MODE_REGULAR):
        self.ring = ring
        self.handler = handler
        create, target = ((_lib.ConnectFastSocket, target.encode()) if isinstance(target, str) else
                          (_lib.OpenFastSocket, target))
        self._pointer = create(ring._ring, target, mode, _handle_socket, None)
        _objects[self._pointer] = self

    def receive(self):
        """The next buffer of input, or None. POLLIN comes once: take all there is."""
        pointer = _lib.ReceiveFastSocketBuffer(self._pointer)
        return Buffer(pointer) if pointer else None

    def transmit(self, buffer):
        """Queues a buffer without copying it. It is gone for the caller, also on failure."""
        length = len(buffer)
        pointer, buffer._pointer = buffer._pointer, None
        _lib.TransmitFastSocketBuffer(self._pointer, None, 0, pointer, 0, length, 0)

    def forward(self, other):
        """Hands all input on to another socket, or back to this one; nothing is copied."""
        while (buffer := self.receive()) is not None:
            other.transmit(buffer)

    def send(self, data):
        """Queues a copy of bytes."""
        _lib.TransmitFastSocketData(self._pointer, None, 0, data, len(data), 0)

    @property
    def outbound_length(self):
        """Bytes queued that the kernel has not yet accepted."""
        return _lib.GetFastSocketOutboundLength(self._pointer)

    @property
    def error_text(self):
        """Why it has failed, or None."""
        text = _lib.GetFastSocketErrorText(self._pointer)
        return text and text.decode()

    def pause(self):
        _lib.PauseFastSocket(self._pointer)

    def resume(self):
        _lib.ResumeFastSocket(self._pointer)

    def shutdown(self):
        """Ends the output, after what is queued. Input goes on."""
        _lib.ShutdownFastSocket(self._pointer)

    def release(self):
        """Sends what is queued and closes, in the background. The handler is not called again."""
        pointer = self._forget()
        _lib.ReleaseFastSocket(pointer)

    def abort(self):
        """Drops what is queued and resets the connection."""
        pointer = self._forget()
        _lib.AbortFastSocket(pointer)

    def _forget(self):
        pointer, self._pointer = self._pointer, None  # every later call gets EINVAL
        _objects.pop(pointer, None)
        return pointer


class Listener:
    """Calls handler(handle) with the descriptor of each new connection."""

    # Without these the library waits a while and tries again by itself.
    SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)

    def __init__(self, ring, address, handler):
        self.ring = ring
        self.handler = handler
        self._pointer = _lib.ListenFastSocket(ring._ring, address.encode(), 0, _handle_listener, None)
        _objects[self._pointer] = self

    def _accept(self, handle):
        if handle >= 0:
            self.handler(handle)
        elif -handle not in self.SHORTAGES:
            raise OSError(-handle, os.strerror(-handle))

    def fileno(self):
        """The listening socket, which stays the listener's."""
        return _lib.GetFastListenerHandle(self._pointer)

    def release(self):
        pointer, self._pointer = self._pointer, None
        _objects.pop(pointer, None)
        _lib.ReleaseFastListener(pointer)


class Signal:
    """Calls handler(number) inside a turn. Other threads than the ring's must have the number blocked."""

    def __init__(self, ring, number, handler):
        self.ring = ring
        self.handler = handler
        self._pointer = _lib.AddFastRingSignal(ring._ring, number, _handle_signal, None)
        _objects[self._pointer] = self

    def remove(self):
        pointer, self._pointer = self._pointer, None
        _objects.pop(pointer, None)
        _lib.RemoveFastRingSignal(pointer)
