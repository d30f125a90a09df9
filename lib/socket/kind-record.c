/*
 * Records: the messages of a connection (seqpacket, one-to-one SCTP, DCCP).
 *
 * Good path: a record is received, queued and sent like any message (kind-message.c).
 *
 * Failures: as of streams, an error ends the connection. The end of input is the hard part: an
 * empty record reads like it, so the socket is asked whether a record is left, in the way that its
 * family can answer.
 */
#include "socket/kind-record.h"

#include "socket/flight.h"
#include "socket/kind-message.h"
#include "socket/kind-socket.h"
#include "socket/system.h"

#include <errno.h>
#include <poll.h>

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

const struct FastKind FastKindRecord = {
    .traits = FAST_TRAIT_CONNECTED | FAST_TRAIT_WATCHED,
    .layout = FAST_INBOUND_MESSAGES,
    .size = sizeof(struct FastSocket),
    .readFlags = FAST_MESSAGE_READ_FLAGS,
    .ownSends = FAST_OPCODES_SEND,
    .prepareReceive = FastKindPrepareReceive,
    .classifyReceive = classifyReceive,
    .read = FastMessageRead,
    .checkSend = checkSend,
    .append = FastKindAppendMessage,
    .startSend = startSend,
    .prepareSend = FastKindPrepareSend,
    .classifySend = classifySend,
    .end = FastKindEnd,
};
