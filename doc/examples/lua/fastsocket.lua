-- fastsocket: libfastsocket for LuaJIT, through its ffi.
--
--     LD_LIBRARY_PATH=... luajit echo-server.lua    if the library isn't where the loader looks
--
-- Thin on purpose: the objects are the library's own pointers with methods, each for one call, and the
-- promises in include/Ring/*.h hold. What a loader has to take care of, and this one does (../README.md
-- tells more):
--
-- - A function that calls back into Lua must not be called from compiled code: jit.off() below.
-- - Each ffi callback takes one of few hundred slots and is never freed by itself. There is one for each
--   kind of event, made once, which finds the Lua function in a table by the pointer that called.
-- - An error can't pass through C. The first one that a handler raises is kept and raised by wait(),
--   or by close(), which tells the sockets that are left.
-- - A buffer that Lua owns carries a finalizer, which is taken off when the buffer is handed on. The
--   collector sees a pointer's few bytes only: release early what isn't handed on.
--
-- Functions that make something raise an error when they can't; transmits return true, or nil, the
-- message and the errno.

local ffi = require('ffi')

ffi.cdef [[
struct FastRing;
struct FastRingSignal;
struct FastBuffer;
struct FastSocket;
struct FastListener;

struct FastRingStatistics
{
    uint64_t turns, systemCalls, submissions, completions, overflows, wakes, starvations, operations,
        sockets, inboundLength, buffers, bufferBytes, providedBuffers;
};

struct FastRing* CreateFastRing(uint32_t length);
void ReleaseFastRing(struct FastRing* ring);
int WaitForFastRing(struct FastRing* ring, uint32_t interval, void* mask);
int GetFastRingHandle(struct FastRing* ring);
int GetFastRingInterval(struct FastRing* ring);
size_t GetFastRingPending(struct FastRing* ring);
int GetFastRingStatistics(struct FastRing* ring, struct FastRingStatistics* statistics, size_t size);

typedef void (*HandleFastRingSignal)(struct FastRingSignal* signal, int number, int code, int process, int value, void* closure);
struct FastRingSignal* AddFastRingSignal(struct FastRing* ring, int number, HandleFastRingSignal function, void* closure);
void RemoveFastRingSignal(struct FastRingSignal* signal);

void ReleaseFastBuffer(struct FastBuffer* buffer);
uint8_t* GetFastBufferData(struct FastBuffer* buffer);
size_t GetFastBufferLength(struct FastBuffer* buffer);

typedef void (*HandleFastSocketEvent)(struct FastSocket* socket, int event, int parameter);
struct FastSocket* OpenFastSocket(struct FastRing* ring, int handle, int mode, HandleFastSocketEvent function, void* closure);
struct FastSocket* ConnectFastSocket(struct FastRing* ring, const char* address, int mode, HandleFastSocketEvent function, void* closure);
void ReleaseFastSocket(struct FastSocket* socket);
void AbortFastSocket(struct FastSocket* socket);
int ShutdownFastSocket(struct FastSocket* socket);
struct FastBuffer* ReceiveFastSocketBuffer(struct FastSocket* socket);
int PauseFastSocket(struct FastSocket* socket);
int ResumeFastSocket(struct FastSocket* socket);
int TransmitFastSocketData(struct FastSocket* socket, void* address, uint32_t length, const void* data, size_t size, int flags);
int TransmitFastSocketBuffer(struct FastSocket* socket, const void* address, uint32_t length, struct FastBuffer* buffer, size_t offset, size_t size, int flags);
size_t GetFastSocketOutboundLength(struct FastSocket* socket);
const char* GetFastSocketErrorText(struct FastSocket* socket);

typedef void (*HandleFastListenerEvent)(struct FastListener* listener, int handle, void* closure);
struct FastListener* ListenFastSocket(struct FastRing* ring, const char* address, int flags, HandleFastListenerEvent function, void* closure);
int GetFastListenerHandle(struct FastListener* listener);
void ReleaseFastListener(struct FastListener* listener);
int FormatFastAddress(const void* address, uint32_t length, char* text, size_t size);
const char* GetFastSocketVersion(void);

char* strerror(int number);
int getsockname(int handle, void* address, uint32_t* length);
]]

-- The name with the number of the ABI: libfastsocket.so is of the development package.
local lib = ffi.load('libfastsocket.so.1')

local fastsocket = { POLLIN = 1, POLLOUT = 4, POLLERR = 8, POLLHUP = 16, MODE_FILE_IO = 0x4 }
local FOREVER = 0xffffffff

function fastsocket.version()
    return ffi.string(lib.GetFastSocketVersion())
end

function fastsocket.message(reason)
    return ffi.string(ffi.C.strerror(reason))
end

-- A pointer that may be NULL, with errno then.
local function found(pointer)
    if pointer == nil then
        error(fastsocket.message(ffi.errno()), 3)
    end
    return pointer
end

-- A result that is negative for an error.
local function done(result)
    if result < 0 then
        return nil, fastsocket.message(-result), -result
    end
    return true
end

---- callbacks -----------------------------------------------------------------------------------------

local handlers = {} -- by address; an entry lives from the creation of an object to its release
local failure       -- the first error of a handler since the last wait()

-- Pointers of user space fit into a number.
local function addressOf(pointer)
    return tonumber(ffi.cast('uintptr_t', pointer))
end

local function raise()
    local message = failure
    failure = nil
    if message then
        error(message, 0)
    end
end

local function call(pointer, ...)
    local good, message = xpcall(handlers[addressOf(pointer)], debug.traceback, pointer, ...)
    if not good then
        failure = failure or message
    end
end

-- Kept by the functions below, and these by the module: the collector would free the callbacks.
local onSocket = ffi.cast('HandleFastSocketEvent', call)
local onListener = ffi.cast('HandleFastListenerEvent', call)
local onSignal = ffi.cast('HandleFastRingSignal', call)

---- ring: the loop; sockets share its buffers -----------------------------------------------------------

local Ring = {}
Ring.__index = Ring

function fastsocket.ring()
    local self = setmetatable({}, Ring)
    self.ring = found(lib.CreateFastRing(0))
    return self
end

-- Runs one turn; the handlers are called in it. timeout in milliseconds, nil for no limit.
function Ring:wait(timeout)
    local result = lib.WaitForFastRing(self.ring, timeout or FOREVER, nil)
    raise()
    return done(result)
end
jit.off(Ring.wait)

-- Turns while a condition holds.
function Ring:run(condition)
    while condition() do
        assert(self:wait())
    end
end

-- Ends the loop; output that is still queued is dropped (see pending). Returns the statistics: sockets
-- and buffers count what the program has forgotten to release.
function Ring:close()
    local statistics = ffi.new('struct FastRingStatistics')
    lib.GetFastRingStatistics(self.ring, statistics, ffi.sizeof(statistics))
    statistics.buffers = statistics.buffers - statistics.providedBuffers -- the ring's own
    lib.ReleaseFastRing(self.ring) -- tells the sockets that are left
    self.ring = nil
    raise()
    return statistics
end
jit.off(Ring.close)

-- Sockets that still have something to send or to close.
function Ring:pending()
    return tonumber(lib.GetFastRingPending(self.ring))
end

-- For a foreign loop: readable when there is something to handle, and how many milliseconds until
-- wait() is due although it stays quiet (-1: never).
function Ring:handle()
    return lib.GetFastRingHandle(self.ring)
end

function Ring:interval()
    return lib.GetFastRingInterval(self.ring)
end

local function keep(object, handler)
    handlers[addressOf(found(object))] = handler
    return object
end

-- Takes a descriptor over: a connection, or with MODE_FILE_IO whatever can be read or written.
-- handler(socket, event, parameter) gets POLLIN, POLLOUT, POLLERR and POLLHUP.
function Ring:open(handle, handler, mode)
    return keep(lib.OpenFastSocket(self.ring, handle, mode or 0, onSocket, nil), handler)
end

function Ring:connect(address, handler)
    return keep(lib.ConnectFastSocket(self.ring, address, 0, onSocket, nil), handler)
end

-- handler(listener, handle) gets each new connection's descriptor, or a negative errno.
function Ring:listen(address, handler)
    return keep(lib.ListenFastSocket(self.ring, address, 0, onListener, nil), handler)
end

-- Calls handler(signal, number) inside a turn. Other threads must have the number blocked.
function Ring:signal(number, handler)
    return keep(lib.AddFastRingSignal(self.ring, number, onSignal, nil), handler)
end

---- what lives on a ring ----------------------------------------------------------------------------------

local Socket = {}

-- The next buffer of input, or nil. POLLIN comes once: take all there is.
function Socket:receive()
    local buffer = lib.ReceiveFastSocketBuffer(self)
    if buffer == nil then
        return nil
    end
    return ffi.gc(buffer, lib.ReleaseFastBuffer)
end

-- Queues a buffer without copying it. It is gone for the caller, also on failure.
function Socket:transmit(buffer)
    local length = lib.GetFastBufferLength(buffer)
    return done(lib.TransmitFastSocketBuffer(self, nil, 0, ffi.gc(buffer, nil), 0, length, 0))
end

-- Hands all input on to another socket, or back to this one; nothing is copied.
function Socket:forward(other)
    for buffer in self.receive, self do
        local good, message, reason = other:transmit(buffer)
        if not good then
            return nil, message, reason
        end
    end
    return true
end

-- Queues a copy of a string.
function Socket:send(text)
    return done(lib.TransmitFastSocketData(self, nil, 0, text, #text, 0))
end

-- Bytes queued that the kernel has not yet accepted.
function Socket:outboundLength()
    return tonumber(lib.GetFastSocketOutboundLength(self))
end

-- Why it has failed.
function Socket:errorText()
    local text = lib.GetFastSocketErrorText(self)
    return text ~= nil and ffi.string(text) or nil
end

function Socket:pause()
    return done(lib.PauseFastSocket(self))
end

function Socket:resume()
    return done(lib.ResumeFastSocket(self))
end

-- Ends the output, after what is queued. Input goes on.
function Socket:shutdown()
    return done(lib.ShutdownFastSocket(self))
end

-- Sends what is queued and closes, in the background. The handler is not called again, and the socket
-- must not be used again.
function Socket:release()
    handlers[addressOf(self)] = nil
    lib.ReleaseFastSocket(self)
end

-- Drops what is queued and resets the connection.
function Socket:abort()
    handlers[addressOf(self)] = nil
    lib.AbortFastSocket(self)
end

local Listener = {}

-- Where it listens, as text.
function Listener:address()
    local name, length, text = ffi.new('uint8_t[128]'), ffi.new('uint32_t[1]', 128), ffi.new('char[128]')
    ffi.C.getsockname(lib.GetFastListenerHandle(self), name, length)
    assert(done(lib.FormatFastAddress(name, length[0], text, 128)))
    return ffi.string(text)
end

function Listener:release()
    handlers[addressOf(self)] = nil
    lib.ReleaseFastListener(self)
end

local Signal = {}

function Signal:remove()
    handlers[addressOf(self)] = nil
    lib.RemoveFastRingSignal(self)
end

local Buffer = {}

-- The memory, a uint8_t*, valid as long as the buffer is ours.
function Buffer:data()
    return lib.GetFastBufferData(self)
end

function Buffer:length()
    return tonumber(lib.GetFastBufferLength(self))
end

-- Its bytes, as a string.
function Buffer:text()
    return ffi.string(self:data(), self:length())
end

-- Drops our reference, before the collector would.
function Buffer:release()
    lib.ReleaseFastBuffer(ffi.gc(self, nil))
end

ffi.metatype('struct FastSocket', { __index = Socket })
ffi.metatype('struct FastListener', { __index = Listener })
ffi.metatype('struct FastRingSignal', { __index = Signal })
ffi.metatype('struct FastBuffer', { __index = Buffer })

return fastsocket
