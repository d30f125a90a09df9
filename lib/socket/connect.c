/*
 * Sockets that find their connection themselves.
 *
 * Good path: the text is taken apart; the socket begins without a descriptor, with the ring's own
 * provider and pools, and what is sent is queued. The connector of the room below looks the name up
 * and connects. What it hands over is looked at as any descriptor (kind-find.c), and taken: from
 * here on the socket is as if it had been created with it. POLLOUT tells the user in the same turn,
 * before anything can be received.
 *
 * Failures: a text that says nothing, or no memory: NULL and errno. All else is the socket's error.
 * It is released meanwhile: release.c stops the connector, or lets it go on for what is queued.
 */
#include "memory/ring-stock.h"
#include "service/connector.h"
#include "socket/failure.h"
#include "socket/kind-datagram.h"
#include "socket/kind-find.h"
#include "socket/kind-stream.h"
#include "socket/make.h"
#include "socket/system.h"

#include <assert.h>
#include <errno.h>

enum
{
    CONNECT_KNOWN_MODES = FASTSOCKET_MODE_ZERO_COPY | FASTSOCKET_MODE_AUTO_CORK |
                          FASTSOCKET_MODE_FILE_IO,
};

/* ---- what is found ---- */

/* What was opened here is of the kind that was said. It may be over already: then its error is. */
static int look(int handle, struct FastFinding* finding)
{
    int result = FastKindFind(handle, 0, finding);
    if (result == 0)
        result = FastKindFindConnection(handle, finding);
    return result == 0 ? -finding->error : result;
}

/* 0, or a negative errno: then the descriptor is still the caller's. */
static int take(struct FastSocket* socket, int handle)
{
    struct FastFinding finding;
    int result = socket->stage < FAST_STAGE_CANCELING ? look(handle, &finding) : -ECANCELED;
    if (result == 0) {
        socket->inbound.stops &= (uint16_t)~FAST_STOP_CONNECTING;
        result = FastMakeTake(socket, handle, &finding);
    }
    if (result < 0)
        socket->handle = -1;
    else if (FastCheckRuns())
        FastCheckTakeHandle(socket, handle);
    return result;
}

static void fail(struct FastSocket* socket, int error, const char* text)
{
    socket->extra->errorText = text;
    FastSocketFail(socket, error);
}

static void onConnector(void* closure, int result, const char* text)
{
    struct FastSocket* socket = closure;
    int handle = result;
    socket->extra->connector = NULL;
    if (handle >= 0)
        result = take(socket, handle);
    if (result < 0) {
        if (handle >= 0)
            FastSystemClose(handle);
        if (socket->stage < FAST_STAGE_CANCELING)
            fail(socket, -result, text);
        return;
    }
    FastSocketNotify(socket, FAST_NOTIFY_CONNECTED);
    FastSocketDefer(socket, FAST_DUE_ALL);
}

/* ---- the beginning ---- */

/* As far as it is known without a descriptor; what is added with that changes nothing queued. */
static void expect(enum FastAddressScheme scheme, struct FastFinding* finding)
{
    const struct FastKind* kind = scheme == FAST_ADDRESS_UDP ? &FastKindDatagram : &FastKindStream;
    *finding = (struct FastFinding){
        .kind = kind,
        .traits = FAST_TRAIT_READABLE | FAST_TRAIT_WRITABLE |
                  (kind->traits & ~(uint32_t)FAST_TRAIT_WATCHED),
        .connection = FAST_CONNECTION_SOUGHT,
    };
}

static struct FastSocket* make(struct FastRing* ring, const struct FastFinding* finding, int mode)
{
    const struct FastRingStock* stock = FastRingStockGet(ring);
    if (stock == NULL)
        return NULL;
    struct FastCommon common = {
        .provider = stock->provider,
        .inboundPool = stock->inbound,
        .outboundPool = stock->outbound,
        .mode = (uint32_t)mode,
        .releaseMs = FAST_MAKE_RELEASE_MS,
        .lingerMs = FAST_MAKE_LINGER_MS,
    };
    struct FastSocket* socket = FastMakeSocket(ring, &common, finding, NULL);
    if (socket != NULL && FastSocketMakeExtra(socket) != NULL)
        return socket;
    if (socket != NULL)
        FastSocketFree(socket);
    errno = ENOMEM;
    return NULL;
}

static int check(struct FastRing* ring, const char* text, int mode, struct FastAddress* address)
{
    int result = FastRingCheckCreate(ring);
    if (result < 0)
        return result;
    if (text == NULL || mode & ~CONNECT_KNOWN_MODES ||
        (mode & FASTSOCKET_MODE_FILE_IO && mode & FASTSOCKET_MODE_ZERO_COPY))
        return -EINVAL;
    result = FastAddressParse(text, address);
    return result == 0 && address->any ? -EINVAL : result;
}

struct FastSocket* ConnectFastSocket(struct FastRing* ring, const char* address, int mode,
                                     HandleFastSocketEvent function, void* closure)
{
    struct FastAddress parsed;
    int result = check(ring, address, mode, &parsed);
    if (result < 0) {
        errno = -result;
        return NULL;
    }
    struct FastFinding finding;
    expect(parsed.scheme, &finding);
    struct FastSocket* socket = make(ring, &finding, mode);
    if (socket == NULL)
        return NULL;
    socket->function = function;
    socket->closure = closure;
    socket->extra->connector = FastConnectorStart(ring, &parsed, onConnector, socket);
    if (socket->extra->connector == NULL) {
        int error = errno;
        FastSocketFree(socket);
        errno = error;
        return NULL;
    }
    result = FastMakeBegin(socket, -1, &finding);
    assert(result == 0); /* neither kind has anything that could fail */
    (void)result;
    return socket;
}
