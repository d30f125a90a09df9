/*
 * Records: the messages of a connection (seqpacket, one-to-one SCTP, DCCP).
 *
 * Good path: a record is received, queued and sent like any message (kind-message.c).
 *
 * Failures: as of streams, an error ends the connection. Where a send that doesn't wait may cut a
 * record, a thread sends it that does. The end of input is the hard part: an
 * empty record reads like it, so the socket is asked whether a record is left, in the way that its
 * family can answer.
 */
#include "socket/kind-record.h"

#include "socket/flight.h"
#include "socket/kind-message.h"
#include "socket/kind-socket.h"
#include "socket/system.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/time.h>

enum
{
    WHOLE_SECONDS = 1000000, /* of a wait; more is none to a machine of 32 bits */
};

/* ---- the end ---- */

/*
 * Whether a record is queued in the kernel: also an empty one, which reads like the end. With
 * SO_PASSCRED every record comes with its sender's credentials, and the end with nothing. There is
 * no room for descriptors, so none is made by looking.
 */
static bool hasRecord(int handle)
{
    union
    {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    char byte;
    struct iovec vector = {.iov_base = &byte, .iov_len = sizeof(byte)};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    int before = 0;
    int on = 1;
    if (FastSystemGetNumber(handle, SOL_SOCKET, SO_PASSCRED, &before) < 0 ||
        FastSystemSetOption(handle, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
        return false;
    ssize_t result = FastSystemReceive(handle, &message, MSG_PEEK);
    (void)FastSystemSetOption(handle, SOL_SOCKET, SO_PASSCRED, &before, sizeof(before));
    return result > 0 || (result == 0 && message.msg_controllen > 0);
}

static bool isHungUp(int handle)
{
    int events = FastSystemPoll(handle, POLLRDHUP);
    return events > 0 && events & (POLLRDHUP | POLLHUP);
}

/* An empty record and the end of a seqpacket socket look alike. It is the end if the peer has ended
 * and no record is left: only an empty record that is the very last one, and has no control data,
 * can't be told from it. */
static bool localRecordsHaveEnded(int handle)
{
    return isHungUp(handle) && !hasRecord(handle);
}

/* Other families have no such mark. What reads as nothing again and again is the end: of several
 * empty records in a row only the last is delivered, rather than one for ever where an end has no
 * sign. Some say EAGAIN for ever once their end was read (TIPC). */
static bool otherRecordsHaveEnded(int handle)
{
    char byte;
    struct iovec vector = {.iov_base = &byte, .iov_len = sizeof(byte)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t result = FastSystemReceive(handle, &message, MSG_PEEK);
    return result >= 0 ? result == 0 : isHungUp(handle);
}

static bool recordsHaveEnded(const struct FastSocket* socket)
{
    return FastSocketHas(socket, FAST_TRAIT_LOCAL) ? localRecordsHaveEnded(socket->handle)
                                                   : otherRecordsHaveEnded(socket->handle);
}

/* Control data, or word of some that had no room, comes with a record and never with the end. */
static bool bringsControl(const struct io_uring_recvmsg_out* out)
{
    return out->controllen > 0 || out->flags & MSG_CTRUNC;
}

/* ---- receiving ---- */

static struct FastAnswer classifyReceive(struct FastSocket* socket,
                                         const struct io_uring_cqe* completion)
{
    if (completion->res < 0)
        return FastKindReceiveError(socket, -completion->res, NULL);
    if (!(completion->flags & IORING_CQE_F_BUFFER))
        return FastAnswer(recordsHaveEnded(socket) ? FAST_VERDICT_END : FAST_VERDICT_NOTHING, 0);
    struct io_uring_recvmsg_out* out = FastMessageHeader(socket, completion);
    size_t length = (size_t)completion->res;
    if (length == socket->inbound.queue.rules->headroom && !bringsControl(out) &&
        recordsHaveEnded(socket))
        return FastAnswer(FAST_VERDICT_END, 0);
    return FastMessageTake(socket, out, length);
}

/* ---- sending ---- */

static int checkSend(const struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    int result = FastKindCheckSend(socket, parts, flags, FAST_MESSAGE_SEND_FLAGS, -EISCONN);
    return result == 0 ? FastMessageCheckSpace(socket, parts->size) : result;
}

/* Whose errno it is, is never in doubt: the connection's. */
static bool startSend(struct FastSocket* socket)
{
    return FastMessageStartChain(socket, NULL);
}

static struct FastAnswer classifySend(struct FastSocket* socket, struct FastFlight* flight,
                                      int result)
{
    int error = -result;
    if (result >= 0)
        return FastAnswer(FAST_VERDICT_DATA, result);
    if (error == ENOMEM || error == ENOBUFS)
        return FastMessageRetryMemory(socket, flight, error);
    struct FastAnswer answer = FastKindSendError(error);
    if (answer.verdict == FAST_VERDICT_FAIL && FastFlightFallsBack(socket, flight, error))
        return FastAnswer(FAST_VERDICT_NOTHING, 0);
    return answer;
}

/* ---- sending whole ---- */

/*
 * vsock: a send that doesn't wait takes what there is room for of a record, and says EAGAIN; sent
 * again, the part stands before the whole. So each is sent by a thread that waits: the engine's, if
 * asked by IOSQE_ASYNC. That of io_uring would first try without waiting, and poll then (5.16 and
 * later). But it does neither where it is to poll before it tries, and the poll finds room at once:
 * then it waits. Room that is there stays, for nobody sends but this one send; so it starts when
 * there is some.
 */
struct wholeSocket
{
    struct FastSocket socket;
    int flags; /* of the file, to be set again when what is in flight is over; 0: none */
};

static struct wholeSocket* wholeSocket(const struct FastSocket* socket)
{
    return FAST_CONTAINER(socket, struct wholeSocket, socket);
}

/* A wait that a stop of the process interrupts (SIGSTOP, a debugger) is begun again by the kernel,
 * with the whole record, if it has no limit; one that has ends. The user's own limit would end it,
 * too, and is for calls that he makes. */
static int limitWait(struct FastSocket* socket, const struct FastFinding* finding)
{
    const struct timeval limit = {.tv_sec = WHOLE_SECONDS};
    (void)finding;
    (void)FastSystemSetOption(socket->handle, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    return 0;
}

/* Also an error or an end, which the send tells. */
static bool lacksRoom(struct FastSocket* socket)
{
    return FastSystemPoll(socket->handle, POLLOUT) == 0;
}

/* No send of a thread's waits with O_NONBLOCK. Others who share the file do so meanwhile, too. */
static void beginWaiting(struct FastSocket* socket)
{
    int flags = FastSystemGetFlags(socket->handle);
    if (flags < 0 || !(flags & O_NONBLOCK))
        return;
    wholeSocket(socket)->flags = flags;
    FastSystemSetFlags(socket->handle, flags & ~O_NONBLOCK);
}

static void endWaiting(struct FastSocket* socket)
{
    if (wholeSocket(socket)->flags != 0)
        FastSystemSetFlags(socket->handle, wholeSocket(socket)->flags);
    wholeSocket(socket)->flags = 0;
}

static bool startWhole(struct FastSocket* socket)
{
    struct FastMessage* message = FastItemMessage(socket->outbound->queue.first);
    if (FastFlightStartMessage(socket, message, true) == NULL)
        return false;
    beginWaiting(socket);
    return true;
}

static void prepareWhole(struct FastSocket* socket, struct io_uring_sqe* entry,
                         const struct FastSend* send)
{
    FastKindPrepareSend(socket, entry, send);
    entry->msg_flags &= ~(uint32_t)MSG_DONTWAIT;
    entry->flags |= IOSQE_ASYNC;
    entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
    FastSocketTrail(socket, entry);
}

/* Whatever has kept a send from its end, a part of its record may have gone, and the connection is
 * of no use any more; but not where it has not begun, canceled or without a thread. */
static struct FastAnswer classifyWhole(struct FastSocket* socket, struct FastFlight* flight,
                                       int result)
{
    endWaiting(socket);
    if (result >= 0)
        return FastAnswer(FAST_VERDICT_DATA, result);
    if (result == -ENOBUFS)
        return FastMessageRetryMemory(socket, flight, ENOBUFS);
    if (result == -ECANCELED || socket->stage >= FAST_STAGE_CANCELING)
        return FastAnswer(FAST_VERDICT_NOTHING, -result);
    bool interrupted = result == -EINTR || result == -EAGAIN;
    return FastAnswer(FAST_VERDICT_FAIL, interrupted ? ECONNABORTED : -result);
}

/* ---- the tables ---- */

#define RECORD                                                           \
    .layout = FAST_INBOUND_MESSAGES,                                     \
    .readFlags = FAST_MESSAGE_READ_FLAGS, .ownSends = FAST_OPCODES_SEND, \
    .prepareReceive = FastKindPrepareReceive,                            \
    .classifyReceive = classifyReceive, .read = FastMessageRead,         \
    .checkSend = checkSend, .append = FastKindAppendMessage,             \
    .end = FastKindEnd

const struct FastKind FastKindRecord = {
    RECORD,
    .name = "records",
    .traits = FAST_TRAIT_CONNECTED | FAST_TRAIT_WATCHED,
    .size = sizeof(struct FastSocket),
    .startSend = startSend,
    .prepareSend = FastKindPrepareSend,
    .classifySend = classifySend,
};

const struct FastKind FastKindWhole = {
    RECORD,
    .name = "records",
    .traits = FAST_TRAIT_CONNECTED | FAST_TRAIT_WATCHED | FAST_TRAIT_BY_WORKER,
    .size = sizeof(struct wholeSocket),
    .initialize = limitWait,
    .startSend = startWhole,
    .prepareSend = prepareWhole,
    .classifySend = classifyWhole,
    .pollsFirst = lacksRoom,
};
