/*
 * Datagrams: messages that are each on their own.
 *
 * Good path: a datagram is received, queued and sent like any message (kind-message.c).
 *
 * Failures: an error of a datagram socket is one datagram's, and whose is not always clear. The
 * pending error of an earlier datagram, whatever its errno, is reported to the next send, which is
 * then not made. So each is made again: what is its own comes again, and what doesn't was
 * another's. Once is not enough, as another may come between the look for it and the enter. Only
 * AF_UNIX has an errno that is its own for certain, and would not come twice.
 */
#include "socket/kind-datagram.h"

#include "socket/flight.h"
#include "socket/joined.h"
#include "socket/kind-message.h"
#include "socket/kind-socket.h"
#include "socket/run.h"
#include "socket/system.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>

enum
{
    DATAGRAM_MAX_DOUBTS = 8,      /* errnos of earlier datagrams that one may meet */
    DATAGRAM_MAX_SAME_DOUBTS = 3, /* after so many the same one again is its own */
    DATAGRAM_FAILURES = 3,        /* words of 64 errnos each */
};

struct FastDatagramSocket
{
    struct FastSocket socket;
    uint64_t failures[DATAGRAM_FAILURES]; /* a bit for each errno, until it is taken */
    uint32_t largest;                     /* payload of a datagram; 0 = not known */
    uint32_t drops;                       /* that the kernel had no room for, as far as known */
};

static struct FastDatagramSocket* datagramSocket(const struct FastSocket* socket)
{
    return FAST_CONTAINER(socket, struct FastDatagramSocket, socket);
}

/* ---- errors, each of one datagram ---- */

static void keepError(struct FastSocket* socket, int error)
{
    if (error <= 0 || error >= 64 * DATAGRAM_FAILURES)
        error = EPROTO;
    datagramSocket(socket)->failures[error / 64] |= UINT64_C(1) << (error % 64);
}

/* By number, not by time: several of one turn have no order that could be told. */
static int nextError(struct FastSocket* socket)
{
    uint64_t* failures = datagramSocket(socket)->failures;
    for (int word = 0; word < DATAGRAM_FAILURES; word++) {
        if (failures[word] == 0)
            continue;
        int bit = __builtin_ctzll(failures[word]);
        failures[word] &= failures[word] - 1;
        return word * 64 + bit;
    }
    return 0;
}

/* ---- receiving ---- */

/* Whether netlink has dropped messages since the last look. Its ENOBUFS says so, but so does a lack
 * of provided buffers: the kernel's count tells which it was. */
static bool hasDropped(struct FastSocket* socket)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof(memory);
    int silent = 0;
    if (!FastSocketHas(socket, FAST_TRAIT_NETLINK))
        return false;
    if (FastSystemGetNumber(socket->handle, SOL_NETLINK, NETLINK_NO_ENOBUFS, &silent) == 0 &&
        silent)
        return false; /* the user does not want to know, and ENOBUFS never says it */
    if (FastSystemGetOption(socket->handle, SOL_SOCKET, SO_MEMINFO, memory, &length) < 0)
        return false;
    uint32_t before = datagramSocket(socket)->drops;
    datagramSocket(socket)->drops = memory[SK_MEMINFO_DROPS];
    return memory[SK_MEMINFO_DROPS] != before;
}

/* Whether an errno of a receive would come again at once, so that the socket has failed. EOPNOTSUPP
 * is one, but not where receiving works for certain: there an earlier datagram has left it. */
static bool isLasting(const struct FastSocket* socket, int error)
{
    bool receives = datagramSocket(socket)->largest > 0 || FastSocketHas(socket, FAST_TRAIT_LOCAL);
    return error == EBADF || error == EFAULT || error == ENOTSOCK ||
           (error == EOPNOTSUPP && !receives);
}

static struct FastAnswer classifyReceive(struct FastSocket* socket,
                                         const struct io_uring_cqe* completion)
{
    if (completion->res >= 0 && completion->flags & IORING_CQE_F_BUFFER)
        return FastMessageTake(socket, FastMessageHeader(socket, completion),
                               (size_t)completion->res);
    if (completion->res >= 0)
        /* Nothing was delivered, and a datagram socket has no end. */
        return FastAnswer(FAST_VERDICT_NOTHING, 0);
    struct FastAnswer answer = FastKindReceiveError(socket, -completion->res, hasDropped);
    if (answer.verdict == FAST_VERDICT_FAIL && !isLasting(socket, answer.value))
        answer.verdict = FAST_VERDICT_FAIL_ONE;
    return answer;
}

static struct FastAnswer classifyJoined(struct FastSocket* socket,
                                        const struct io_uring_cqe* completion)
{
    if (completion->res >= 0 && completion->flags & IORING_CQE_F_BUFFER)
        return FastJoinedTake(socket, FastMessageHeader(socket, completion),
                              (size_t)completion->res);
    return classifyReceive(socket, completion);
}

/* ---- queueing ---- */

/* The largest payload is known of UDP alone. */
static int checkSize(const struct FastSocket* socket, size_t size)
{
    uint32_t largest = datagramSocket(socket)->largest;
    if (largest > 0)
        return size > largest ? -EMSGSIZE : 0;
    return FastMessageCheckSpace(socket, size);
}

static int checkSend(const struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    int result = FastKindCheckSend(socket, parts, flags, FAST_MESSAGE_SEND_FLAGS, 0);
    return result == 0 ? checkSize(socket, parts->size) : result;
}

static int append(struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    return FastSocketHas(socket, FAST_TRAIT_JOINS) ? FastRunAppend(socket, parts, flags)
                                                   : FastKindAppendMessage(socket, parts, flags);
}

/* ---- sending ---- */

/* What another datagram left behind in the meantime would be taken for this one's. */
static void clearErrors(struct FastSocket* socket)
{
    int error = FastSystemTakeError(socket->handle);
    if (error == 0)
        return;
    keepError(socket, error);
    FastSocketNotify(socket, FAST_NOTIFY_STATE);
}

static void clearDoubt(struct FastSocket* socket, const struct FastMessage* message)
{
    if (message->doubt != 0)
        clearErrors(socket);
}

static bool startSend(struct FastSocket* socket)
{
    return FastRunStart(socket, clearDoubt);
}

/*
 * A datagram to an AF_UNIX socket whose queue is full: the kernel builds the message before it
 * finds out, and a request that is tried again inside (6.18 at least) then sends an empty one. So
 * these are never made to wait there: they come back, and so does what is linked behind them.
 */
static void prepareSend(struct FastSocket* socket, struct io_uring_sqe* entry,
                        const struct FastSend* send)
{
    FastKindPrepareSend(socket, entry, send);
    if (!FastSocketHas(socket, FAST_TRAIT_LOCAL))
        return;
    entry->msg_flags |= MSG_DONTWAIT;
    entry->ioprio &= (uint16_t)~IORING_RECVSEND_POLL_FIRST;
}

/* ---- whose errno it is ---- */

/* A piece of a datagram (MSG_MORE, UDP_CORK) that fails takes the pieces before it along: made
 * again, it would be a datagram of its own, and wrong. */
static bool continuesDatagram(const struct FastSocket* socket)
{
    int cork = 0;
    return socket->outbound->corked ||
           (FastSystemGetNumber(socket->handle, IPPROTO_UDP, UDP_CORK, &cork) == 0 && cork != 0);
}

static bool isDoubtful(const struct FastSocket* socket, const struct FastMessage* message,
                       int error)
{
    if (FastSocketHas(socket, FAST_TRAIT_LOCAL) && error == ECONNREFUSED)
        return false;
    int most = error == message->doubt ? DATAGRAM_MAX_SAME_DOUBTS : DATAGRAM_MAX_DOUBTS;
    return message->doubts < most && !continuesDatagram(socket);
}

/* The errno that a message has met before was another's. */
static void passDoubt(struct FastSocket* socket, struct FastMessage* message)
{
    if (message->doubt != 0) {
        keepError(socket, message->doubt);
        FastSocketNotify(socket, FAST_NOTIFY_STATE);
    }
    message->doubt = 0;
}

/* The same after another errno: of several that went together it may have been the joining's, which
 * the user hears nothing of. Others than these an earlier datagram has met for certain. */
static void passDoubtOf(struct FastSocket* socket, const struct FastFlight* flight)
{
    struct FastMessage* message = flight->message;
    if (FastRunIsJoined(flight) && FastRunIsRefusal(message->doubt))
        message->doubt = 0;
    passDoubt(socket, message);
}

/* Whether a message is made again to see whose errno it has met. */
static bool doubts(struct FastSocket* socket, const struct FastFlight* flight, int error)
{
    struct FastMessage* message = flight->message;
    if (!isDoubtful(socket, message, error))
        return false;
    if (message->doubt != error)
        passDoubtOf(socket, flight);
    message->doubt = error;
    message->doubts++;
    socket->outbound->burst = 1; /* those behind would be canceled again */
    return true;
}

/* ---- what a send gave ---- */

/* The errno is its own: those that it has met before were not. Of several that went together it may
 * be any one's, or the joining's. */
static struct FastAnswer failMessage(struct FastSocket* socket, const struct FastFlight* flight,
                                     int error)
{
    struct FastMessage* message = flight->message;
    if (message->doubt != error)
        passDoubtOf(socket, flight);
    socket->outbound->corked = false;
    socket->outbound->burst = 1; /* it has canceled those behind, and they may fail like it */
    if (FastRunIsJoined(flight)) {
        FastRunSplit(socket, message, error);
        return FastAnswer(FAST_VERDICT_NOTHING, 0);
    }
    return FastAnswer(FAST_VERDICT_FAIL_ONE, error);
}

/* A connected socket of AF_UNIX polls writable when its peer has room. Without a connection the
 * poll looks at no peer: only time tells. */
static struct FastAnswer waitForPeer(struct FastSocket* socket, const struct FastMessage* message)
{
    socket->outbound->burst = 1; /* those behind would only come back too */
    bool backsOff = message->nameLength > 0 || socket->outbound->room & FAST_ROOM_POLLED;
    return FastAnswer(backsOff ? FAST_VERDICT_BACKOFF : FAST_VERDICT_POLL, EAGAIN);
}

static struct FastAnswer classifySend(struct FastSocket* socket, struct FastFlight* flight,
                                      int result)
{
    struct FastMessage* message = flight->message;
    if (result >= 0) {
        passDoubt(socket, message);
        FastRunAccept(socket, message);
        socket->outbound->corked = message->item.flags & MSG_MORE;
        return FastAnswer(FAST_VERDICT_DATA, result);
    }
    if (result == -EAGAIN && FastSocketHas(socket, FAST_TRAIT_LOCAL))
        return waitForPeer(socket, message);
    struct FastAnswer answer = result == -ENOMEM || result == -ENOBUFS
                                   ? FastMessageRetryMemory(socket, flight, -result)
                                   : FastKindSendError(-result);
    if (answer.verdict != FAST_VERDICT_FAIL)
        return answer;
    if (answer.value != ENOMEM && answer.value != ENOBUFS) {
        if (doubts(socket, flight, answer.value))
            return FastAnswer(FAST_VERDICT_NOTHING, 0);
        if (FastFlightFallsBack(socket, flight, answer.value)) {
            message->doubt = 0; /* it was zero copy's */
            return FastAnswer(FAST_VERDICT_NOTHING, 0);
        }
    }
    return failMessage(socket, flight, answer.value);
}

/* ---- the table ---- */

static int initialize(struct FastSocket* socket, const struct FastFinding* finding)
{
    uint32_t largest = finding->largest;
    datagramSocket(socket)->largest = largest;
    (void)hasDropped(socket);
    return 0;
}

#define DATAGRAM                                                          \
    .layout = FAST_INBOUND_MESSAGES, .initialize = initialize,            \
    .size = sizeof(struct FastDatagramSocket),                            \
    .readFlags = FAST_MESSAGE_READ_FLAGS, .ownSends = FAST_OPCODES_SEND,  \
    .prepareReceive = FastKindPrepareReceive, .checkSend = checkSend,     \
    .append = append, .startSend = startSend, .prepareSend = prepareSend, \
    .classifySend = classifySend, .keepError = keepError,                 \
    .nextError = nextError, .end = FastKindEnd

const struct FastKind FastKindDatagram = {
    DATAGRAM,
    .name = "datagrams",
    .traits = FAST_TRAIT_DATAGRAMS,
    .classifyReceive = classifyReceive,
    .read = FastMessageRead,
};

const struct FastKind FastKindJoined = {
    DATAGRAM,
    .name = "joined-datagrams",
    .traits = FAST_TRAIT_JOINED,
    .classifyReceive = classifyJoined,
    .read = FastJoinedRead,
};
