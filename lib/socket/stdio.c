/*
 * A stream socket as a FILE*.
 *
 * Good path: the C library's stream has no buffer of its own, for with one it would drop unread
 * input at the next write; so each read takes from the socket's queue and each write adds to it,
 * and the gathering happens there, once a turn. Appending mode spares the seek between reading and
 * writing that the standard asks for.
 *
 * Failures: no data yet is EAGAIN, an error of the stream but not its end: the next read tries
 * again. The socket may be released before the stream is closed: the stream holds what is left of
 * it, and every call on it fails with EPIPE.
 */
#include "socket/direct.h"
#include "socket/kind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum
{
    STDIO_PIECE = 1 << 30, /* the most that one transmit takes */
};

struct stream
{
    struct FastSocket* socket; /* held */
    bool owns;
};

/* Nothing is unread, and nothing will come: in good order. */
static bool hasEnded(const struct FastSocket* socket)
{
    return socket->inbound.end == FAST_INPUT_ENDED && !FastSocketHasFailed(socket) &&
           !FastDirectAwaitsError(socket) && socket->inbound.queue.first == NULL;
}

static ssize_t readStream(void* cookie, char* data, size_t size)
{
    struct stream* stream = cookie;
    if (stream->socket->released) {
        errno = EPIPE;
        return -1;
    }
    if (size == 0)
        return 0;
    ssize_t result = ReceiveFastSocketData(stream->socket, data, size, 0);
    if (result > 0 || (result == 0 && hasEnded(stream->socket)))
        return result;
    errno = result < 0 ? (int)-result : EAGAIN;
    return -1;
}

/* The C library takes 0 for a failure, and the count of all bytes for success. */
static ssize_t writeStream(void* cookie, const char* data, size_t size)
{
    struct stream* stream = cookie;
    if (stream->socket->released) {
        errno = EPIPE;
        return 0;
    }
    for (size_t sent = 0; sent < size;) {
        size_t piece = size - sent < STDIO_PIECE ? size - sent : STDIO_PIECE;
        int result = TransmitFastSocketData(stream->socket, NULL, 0, data + sent, piece, 0);
        if (result < 0) {
            errno = -result;
            return (ssize_t)sent;
        }
        sent += piece;
    }
    return (ssize_t)size;
}

static int closeStream(void* cookie)
{
    struct stream* stream = cookie;
    if (stream->owns && !stream->socket->released)
        ReleaseFastSocket(stream->socket);
    stream->socket->streams--;
    FastSocketDrop(stream->socket);
    free(stream);
    return 0;
}

static FILE* openStream(struct stream* stream)
{
    static const cookie_io_functions_t functions = {
        .read = readStream,
        .write = writeStream,
        .close = closeStream,
    };
    FILE* file = fopencookie(stream, "a+", functions);
    if (file != NULL)
        (void)setvbuf(file, NULL, _IONBF, 0);
    return file;
}

static bool hasMessages(const struct FastSocket* socket)
{
    return FastSocketKind(socket)->layout == FAST_INBOUND_MESSAGES;
}

/* One stream may own the socket: false when another does already. */
static bool claim(struct FastSocket* socket)
{
    bool first = !socket->claimed;
    socket->claimed = true;
    return first;
}

FILE* GetFastSocketStream(struct FastSocket* socket, int own)
{
    struct stream* stream = NULL;
    int result = FastSocketCheck(socket);
    if (result == 0 && (hasMessages(socket) || socket->released))
        result = -EINVAL;
    if (result == 0) {
        stream = malloc(sizeof(*stream));
        result = stream != NULL ? 0 : -ENOMEM;
    }
    if (result != 0)
        goto failed;

    *stream = (struct stream){.socket = socket, .owns = false};
    FILE* file = openStream(stream);
    if (file == NULL) {
        result = -errno;
        goto failed;
    }
    socket->streams++;
    FastSocketHold(socket);
    if (own && !claim(socket)) {
        fclose(file); /* which frees the stream, and drops the socket */
        errno = EBUSY;
        return NULL;
    }
    stream->owns = own != 0;
    return file;

failed:
    free(stream);
    errno = -result;
    return NULL;
}
