"""
fastsocket: libfastsocket for Python, through ctypes.

    LD_LIBRARY_PATH=... python3 echo_server.py    if the library isn't where the loader looks

Thin on purpose: each class stands for one kind of the library's objects, each method for one call,
and the promises in include/Ring/*.h hold. What a loader has to take care of, and this one does:

- The library calls back with a pointer. There is one C callback for each kind of event, made once and
  never freed, which finds the Python object in a dictionary. That keeps the object alive, too, for as
  long as the library may call it.
- An exception can't pass through C. The first one that a handler raises is kept and raised by wait(),
  or by close(), which tells the sockets that are left.
- A Buffer is one reference of a buffer, which goes with it or is handed on by transmit(). A memory view
  has a reference of its own, so that no view can outlive the memory.
- Errors are OSError: BrokenPipeError for EPIPE, BlockingIOError for EAGAIN and so on.
"""

import ctypes
import errno
import math
import os
import socket as plain
from ctypes import c_char_p, c_int, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p
from select import POLLERR, POLLHUP, POLLIN, POLLOUT  # the events, for those who import us

__all__ = ['POLLERR', 'POLLHUP', 'POLLIN', 'POLLOUT', 'MODE_REGULAR', 'MODE_ZERO_COPY', 'MODE_AUTO_CORK',
           'Buffer', 'Listener', 'Ring', 'Socket', 'Statistics', 'Watch', 'version']

MODE_REGULAR, MODE_ZERO_COPY, MODE_AUTO_CORK = 0, 0x4000000, 0x8000

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


_CreateBuffer = ctypes.CFUNCTYPE(c_void_p, c_size_t, c_void_p)
_ReleaseBuffer = ctypes.CFUNCTYPE(None, c_void_p)
_HandleWatch = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_void_p)
_HandleSocket = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_int)
_HandleListener = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_void_p)

_declare('CreateFastRing', c_void_p, c_uint32, check=_found)
_declare('ReleaseFastRing', None, c_void_p)
_declare('WaitForFastRing', c_int, c_void_p, c_uint32, c_void_p, check=_done)
_declare('GetFastRingHandle', c_int, c_void_p, check=_done)
_declare('GetFastRingInterval', c_int, c_void_p)
_declare('GetFastRingPending', c_size_t, c_void_p)
_declare('GetFastRingStatistics', c_int, c_void_p, ctypes.POINTER(Statistics), c_size_t, check=_done)
_declare('CreateFastRingBufferProvider', c_void_p, c_void_p, c_uint16, c_uint16, c_uint32, _CreateBuffer,
         c_void_p, check=_found)
_declare('ReleaseFastRingBufferProvider', None, c_void_p, _ReleaseBuffer)
_declare('AddFastRingWatch', c_void_p, c_void_p, c_int, c_uint32, c_uint32, _HandleWatch, c_void_p, check=_found)
_declare('UpdateFastRingWatch', c_int, c_void_p, c_uint32, check=_done)
_declare('RemoveFastRingWatch', None, c_void_p)

_declare('CreateFastBufferPool', c_void_p, c_void_p, check=_found)
_declare('ReleaseFastBufferPool', None, c_void_p)
_declare('AllocateFastBuffer', c_void_p, c_void_p, c_size_t, c_int, check=_found)
_declare('HoldFastBuffer', c_void_p, c_void_p)
_declare('ReleaseFastBuffer', None, c_void_p)
_declare('GetFastBufferData', c_void_p, c_void_p)
_declare('GetFastBufferLength', c_size_t, c_void_p)
_declare('SetFastBufferLength', c_int, c_void_p, c_size_t, check=_done)
_declare('GetFastBufferSize', c_size_t, c_void_p)

_declare('CreateFastSocket', c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int, c_void_p, c_int, c_int,
         c_uint32, _HandleSocket, c_void_p, check=_found)
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
_declare('CreateFastListener', c_void_p, c_void_p, c_int, c_int, _HandleListener, c_void_p, check=_found)
_declare('ReleaseFastListener', None, c_void_p)
_declare('GetFastSocketVersion', c_char_p)

# Pointers to functions of the library itself: no Python runs when the kernel needs a buffer.
_create_buffer = ctypes.cast(_lib.AllocateRingFastBuffer, _CreateBuffer)
_release_buffer = ctypes.cast(_lib.ReleaseRingFastBuffer, _ReleaseBuffer)


def version():
    """The version of the library that was found, '1.0.0'."""
    return _lib.GetFastSocketVersion().decode()


# ---- the callbacks ------------------------------------------------------------------------------

_objects = {}  # pointer: Socket, Listener or Watch, from its creation to its release


@_HandleSocket
def _handle_socket(pointer, event, parameter):
    target = _objects[pointer]
    target.ring._call(target.handler, target, event, parameter)


@_HandleListener
def _handle_listener(pointer, handle, closure):
    target = _objects[pointer]
    target.ring._call(target._accept, handle)


@_HandleWatch
def _handle_watch(pointer, result, closure):
    target = _objects[pointer]
    target.ring._call(target.handler, target, result)


# ---- the objects --------------------------------------------------------------------------------

class Ring:
    """The event loop, with a pool of buffers and a provider out of which all its sockets receive."""

    def __init__(self, count=256, length=16384):
        self._error = None
        self._ring = self._pool = self._provider = None
        try:
            self._ring = _lib.CreateFastRing(0)
            self._pool = _lib.CreateFastBufferPool(self._ring)
            self._provider = _lib.CreateFastRingBufferProvider(self._ring, 0, count, length, _create_buffer, self._pool)
        except OSError:
            self._release()
            raise

    def close(self):
        """
        Ends the loop; output that is still queued is dropped (see pending). Returns the statistics:
        sockets and buffers count what the program has forgotten to release.
        """
        # All buffers that are not the program's go with the provider, once its last socket is gone.
        _lib.ReleaseFastRingBufferProvider(self._provider, _release_buffer)
        self._provider = None
        statistics = self.statistics()
        self._release()
        self._raise()
        return statistics

    def _release(self):
        if self._ring is not None:
            _lib.ReleaseFastRing(self._ring)  # tells the sockets that are left
        _lib.ReleaseFastBufferPool(self._pool)
        self._ring = self._pool = None

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

    def allocate(self, size):
        """An empty buffer for that many bytes."""
        return Buffer(_lib.AllocateFastBuffer(self._pool, size, 0))


class Buffer:
    """One reference of a buffer, until it is handed on."""

    def __init__(self, pointer):
        self._pointer = pointer

    # Bound here, since at the interpreter's end the module's names go before its objects.
    def __del__(self, release=_lib.ReleaseFastBuffer):
        release(self._pointer)

    @property
    def memory(self):
        """All its memory, as a view that can be written to."""
        size = _lib.GetFastBufferSize(self._pointer)
        array = (ctypes.c_ubyte * size).from_address(_lib.GetFastBufferData(self._pointer))
        array.owner = Buffer(_lib.HoldFastBuffer(self._pointer))  # the view keeps the array
        return memoryview(array).cast('B')

    @property
    def data(self):
        """The bytes in use, as a view: nothing is copied."""
        return self.memory[:len(self)]

    def __len__(self):
        return _lib.GetFastBufferLength(self._pointer)

    def set_length(self, length):
        _lib.SetFastBufferLength(self._pointer, length)


class Socket:
    """
    A connection. handler(socket, event, parameter) gets POLLIN, POLLOUT, POLLERR and POLLHUP.

    connection, a socket of the standard library, is detached: its descriptor is the library's now.
    """

    def __init__(self, ring, connection, handler, mode=MODE_REGULAR):
        self.ring = ring
        self.handler = handler
        self._pointer = _lib.CreateFastSocket(ring._ring, ring._provider, ring._pool, ring._pool,
                                              connection.fileno(), None, 0, mode, 0, _handle_socket, None)
        connection.detach()
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

    def send(self, data):
        """Queues a copy of bytes."""
        _lib.TransmitFastSocketData(self._pointer, None, 0, data, len(data), 0)

    @property
    def outbound_length(self):
        """Bytes queued that the kernel has not yet accepted."""
        return _lib.GetFastSocketOutboundLength(self._pointer)

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
    """
    Calls handler(connection) with each new connection, as a socket of the standard library.

    listening, a listening socket, is detached: its descriptor is the library's now.
    """

    # Without these the library waits a while and tries again by itself.
    SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)

    def __init__(self, ring, listening, handler):
        self.ring = ring
        self.handler = handler
        self._pointer = _lib.CreateFastListener(ring._ring, listening.fileno(), 0, _handle_listener, None)
        listening.detach()
        _objects[self._pointer] = self

    def _accept(self, handle):
        if handle >= 0:
            self.handler(plain.socket(fileno=handle))
        elif -handle not in self.SHORTAGES:
            raise OSError(-handle, os.strerror(-handle))

    def release(self):
        pointer, self._pointer = self._pointer, None
        _objects.pop(pointer, None)
        _lib.ReleaseFastListener(pointer)


class Watch:
    """
    Calls handler(watch, result) while the condition of mask (POLLIN, POLLOUT) holds for a descriptor.
    As with poll(2), a read may find nothing all the same: it must not block.
    """

    def __init__(self, ring, handle, mask, handler):
        self.ring = ring
        self.handler = handler
        self._pointer = _lib.AddFastRingWatch(ring._ring, handle, mask, 0, _handle_watch, None)
        _objects[self._pointer] = self

    def update(self, mask):
        """0 pauses."""
        _lib.UpdateFastRingWatch(self._pointer, mask)

    def remove(self):
        pointer, self._pointer = self._pointer, None
        _objects.pop(pointer, None)
        _lib.RemoveFastRingWatch(pointer)
