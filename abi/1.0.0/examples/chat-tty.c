/*
 * chat-tty: the terminal's side of chat-server. What you type goes there, what it says is printed.
 *
 *     cc chat-tty.c -o chat-tty $(pkg-config --cflags --libs fastsocket)
 *     ./chat-tty ADDRESS PORT
 *     ./chat-tty unix:PATH
 *
 * It works as well with pipes and files: ./chat-tty ADDRESS PORT <QUESTIONS >ANSWERS
 *
 * ^D, or the end of the input, ends what we say; the server may say the rest, and its end is ours. The
 * exit status is 0 when the conversation has ended so; 1, with a message, when the connection or a file
 * has failed or the terminal was hung up.
 *
 * See copy.c and lines.c first. New here:
 *
 * - Terminal and connection are the same kind of thing, in one loop: three sockets, and two ways that
 *   bytes go.
 *
 *       input  --->  server            server  --->  output
 *
 * - Each handler only notes what has happened; one function then does whatever can be done. So it
 *   doesn't matter in which order things happen.
 * - Back-pressure both ways: what the server doesn't take is not read from the terminal, and what the
 *   terminal doesn't take (^S) is not read from the server.
 * - The terminal keeps its settings: lines, editing and echo are its own, ^C ends us as any program.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <Ring/FastSocket.h>

#include "plain-socket.h"

enum
{
    BUFFER_COUNT = 64,
    BUFFER_LENGTH = 16 * 1024,
    OUTBOUND_LIMIT = 256 * 1024 /* bytes queued one way at which we take no more */
};

struct Chat
{
    struct FastRing* ring;
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct FastRingWatch* watch; /* of the terminal, if there is one */
    struct FastSocket* input;    /* what is typed */
    struct FastSocket* output;   /* what is printed */
    struct FastSocket* server;
    bool inputEnded;
    bool serverEnded;
    bool shutdown; /* the server knows that the input has ended */
    bool done;     /* nothing more to do but to close */
    bool failed;
};

/* Looked at before anything is opened: that would get the number of one that isn't. */
static bool isOpen(int handle)
{
    return fcntl(handle, F_GETFD) >= 0;
}

/* Was it a terminal, and has it gone? isatty() would deny the former by now. */
static bool isHungUp(int handle)
{
    struct pollfd state = {.fd = handle};
    struct stat status;

    return (fstat(handle, &status) == 0) && S_ISCHR(status.st_mode) && (poll(&state, 1, 0) > 0) &&
           (state.revents & POLLHUP);
}

/* The first thing that fails is the one to tell of. */
static void fail(struct Chat* chat, const char* what, const char* reason)
{
    if (!chat->failed)
        fprintf(stderr, "%s: %s\n", what, reason);
    chat->failed = true;
}

/* Hands buffers over, until size bytes are queued. */
static void passOn(struct Chat* chat, struct FastSocket* from, struct FastSocket* to, size_t size)
{
    struct FastBuffer* buffer;
    int result = 0;

    while ((result == 0) && (GetFastSocketOutboundLength(to) < size) &&
           ((buffer = ReceiveFastSocketBuffer(from)) != NULL))
        result = TransmitFastSocketBuffer(to, NULL, 0, buffer, 0, GetFastBufferLength(buffer), 0);

    /* -EPIPE: it has failed before, and its POLLERR tells the reason. */
    if ((result < 0) && (result != -EPIPE)) {
        fail(chat, "transmit", strerror(-result));
        chat->done = true;
    }
}

/* Does what can be done now; called after everything that happens. */
static void advance(struct Chat* chat)
{
    passOn(chat, chat->input, chat->server, OUTBOUND_LIMIT);
    passOn(chat, chat->server, chat->output, OUTBOUND_LIMIT);

    /* Our side has said all: the server hears the end after what is queued. */
    if (chat->inputEnded && !chat->shutdown && (GetFastSocketInboundLength(chat->input) == 0)) {
        ShutdownFastSocket(chat->server);
        chat->shutdown = true;
    }

    /* The server has said all, and all of it is printed. */
    if (chat->serverEnded && (GetFastSocketInboundLength(chat->server) == 0) &&
        (GetFastSocketOutboundLength(chat->output) == 0))
        chat->done = true;
}

/* Nobody is there any more to talk to the server or to hear it, which still gets the rest. */
static void leave(struct Chat* chat)
{
    passOn(chat, chat->input, chat->server, SIZE_MAX);
    chat->done = true;
}

static void hangUp(struct Chat* chat)
{
    fail(chat, "terminal", "hung up");
    leave(chat);
}

/* The input tells of its end when it comes to it: not while the server takes nothing and we don't read.
 * So somebody watches the terminal, for nothing but its hang-up, which every watch reports. */
static void handleTerminal(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    if ((result > 0) && (result & POLLHUP))
        hangUp(closure);
}

static void handleInput(struct FastSocket* socket, int event, int parameter)
{
    struct Chat* chat = GetFastSocketClosure(socket);

    if (event == POLLERR)
        fail(chat, "input", strerror(parameter));
    if (event == POLLHUP)
        chat->inputEnded = true;
    if ((event == POLLHUP) && isHungUp(STDIN_FILENO))
        hangUp(chat);
    else
        advance(chat);
}

static void handleOutput(struct FastSocket* socket, int event, int parameter)
{
    struct Chat* chat = GetFastSocketClosure(socket);

    if ((event == POLLERR) && isHungUp(STDOUT_FILENO)) {
        hangUp(chat);
    } else if (event == POLLERR) {
        fail(chat, "output", strerror(parameter));
        leave(chat);
    } else if (event == POLLOUT) {
        advance(chat);
    }
}

static void handleServer(struct FastSocket* socket, int event, int parameter)
{
    struct Chat* chat = GetFastSocketClosure(socket);

    if (event == POLLERR) {
        /* Also when connecting has failed. POLLHUP follows only if it didn't come before. */
        fail(chat, "connection", strerror(parameter));
        chat->serverEnded = true;
    }
    if (event == POLLHUP)
        chat->serverEnded = true;
    advance(chat);
}

/* Hands a descriptor over to a socket; one that isn't taken is closed. Returns NULL with errno. */
static struct FastSocket* openHandle(struct Chat* chat, int handle, int mode,
                                     HandleFastSocketEvent function)
{
    struct FastSocket* socket;
    int reason;

    if (handle < 0)
        return NULL;
    socket = CreateFastSocket(chat->ring, chat->provider, chat->pool, chat->pool, handle, NULL, 0,
                              mode, 0, function, chat);
    if (socket == NULL) {
        reason = errno;
        close(handle);
        errno = reason;
    }
    return socket;
}

/* The standard descriptors are others' too: what the library takes over, and closes, is a duplicate. */
static struct FastSocket* openFile(struct Chat* chat, int standard, HandleFastSocketEvent function)
{
    return openHandle(chat, fcntl(standard, F_DUPFD_CLOEXEC, 0), FASTSOCKET_MODE_FILE_IO, function);
}

/* Begins to connect. Returns the descriptor, or -1 with errno. */
static int connectSocket(const struct sockaddr_storage* address, socklen_t length)
{
    int handle = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int reason;

    if (handle < 0)
        return -1;
    if ((connect(handle, (const struct sockaddr*)address, length) == 0) || (errno == EINPROGRESS)) {
        setNoDelay(handle);
        return handle;
    }
    reason = errno;
    close(handle);
    errno = reason;
    return -1;
}

/* Makes all that lives on a ring. Returns false with errno; main() releases what was made. */
static bool openChat(struct Chat* chat, const struct sockaddr_storage* address, socklen_t length)
{
    chat->ring = CreateFastRing(0);
    if (chat->ring == NULL)
        return false;

    chat->pool = CreateFastBufferPool(chat->ring);
    if (chat->pool == NULL)
        return false;

    chat->provider = CreateFastRingBufferProvider(chat->ring, 0, BUFFER_COUNT, BUFFER_LENGTH,
                                                  AllocateRingFastBuffer, chat->pool);
    if (chat->provider == NULL)
        return false;

    chat->server = openHandle(chat, connectSocket(address, length), FASTSOCKET_MODE_REGULAR,
                              handleServer);
    if (chat->server == NULL)
        return false;

    chat->output = openFile(chat, STDOUT_FILENO, handleOutput);
    if (chat->output == NULL)
        return false;

    /* On a terminal it could be read too, and would take part of what is typed from the input. */
    PauseFastSocket(chat->output);

    chat->input = openFile(chat, STDIN_FILENO, handleInput);
    return chat->input != NULL;
}

/* Returns false with errno. */
static bool watchTerminal(struct Chat* chat)
{
    int handle = isatty(STDIN_FILENO) ? STDIN_FILENO : STDOUT_FILENO;

    if (!isatty(handle))
        return true;

    /* Comes with the hang-up. It must not end us before the rest is sent. */
    signal(SIGHUP, SIG_IGN);
    chat->watch = AddFastRingWatch(chat->ring, handle, POLLPRI, FASTRING_WATCH_ONCE, handleTerminal,
                                   chat);
    return chat->watch != NULL;
}

int main(int count, char** arguments)
{
    struct Chat chat = {0};
    struct sockaddr_storage address;
    socklen_t length;
    int result = -1;

    if ((count < 2) || ((count < 3) && (getUnixPath(arguments[1]) == NULL))) {
        fprintf(stderr, "usage: %s ADDRESS PORT\n       %s unix:PATH\n", arguments[0], arguments[0]);
        return 2;
    }
    if (findAddress(arguments[1], (count > 2) ? arguments[2] : NULL, SOCK_STREAM, &address, &length) < 0)
        return 1;

    if (!isOpen(STDIN_FILENO) || !isOpen(STDOUT_FILENO) ||
        !openChat(&chat, &address, length) || !watchTerminal(&chat)) {
        perror("chat-tty");
    } else {
        do
            result = WaitForFastRing(chat.ring, UINT32_MAX, NULL);
        while ((result == 0) && !chat.done);
    }

    /* What is queued for the server still leaves: that is what we go on for. */
    RemoveFastRingWatch(chat.watch);
    ReleaseFastSocket(chat.input);
    ReleaseFastSocket(chat.output);
    ReleaseFastSocket(chat.server);
    while ((result == 0) && (GetFastRingPending(chat.ring) > 0))
        result = WaitForFastRing(chat.ring, UINT32_MAX, NULL);
    if (result < -1)
        fprintf(stderr, "ring: %s\n", strerror(-result));

    ReleaseFastRingBufferProvider(chat.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(chat.pool);
    ReleaseFastRing(chat.ring);
    return ((result == 0) && !chat.failed) ? 0 : 1;
}
