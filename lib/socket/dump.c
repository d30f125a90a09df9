/*
 * A socket as a line, for whoever looks for the one that stalls: where it stands, what is queued,
 * why it does not receive or send, and since when nothing has come or gone.
 *
 * Nothing is kept for this: states are those that the socket works by, and of its last bytes the
 * kernel knows the time (TCP), or the socket the turn. What is not known is a dash.
 */
#include "socket/dump.h"

#include "base/address.h"
#include "base/dump.h"
#include "socket/kind.h"
#include "socket/system.h"
#include "socket/timing.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void addUnknown(struct FastDump* dump, const char* key)
{
    FastDumpText(dump, key, NULL);
}

/* ---- what it is ---- */

/* The protocol of what is of the internet; negative: it is not, or nobody knows. */
static int protocolOf(const struct FastSocket* socket)
{
    int domain = 0;
    int protocol = 0;
    if (socket->handle < 0 ||
        FastSystemGetNumber(socket->handle, SOL_SOCKET, SO_DOMAIN, &domain) < 0 ||
        (domain != AF_INET && domain != AF_INET6) ||
        FastSystemGetNumber(socket->handle, SOL_SOCKET, SO_PROTOCOL, &protocol) < 0)
        return -1;
    return protocol;
}

static void addAddress(struct FastSocket* socket, struct FastDump* dump, bool peer)
{
    char text[FASTSOCKET_ADDRESS_SIZE];
    bool known = GetFastSocketAddress(socket, peer, text, sizeof(text)) == 0;
    FastDumpText(dump, peer ? "peer" : "local", known ? text : NULL);
}

/* ---- how it stands ---- */

static bool hasEnded(const struct FastSocket* socket)
{
    return socket->inbound.end == FAST_INPUT_ENDED;
}

static const char* openState(const struct FastSocket* socket)
{
    bool shut = socket->shutdown == FAST_SHUTDOWN_DONE;
    if (hasEnded(socket) && shut)
        return "ended";
    return hasEnded(socket) || shut ? "half-closed" : "open";
}

static const char* liveState(const struct FastSocket* socket)
{
    switch (socket->connection) {
    case FAST_CONNECTION_BEGUN:
        return "connecting";
    case FAST_CONNECTION_SOUGHT:
        return "seeking";
    case FAST_CONNECTION_MADE:
        return openState(socket);
    default:
        return "failed";
    }
}

static const char* stateOf(const struct FastSocket* socket)
{
    switch (socket->stage) {
    case FAST_STAGE_LIVE:
        return liveState(socket);
    case FAST_STAGE_FLUSHING:
        return "flushing";
    case FAST_STAGE_DRAINING:
        return "draining";
    default:
        return "closing";
    }
}

/* ---- why it does not receive or send ---- */

static void addReceive(const struct FastSocket* socket, struct FastDump* dump)
{
    static const struct FastDumpWord stops[] = {
        {FAST_STOP_PAUSED, "paused"},
        {FAST_STOP_HIGH_MARK, "high-mark"},
        {FAST_STOP_RING_LIMIT, "ring-limit"},
        {FAST_STOP_NO_BUFFERS, "starved"},
        {FAST_STOP_BACKOFF, "backing-off"},
        {FAST_STOP_RECORD, "record"},
        {FAST_STOP_ENDED, "ended"},
        {FAST_STOP_CLOSED, "closed"},
        {FAST_STOP_CONNECTING, "connecting"},
        {FAST_STOP_UNREADABLE, "unreadable"},
    };
    bool waits = FastArmedIsInFlight(&socket->inbound.receive);
    FastDumpWords(dump, "receive", socket->inbound.stops, stops, LENGTH(stops),
                  waits ? "waiting" : "due");
}

static bool isBarrier(const struct FastItem* item)
{
    return item != NULL && item->kind == FAST_ITEM_BARRIER;
}

static const char* sendState(const struct FastSocket* socket)
{
    const struct FastOutbound* outbound = socket->outbound;
    if (FastSocketHasFailed(socket))
        return "failed";
    if (!FastSocketHasOutput(socket))
        return FastSocketHas(socket, FAST_TRAIT_WRITABLE) ? "idle" : "unwritable";
    if (outbound->stops & FAST_SEND_STOP_BACKOFF)
        return "backing-off";
    if (outbound->stops & FAST_SEND_STOP_ROOM)
        return "room";
    if (isBarrier(outbound->queue.first))
        return "operation";
    if (outbound->inFlight > 0)
        return "in-flight";
    return socket->connection != FAST_CONNECTION_MADE ? "connecting" : "due";
}

/* ---- what is queued ---- */

static void addKernel(const struct FastSocket* socket, struct FastDump* dump, bool output)
{
    const char* key = output ? "kernel-output" : "kernel-input";
    int bytes = socket->handle >= 0 ? FastSystemGetQueued(socket->handle, output) : -1;
    if (bytes >= 0)
        FastDumpSigned(dump, key, bytes);
    else
        addUnknown(dump, key);
}

static void addQueues(const struct FastSocket* socket, struct FastDump* dump)
{
    const struct FastOutbound* outbound = socket->outbound;
    FastDumpNumber(dump, "input", socket->inbound.queue.length);
    FastDumpNumber(dump, "input-memory", socket->inbound.queue.footprint);
    addKernel(socket, dump, false);
    FastDumpNumber(dump, "output", outbound != NULL ? outbound->queue.length : 0);
    FastDumpNumber(dump, "sends-in-flight", FastSocketInFlight(socket));
    addKernel(socket, dump, true);
}

/* ---- since when ---- */

/* Counted from the connection's begin where nothing has come, or gone, since. */
static void addSilence(const struct FastSocket* socket, struct FastDump* dump)
{
    struct tcp_info information;
    memset(&information, 0, sizeof(information));
    if (socket->connection == FAST_CONNECTION_MADE && protocolOf(socket) == IPPROTO_TCP &&
        FastSystemGetTcp(socket->handle, &information)) {
        FastDumpNumber(dump, "input-ago-ms", information.tcpi_last_data_recv);
        FastDumpNumber(dump, "output-ago-ms", information.tcpi_last_data_sent);
    } else {
        addUnknown(dump, "input-ago-ms");
        addUnknown(dump, "output-ago-ms");
    }
    if (socket->statistics.bytes + socket->statistics.messages > 0)
        FastDumpNumber(dump, "input-ago-turns",
                       (uint32_t)FastRingTurn(socket->ring) - socket->inbound.turn);
    else
        addUnknown(dump, "input-ago-turns");
}

static void addClock(const struct FastSocket* socket, struct FastDump* dump, const char* key,
                     uint8_t clock)
{
    const struct FastTiming* timing = FastTimingOf(socket);
    int64_t since = timing != NULL ? timing->since[__builtin_ctz(clock)] : 0;
    if (since != 0 && !(timing->stopped & clock))
        FastDumpSigned(dump, key, (FastRingNow(socket->ring) - since) / FAST_MILLISECOND);
    else
        addUnknown(dump, key);
}

static void addTimeouts(const struct FastSocket* socket, struct FastDump* dump)
{
    const struct FastCommon* common = FastSocketCommon(socket);
    FastDumpNumber(dump, "connect-timeout", common->connectMs);
    addClock(socket, dump, "connecting-ms", FAST_TIMING_CONNECT);
    FastDumpNumber(dump, "idle-timeout", common->idleMs);
    addClock(socket, dump, "idle-ms", FAST_TIMING_IDLE);
    FastDumpNumber(dump, "transmit-timeout", common->transmitMs);
    addClock(socket, dump, "stuck-ms", FAST_TIMING_TRANSMIT);
    FastDumpNumber(dump, "release-timeout", common->releaseMs);
    FastDumpNumber(dump, "linger-timeout", common->lingerMs);
}

/* ---- the line ---- */

static void addParts(const struct FastSocket* socket, struct FastDump* dump)
{
    FastDumpNumber(dump, "received", socket->statistics.bytes);
    FastDumpNumber(dump, "sent", socket->statistics.sentBytes);
    FastDumpSigned(dump, "error", FastSocketHasFailed(socket) ? socket->error : 0);
    FastDumpObject(dump, "provider", FastSocketProvider(socket));
    FastDumpObject(dump, "inbound", FastSocketInboundPool(socket));
    FastDumpObject(dump, "outbound", FastSocketOutboundPool(socket));
    FastDumpObject(dump, "connector", socket->extra != NULL ? socket->extra->connector : NULL);
    FastDumpObject(dump, "closure", socket->closure);
}

void FastSocketDump(const struct FastSocket* socket, struct FastDump* dump)
{
    FastDumpBegin(dump, "socket", socket);
    FastDumpSigned(dump, "handle", socket->handle);
    FastDumpText(dump, "kind", FastSocketKind(socket)->name);
    addAddress((struct FastSocket*)socket, dump, false);
    addAddress((struct FastSocket*)socket, dump, true);
    FastDumpText(dump, "state", stateOf(socket));
    addReceive(socket, dump);
    FastDumpText(dump, "send", sendState(socket));
    addQueues(socket, dump);
    addSilence(socket, dump);
    addTimeouts(socket, dump);
    addParts(socket, dump);
    FastDumpYes(dump, "released", socket->released);
    FastDumpEnd(dump);
}
