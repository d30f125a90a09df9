-- What the examples need and what has nothing to do with the library: TCP over IPv4, signals through a
-- descriptor, and blocking output. Numbers are those of Linux on x86, ARM, RISC-V and POWER.

local ffi = require('ffi')
local C = ffi.C

ffi.cdef [[
struct sockaddr_in
{
    uint16_t sin_family, sin_port;
    uint8_t sin_addr[4], sin_zero[8];
};
int socket(int family, int type, int protocol);
int setsockopt(int handle, int level, int name, const void* value, uint32_t length);
int bind(int handle, const struct sockaddr_in* address, uint32_t length);
int listen(int handle, int backlog);
int connect(int handle, const struct sockaddr_in* address, uint32_t length);
int getsockname(int handle, struct sockaddr_in* address, uint32_t* length);
int inet_pton(int family, const char* text, void* address);
uint16_t htons(uint16_t number);

typedef struct { unsigned long words[1024 / (8 * sizeof(long))]; } plain_sigset;
int sigemptyset(plain_sigset* set);
int sigaddset(plain_sigset* set, int number);
int sigprocmask(int how, const plain_sigset* set, plain_sigset* old);
int signalfd(int handle, const plain_sigset* set, int flags);

struct plain_pollfd { int fd; short events, revents; };
int poll(struct plain_pollfd* list, unsigned long count, int timeout);
long read(int handle, void* data, size_t size);
long write(int handle, const void* data, size_t size);
int close(int handle);
]]

local AF_INET, SOCK_STREAM, SOL_SOCKET, SO_REUSEADDR, SOMAXCONN = 2, 1, 1, 2, 4096
local CLOEXEC, NONBLOCK = 0x80000, 0x800
local SIGINT, SIGTERM, SIG_BLOCK = 2, 15, 0
local POLLIN = 1

local plain = { read = C.read, close = C.close }

local function check(result, what)
    if result < 0 then
        error(what .. ': ' .. ffi.string(C.strerror(ffi.errno())), 0)
    end
    return result
end

local function makeAddress(host, port)
    local address = ffi.new('struct sockaddr_in', { sin_family = AF_INET, sin_port = C.htons(port) })
    if C.inet_pton(AF_INET, host, address.sin_addr) ~= 1 then
        error(host .. ' is no IPv4 address', 0)
    end
    return address, ffi.sizeof(address)
end

-- Returns a listening descriptor and its port.
function plain.listen(host, port)
    local address, size = makeAddress(host, port)
    local handle = check(C.socket(AF_INET, SOCK_STREAM + CLOEXEC, 0), 'socket')
    local yes, length = ffi.new('int[1]', 1), ffi.new('uint32_t[1]', size)
    check(C.setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, yes, ffi.sizeof('int')), 'setsockopt')
    check(C.bind(handle, address, size), host .. ' port ' .. port)
    check(C.listen(handle, SOMAXCONN), 'listen')
    check(C.getsockname(handle, address, length), 'getsockname')
    return handle, C.htons(address.sin_port)
end

function plain.connect(host, port)
    local handle = check(C.socket(AF_INET, SOCK_STREAM + CLOEXEC, 0), 'socket')
    check(C.connect(handle, makeAddress(host, port)), host .. ' port ' .. port)
    return handle
end

-- From now on SIGINT and SIGTERM can be read from the descriptor that this returns.
function plain.signals()
    local set = ffi.new('plain_sigset')
    C.sigemptyset(set)
    C.sigaddset(set, SIGINT)
    C.sigaddset(set, SIGTERM)
    check(C.sigprocmask(SIG_BLOCK, set, nil), 'sigprocmask')
    return check(C.signalfd(-1, set, CLOEXEC + NONBLOCK), 'signalfd')
end

-- Takes one signal from it: false if there is none.
function plain.takeSignal(handle)
    local information = ffi.new('uint8_t[128]')
    return C.read(handle, information, 128) == 128
end

-- Can it be read without blocking? True at the end of input, too.
function plain.isReadable(handle)
    return C.poll(ffi.new('struct plain_pollfd', handle, POLLIN), 1, 0) > 0
end

function plain.write(handle, data, size)
    while size > 0 do
        local written = tonumber(check(C.write(handle, data, size), 'write'))
        data, size = data + written, size - written
    end
end

return plain
