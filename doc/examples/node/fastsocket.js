// fastsocket: libfastsocket for Node.js, through koffi (npm install, in this folder).
//
//     LD_LIBRARY_PATH=... node echo-server.js    if the library isn't where the loader looks
//
// What a loader has to take care of, and this one does (../README.md tells more):
//
// - A ring belongs to a thread, and JavaScript to the main one: turns run there and never wait. Only
//   the poll of the ring's handle is asynchronous, on a thread that calls nothing else; and it ends
//   after at most a second, so that the pool of these threads, and the program's end, wait no longer.
// - One C callback for each kind of event is registered once. It finds the object in a map by the
//   pointer that called, and the map keeps the object.
// - What a handler throws ends that handler alone; the first is thrown again behind the turn.

'use strict';

const koffi = require('koffi');
const { getSystemErrorMap } = require('node:util');

const lib = koffi.load('libfastsocket.so.1');
koffi.proto('void HandleEvent(void* socket, int event, int parameter)');
koffi.proto('void HandleConnection(void* listener, int handle, void* closure)');

const libc = koffi.load('libc.so.6');
const poll = libc.func('int poll(_Inout_ uint64_t* list, ulong count, int timeout)');
const getsockname = libc.func('int getsockname(int handle, _Out_ uint8_t* address, _Inout_ uint32_t* length)');
const C = Object.fromEntries([
    'void* CreateFastRing(uint32_t length)', 'void ReleaseFastRing(void* ring)',
    'int WaitForFastRing(void* ring, uint32_t interval, void* mask)', 'int GetFastRingHandle(void* ring)',
    'int GetFastRingInterval(void* ring)', 'size_t GetFastRingPending(void* ring)',
    'void* OpenFastSocket(void* ring, int handle, int mode, HandleEvent* function, void* closure)',
    'void* ConnectFastSocket(void* ring, const char* address, int mode, HandleEvent* function, void* closure)',
    'void* ListenFastSocket(void* ring, const char* address, int flags, HandleConnection* function, void* closure)',
    'int GetFastListenerHandle(void* listener)', 'void ReleaseFastListener(void* listener)',
    'void ReleaseFastSocket(void* socket)', 'void AbortFastSocket(void* socket)',
    'int ShutdownFastSocket(void* socket)', 'int PauseFastSocket(void* socket)', 'int ResumeFastSocket(void* socket)',
    'size_t GetFastSocketOutboundLength(void* socket)', 'const char* GetFastSocketErrorText(void* socket)',
    'int TransmitFastSocketData(void* socket, void* address, uint32_t length, const void* data, size_t size, int flags)',
    'int TransmitFastSocketBuffer(void* socket, void* address, uint32_t length, void* buffer, size_t offset, size_t size, int flags)',
    'long ReceiveFastSocketData(void* socket, void* data, size_t size, int flags)',
    'void* ReceiveFastSocketBuffer(void* socket)', 'size_t GetFastBufferLength(void* buffer)',
    'int FormatFastAddress(const void* address, uint32_t length, _Out_ uint8_t* text, size_t size)',
].map((text) => [text.match(/(\w+)\(/)[1], lib.func(text)]));

const POLLIN = 1, POLLOUT = 4, POLLERR = 8, POLLHUP = 16;
const MODE_REGULAR = 0, MODE_ZERO_COPY = 0x4000000, MODE_AUTO_CORK = 0x8000, MODE_FILE_IO = 0x4;
const CHUNK = 65536; // bytes that one receive takes
const LONGEST = 1000; // milliseconds that a poll keeps its thread

function failure(number) {
    const [code, message] = getSystemErrorMap().get(-number) ?? [`E${number}`, `error ${number}`];
    return Object.assign(new Error(`${code}: ${message}`), { code, errno: -number });
}

function found(pointer) {
    if (!pointer)
        throw failure(koffi.errno());
    return pointer;
}

function done(result) {
    if (result < 0)
        throw failure(-result);
    return result;
}

// ---- the callbacks

const objects = new Map(); // by address: from an object's creation to its release
let thrown = [];

function call(pointer, ...values) {
    const target = objects.get(pointer);
    try {
        target.call(...values);
    } catch (error) {
        thrown.push(error);
    }
}

const handleEvent = koffi.register(call, 'HandleEvent*');
const handleConnection = koffi.register(call, 'HandleConnection*');

// Has a handler that the library calls by the object's pointer.
class Target {
    constructor(pointer, handler) {
        this.pointer = found(pointer);
        this.handler = handler;
        objects.set(this.pointer, this);
    }

    forget() {
        const pointer = this.pointer;
        objects.delete(pointer);
        this.pointer = null; // every later call gets EINVAL
        return pointer;
    }
}

// ---- the objects

class Ring {
    pointer = found(C.CreateFastRing(0));
    handle = done(C.GetFastRingHandle(this.pointer));

    // Runs one turn, in which handlers are called. Never waits.
    turn() {
        const result = C.WaitForFastRing(this.pointer, 0, null);
        const [error] = thrown.splice(0);
        if (error)
            throw error;
        done(result);
    }

    // Turns, whenever there is something to do, while a condition holds. What a handler throws
    // rejects: call it again to go on.
    async run(condition = () => true) {
        const entry = new BigUint64Array([BigInt(this.handle) | BigInt(POLLIN) << 32n]); // struct pollfd
        while (condition()) {
            const interval = C.GetFastRingInterval(this.pointer);
            const timeout = interval < 0 ? LONGEST : Math.min(interval, LONGEST);
            await new Promise((resolve) => poll.async(entry, 1, timeout, resolve));
            this.turn();
        }
    }

    // Sockets that still have something to send or to close.
    get pending() { return C.GetFastRingPending(this.pointer); }

    // Tells the sockets that are left; their output is dropped.
    close() { C.ReleaseFastRing(this.pointer); }

    // The descriptor is the socket's from now on. handler: socket, event, parameter.
    open(handle, handler, mode = MODE_REGULAR) {
        return new Socket(C.OpenFastSocket(this.pointer, handle, mode, handleEvent, null), handler);
    }

    connect(address, handler) {
        return new Socket(C.ConnectFastSocket(this.pointer, address, 0, handleEvent, null), handler);
    }

    // handler gets each connection's descriptor, or a negative errno.
    listen(address, handler) {
        return new Listener(C.ListenFastSocket(this.pointer, address, 0, handleConnection, null), handler);
    }
}

// A connection, or with MODE_FILE_IO whatever can be read or written.
class Socket extends Target {
    call(event, parameter) { this.handler(this, event, parameter); }

    // The next bytes of input, or null. POLLIN comes once: take all there is.
    receive() {
        const data = Buffer.allocUnsafe(CHUNK);
        const length = C.ReceiveFastSocketData(this.pointer, data, CHUNK, 0);
        return length > 0 ? data.subarray(0, length) : null;
    }

    transmit(data) {
        const bytes = Buffer.from(data);
        done(C.TransmitFastSocketData(this.pointer, null, 0, bytes, bytes.length, 0));
    }

    // Hands all input on to another socket, or back to this one; nothing is copied.
    forward(other) {
        for (let buffer; (buffer = C.ReceiveFastSocketBuffer(this.pointer));)
            done(C.TransmitFastSocketBuffer(other.pointer, null, 0, buffer, 0, C.GetFastBufferLength(buffer), 0));
    }

    get outboundLength() { return Number(C.GetFastSocketOutboundLength(this.pointer)); }
    get errorText() { return C.GetFastSocketErrorText(this.pointer); }
    pause() { C.PauseFastSocket(this.pointer); }
    resume() { C.ResumeFastSocket(this.pointer); }
    shutdown() { C.ShutdownFastSocket(this.pointer); }
    release() { C.ReleaseFastSocket(this.forget()); }
    abort() { C.AbortFastSocket(this.forget()); }
}

class Listener extends Target {
    call(handle) { this.handler(handle); }

    // Where it listens, as text.
    get address() {
        const name = Buffer.alloc(128), length = [128], text = Buffer.alloc(128);
        done(getsockname(C.GetFastListenerHandle(this.pointer), name, length));
        done(C.FormatFastAddress(name, length[0], text, text.length));
        return text.toString('latin1', 0, text.indexOf(0));
    }

    release() { C.ReleaseFastListener(this.forget()); }
}

module.exports = { Ring, POLLIN, POLLOUT, POLLERR, POLLHUP, MODE_REGULAR, MODE_ZERO_COPY, MODE_AUTO_CORK, MODE_FILE_IO };
