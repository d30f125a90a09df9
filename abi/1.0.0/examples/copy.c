/*
 * copy: writes to its standard output what it reads from its standard input, as cat does.
 *
 *     cc copy.c -o copy $(pkg-config --cflags --libs fastsocket)
 *     ./copy <SOURCE >TARGET                    or in a pipeline, or on a terminal
 *
 * The exit status is 0 when everything was copied; 1, with a message, when reading or writing has failed
 * (nobody reads our output any more, say) or when the terminal was hung up.
 *
 * See echo-server.c first. New here:
 *
 * - FASTSOCKET_MODE_FILE_IO: a pipe, a terminal or a file works like a connection, with the same events.
 * - The library closes what it takes over. The standard descriptors aren't ours alone, so that it gets
 *   duplicates. It changes no setting of theirs: there is nothing to restore.
 * - Back-pressure without a word about it: we take input only while little output is queued. What is
 *   left stays in the socket's queue, and when that is full the library stops reading.
 * - No SIGPIPE: a pipe without a reader is an error like any other.
 * - The end of the input isn't the end of the work. We wait until the kernel has the last byte, because
 *   after a release nobody would tell us that it couldn't be written.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <Ring/FastSocket.h>

enum
{
    BUFFER_COUNT = 32,
    BUFFER_LENGTH = 128 * 1024,
    OUTBOUND_LIMIT = 1024 * 1024 /* bytes queued at which we take no more input */
};

struct Copy
{
    struct FastRing* ring;
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct FastSocket* input;
    struct FastSocket* output;
    bool ended; /* no more input will come */
    bool done;
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

/* One message is enough: a terminal that is hung up fails twice, as our input and as our output. */
static void fail(struct Copy* copy, const char* what, int handle, int reason)
{
    if (copy->failed)
        return;
    copy->failed = true;
    if (isHungUp(handle))
        fprintf(stderr, "copy: the terminal was hung up\n");
    else
        fprintf(stderr, "copy: %s: %s\n", what, strerror(reason));
}

/* Hands over what has come, as far as the output can take it. The bytes are where the kernel has put
 * them: nothing is copied here. */
static void passOn(struct Copy* copy)
{
    struct FastBuffer* buffer = NULL;
    int result = 0;

    while ((result == 0) && (GetFastSocketOutboundLength(copy->output) < OUTBOUND_LIMIT)) {
        buffer = ReceiveFastSocketBuffer(copy->input);
        if (buffer == NULL)
            break;
        result = TransmitFastSocketBuffer(copy->output, NULL, 0, buffer, 0,
                                          GetFastBufferLength(buffer), 0);
    }

    /* -EPIPE: writing has failed before, and POLLERR tells the reason. */
    if ((result < 0) && (result != -EPIPE)) {
        fail(copy, "output", STDOUT_FILENO, -result);
        copy->done = true;
    }
    if (copy->ended && (GetFastSocketInboundLength(copy->input) == 0) &&
        (GetFastSocketOutboundLength(copy->output) == 0))
        copy->done = true;
}

static void handleInput(struct FastSocket* socket, int event, int parameter)
{
    struct Copy* copy = GetFastSocketClosure(socket);

    switch (event) {
    case POLLERR:
        fail(copy, "input", STDIN_FILENO, parameter);
        break;

    case POLLHUP:
        /* The end of a file, the last writer of a pipe has gone, ^D on a terminal: all the same, but
         * for a terminal that is gone. What has come before is still written. */
        if (isHungUp(STDIN_FILENO))
            fail(copy, "input", STDIN_FILENO, EIO);
        copy->ended = true;
        break;

    default:
        /* POLLIN; and POLLOUT, if it is a terminal or a socket: we write nothing to this one. */
        break;
    }
    passOn(copy);
}

static void handleOutput(struct FastSocket* socket, int event, int parameter)
{
    struct Copy* copy = GetFastSocketClosure(socket);

    if (event == POLLOUT) {
        /* The kernel has accepted all that was queued. */
        passOn(copy);
    } else if (event == POLLERR) {
        fail(copy, "output", STDOUT_FILENO, parameter);
        copy->done = true;
    }
}

/* Opens a socket on a duplicate of a standard descriptor. Returns NULL with errno. */
static struct FastSocket* openFile(struct Copy* copy, int standard, HandleFastSocketEvent function)
{
    int handle = fcntl(standard, F_DUPFD_CLOEXEC, 0);
    struct FastSocket* socket;
    int reason;

    if (handle < 0)
        return NULL;
    socket = CreateFastSocket(copy->ring, copy->provider, copy->pool, copy->pool, handle, NULL, 0,
                              FASTSOCKET_MODE_FILE_IO, 0, function, copy);
    if (socket == NULL) {
        reason = errno;
        close(handle); /* still ours: the socket takes it over only on success */
        errno = reason;
    }
    return socket;
}

/* Makes all that lives on a ring. Returns false with errno; main() releases what was made. */
static bool openCopy(struct Copy* copy)
{
    copy->ring = CreateFastRing(0);
    if (copy->ring == NULL)
        return false;

    copy->pool = CreateFastBufferPool(copy->ring);
    if (copy->pool == NULL)
        return false;

    copy->provider = CreateFastRingBufferProvider(copy->ring, 0, BUFFER_COUNT, BUFFER_LENGTH,
                                                  AllocateRingFastBuffer, copy->pool);
    if (copy->provider == NULL)
        return false;

    copy->output = openFile(copy, STDOUT_FILENO, handleOutput);
    if (copy->output == NULL)
        return false;

    /* A terminal can be read here too, and would give each of the two a part: only the other one is to
     * read. Before the first turn of the loop nothing has been read yet. */
    PauseFastSocket(copy->output);

    copy->input = openFile(copy, STDIN_FILENO, handleInput);
    if (copy->input == NULL)
        return false;
    if ((ReceiveFastSocketBuffer(copy->input) == NULL) && (errno == EBADF))
        return false; /* open for writing only: no event would ever come */
    return true;
}

int main(void)
{
    struct Copy copy = {0};
    int result = -1;

    /* Comes with the end of the input, if that is a terminal. It must not end us before the rest is
     * written, however long that takes. */
    if (isatty(STDIN_FILENO))
        signal(SIGHUP, SIG_IGN);

    if (!isOpen(STDIN_FILENO) || !isOpen(STDOUT_FILENO) || !openCopy(&copy)) {
        perror("copy");
    } else {
        do
            result = WaitForFastRing(copy.ring, UINT32_MAX, NULL);
        while ((result == 0) && !copy.done);
    }

    /* Only now, both: if they are the same socket, the end of one is the end of the other. */
    ReleaseFastSocket(copy.input);
    ReleaseFastSocket(copy.output);
    while ((result == 0) && (GetFastRingPending(copy.ring) > 0))
        result = WaitForFastRing(copy.ring, UINT32_MAX, NULL);
    if (result < -1)
        fprintf(stderr, "copy: ring: %s\n", strerror(-result));

    ReleaseFastRingBufferProvider(copy.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(copy.pool);
    ReleaseFastRing(copy.ring);
    return ((result == 0) && !copy.failed) ? 0 : 1;
}
