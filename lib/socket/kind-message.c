/*
 * Messages: those of a connection (seqpacket, one-to-one SCTP, DCCP), called records, and those
 * that are each on their own, called datagrams.
 *
 * Good path: each message is an operation of its own, a burst is a chain of links, which keeps the
 * order. A failure cancels those behind it, which are then sent again: in order, whether or not the
 * one that failed is tried again. What is received has its true length as the buffer's note.
 *
 * Failures: an error of a datagram socket is one datagram's, and whose is not always clear. The
 * pending error of an earlier datagram, whatever its errno, is reported to the next send, which is
 * then not made. So each is made again: what is its own comes again, and what doesn't was
 * another's. Once is not enough, as another may come between the look for it and the enter. Only
 * AF_UNIX has an errno that is its own for certain, and would not come twice. Records fail as
 * streams do.
 */
#include "socket/kind-message.h"

#include "socket/flight.h"
#include "socket/intake.h"
#include "socket/kind-socket.h"
#include "socket/system.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>

enum
{
    MESSAGE_MAX_TRIES = 100,      /* of one that the kernel has no memory for */
    MESSAGE_MAX_DOUBTS = 8,       /* errnos of earlier datagrams that one may meet */
    MESSAGE_MAX_SAME_DOUBTS = 3,  /* after so many the same one again is its own */
    MESSAGE_CHAIN = 64,           /* in flight at once */
    MESSAGE_LOCAL_CHECK = 2 << 10, /* AF_UNIX messages from here on are compared with SO_SNDBUF */
    MESSAGE_LOCAL_OVERHEAD = 32,
    MESSAGE_SEND_FLAGS = MSG_MORE | MSG_EOR | MSG_CONFIRM | MSG_DONTROUTE | MSG_ZEROCOPY |
                         MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT,
    MESSAGE_READ_FLAGS = MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT | MSG_NOSIGNAL | MSG_TRUNC,
};

static struct FastMessageSocket* messageSocket(const struct FastSocket* socket)
{
    return FAST_CONTAINER(socket, struct FastMessageSocket, socket);
}

/* ---- what was received ---- */

/* The length beyond the buffer is reported by the kernel (MSG_TRUNC among our flags); what the user
 * sees is the length that is there. */
static struct FastAnswer takeMessage(struct FastSocket* socket, struct io_uring_recvmsg_out* out,
                                     size_t length)
{
    size_t stored = length - socket->inbound.queue.headroom;
    size_t real = out->payloadlen;
    if (out->flags & MSG_TRUNC &&
        (real > stored || !FastSocketHas(socket, FAST_TRAIT_TELLS_LENGTH)))
        socket->statistics.truncated++;
    out->payloadlen = (uint32_t)stored;
    *FastBufferNote(FastBufferOf(out)) = real > stored ? real : stored;
    return FastAnswer(FAST_VERDICT_DATA, 0);
}

static struct io_uring_recvmsg_out* bufferOf(const struct FastSocket* socket,
                                             const struct io_uring_cqe* completion)
{
    return FastProviderPeek(socket->inbound.provider,
                            (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT));
}

/* ---- the end of records ---- */

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

static struct FastAnswer classifyRecord(struct FastSocket* socket,
                                        const struct io_uring_cqe* completion)
{
    if (completion->res < 0)
        return FastKindReceiveError(-completion->res, completion->res == -ENOBUFS &&
                                                          FastKindLostMessages(socket, NULL));
    if (!(completion->flags & IORING_CQE_F_BUFFER))
        return FastAnswer(recordsHaveEnded(socket) ? FAST_VERDICT_END : FAST_VERDICT_NOTHING, 0);
    struct io_uring_recvmsg_out* out = bufferOf(socket, completion);
    size_t length = (size_t)completion->res;
    if (length == socket->inbound.queue.headroom && !bringsControl(out) && recordsHaveEnded(socket))
        return FastAnswer(FAST_VERDICT_END, 0);
    return takeMessage(socket, out, length);
}

/* ---- datagrams ---- */

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
    uint32_t before = messageSocket(socket)->drops;
    messageSocket(socket)->drops = memory[SK_MEMINFO_DROPS];
    return memory[SK_MEMINFO_DROPS] != before;
}

void FastMessageInitialize(struct FastSocket* socket, uint32_t largest)
{
    messageSocket(socket)->largest = largest;
    (void)hasDropped(socket);
}

/* What comes again at once. Of kinds that can receive for certain EOPNOTSUPP is an earlier
 * datagram's. */
static bool isLasting(const struct FastSocket* socket, int error)
{
    bool receives = messageSocket(socket)->largest > 0 || FastSocketHas(socket, FAST_TRAIT_LOCAL);
    return error == EBADF || error == EFAULT || error == ENOTSOCK ||
           (error == EOPNOTSUPP && !receives);
}

static struct FastAnswer classifyDatagram(struct FastSocket* socket,
                                          const struct io_uring_cqe* completion)
{
    if (completion->res >= 0 && completion->flags & IORING_CQE_F_BUFFER)
        return takeMessage(socket, bufferOf(socket, completion), (size_t)completion->res);
    if (completion->res >= 0)
        /* Nothing was delivered, and a datagram socket has no end. */
        return FastAnswer(FAST_VERDICT_NOTHING, 0);
    bool lost = completion->res == -ENOBUFS && FastKindLostMessages(socket, hasDropped);
    struct FastAnswer answer = FastKindReceiveError(-completion->res, lost);
    if (answer.verdict == FAST_VERDICT_FAIL && !isLasting(socket, answer.value))
        answer.verdict = FAST_VERDICT_FAIL_ONE;
    return answer;
}

static void keepError(struct FastSocket* socket, int error)
{
    if (error <= 0 || error >= 64 * FAST_MESSAGE_FAILURES)
        error = EPROTO;
    messageSocket(socket)->failures[error / 64] |= UINT64_C(1) << (error % 64);
}

static int nextError(struct FastSocket* socket)
{
    uint64_t* failures = messageSocket(socket)->failures;
    for (int word = 0; word < FAST_MESSAGE_FAILURES; word++) {
        if (failures[word] == 0)
            continue;
        int bit = __builtin_ctzll(failures[word]);
        failures[word] &= failures[word] - 1;
        return word * 64 + bit;
    }
    return 0;
}

/* ---- reading ---- */

static ssize_t readMessage(struct FastSocket* socket, uint8_t* data, size_t size, int flags)
{
    struct FastInboundQueue* queue = &socket->inbound.queue;
    struct FastBuffer* chunk = queue->first;
    queue->wanted = 0;
    if (chunk == NULL)
        return FastSocketHasFailed(socket) ? -(ssize_t)socket->error : 0;
    size_t length = FastInboundPayloadLength(queue, chunk);
    size_t count = length < size ? length : size;
    size_t real = (size_t)*FastBufferNote(chunk);
    memcpy(data, FastInboundPayload(queue, chunk), count);
    if (!(flags & MSG_PEEK))
        FastIntakeDrop(socket);
    return (ssize_t)((flags & MSG_TRUNC) != 0 ? real : count);
}

/* ---- queueing ---- */

/* What the kind can never carry; a smaller limit of the path is the kernel's to tell. */
static int checkSize(const struct FastSocket* socket, size_t size)
{
    uint32_t largest = messageSocket(socket)->largest;
    int space = 0;
    if (largest > 0)
        return size > largest ? -EMSGSIZE : 0;
    if (!FastSocketHas(socket, FAST_TRAIT_LOCAL) || size < MESSAGE_LOCAL_CHECK ||
        FastSystemGetNumber(socket->handle, SOL_SOCKET, SO_SNDBUF, &space) < 0)
        return 0;
    return size + MESSAGE_LOCAL_OVERHEAD > (size_t)space ? -EMSGSIZE : 0;
}

static int checkRecord(const struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    int result = FastKindCheckSend(socket, parts, flags, MESSAGE_SEND_FLAGS, -EISCONN);
    return result == 0 ? checkSize(socket, parts->size) : result;
}

static int checkDatagram(const struct FastSocket* socket, const struct FastParts* parts, int flags)
{
    int result = FastKindCheckSend(socket, parts, flags, MESSAGE_SEND_FLAGS, 0);
    return result == 0 ? checkSize(socket, parts->size) : result;
}

/* ---- sending ---- */

/* What another datagram left behind in the meantime would be taken for this one's. */
static void clearErrors(struct FastSocket* socket)
{
    int error = FastSystemTakeError(socket->handle);
    if (error == 0)
        return;
    keepError(socket, error);
    FastSocketNotify(socket, FAST_NEWS_STATE);
}

static void clearDoubt(struct FastSocket* socket, const struct FastMessage* message)
{
    if (message->doubt != 0)
        clearErrors(socket);
}

/* Each starts when the one before was sent. */
static bool startChain(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    uint32_t most = outbound->burst;
    if (outbound->queue.messages > 0 && outbound->queue.messages < most)
        most = outbound->queue.messages;
    outbound->burst = most * 2 < MESSAGE_CHAIN ? most * 2 : MESSAGE_CHAIN;
    struct io_uring_sqe* last = NULL;
    for (struct FastItem* item = outbound->queue.first;
         item != NULL && item->kind == FAST_ITEM_MESSAGE && outbound->inFlight < most;
         item = item->next) {
        if (item->state == FAST_ITEM_DONE)
            continue;
        clearDoubt(socket, FastItemMessage(item));
        struct io_uring_sqe* entry = FastFlightStartMessage(socket, FastItemMessage(item),
                                                            last == NULL);
        if (entry == NULL)
            break;
        if (last != NULL)
            last->flags |= IOSQE_IO_LINK;
        last = entry;
        if (outbound->current != NULL)
            break; /* without a copy: alone */
    }
    return last != NULL;
}

/*
 * A datagram to an AF_UNIX socket whose queue is full: the kernel builds the message before it
 * finds out, and a request that is tried again inside (6.18 at least) then sends an empty one. So
 * these are never made to wait there: they come back, and so does what is linked behind them.
 */
static void prepareDatagram(struct FastSocket* socket, struct io_uring_sqe* entry,
                            const struct FastSend* send)
{
    FastKindPrepareSend(socket, entry, send);
    if (!FastSocketHas(socket, FAST_TRAIT_LOCAL))
        return;
    entry->msg_flags |= MSG_DONTWAIT;
    entry->ioprio &= (uint16_t)~IORING_RECVSEND_POLL_FIRST;
}

/* A piece of a datagram (MSG_MORE, UDP_CORK) that fails takes those before it along: sent again, it
 * would be a datagram of its own. */
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
    int most = error == message->doubt ? MESSAGE_MAX_SAME_DOUBTS : MESSAGE_MAX_DOUBTS;
    return message->doubts < most && !continuesDatagram(socket);
}

/* The errno that a message has met before was another's. */
static void passDoubt(struct FastSocket* socket, struct FastMessage* message)
{
    if (message->doubt != 0) {
        keepError(socket, message->doubt);
        FastSocketNotify(socket, FAST_NEWS_STATE);
    }
    message->doubt = 0;
}

/* Whether a message is made again to see whose errno it has met. */
static bool doubts(struct FastSocket* socket, struct FastMessage* message, int error)
{
    if (!isDoubtful(socket, message, error))
        return false;
    if (message->doubt != error)
        passDoubt(socket, message);
    message->doubt = error;
    message->doubts++;
    socket->outbound->burst = 1; /* those behind would be canceled again */
    return true;
}

static struct FastAnswer failDatagram(struct FastSocket* socket, struct FastMessage* message,
                                      int error)
{
    if (message->doubt != error)
        passDoubt(socket, message);
    socket->outbound->corked = false;
    socket->outbound->burst = 1; /* it has canceled those behind, and they may fail like it */
    return FastAnswer(FAST_VERDICT_FAIL_ONE, error);
}

/* A connected socket polls writable when its peer has room; of others only time tells. */
static struct FastAnswer waitForPeer(struct FastSocket* socket, const struct FastMessage* message)
{
    socket->outbound->burst = 1; /* those behind would only come back too */
    bool backsOff = message->nameLength > 0 || socket->outbound->room & FAST_ROOM_POLLED;
    return FastAnswer(backsOff ? FAST_VERDICT_BACKOFF : FAST_VERDICT_POLL, EAGAIN);
}

/* Lack of memory, which is tried again so often; then it is the message's. */
static struct FastAnswer retryMemory(struct FastSocket* socket, struct FastFlight* flight,
                                     int error)
{
    if (FastFlightFallsBack(socket, flight, error))
        return FastAnswer(FAST_VERDICT_NOTHING, 0);
    return FastAnswer(++flight->message->tries <= MESSAGE_MAX_TRIES ? FAST_VERDICT_BACKOFF
                                                                    : FAST_VERDICT_FAIL,
                      error);
}

static struct FastAnswer classifyRecordSend(struct FastSocket* socket, struct FastFlight* flight,
                                            int result)
{
    int error = -result;
    if (result >= 0)
        return FastAnswer(FAST_VERDICT_DATA, result);
    if (error == ENOMEM || error == ENOBUFS)
        return retryMemory(socket, flight, error);
    struct FastAnswer answer = FastKindSendError(error);
    if (answer.verdict == FAST_VERDICT_FAIL && FastFlightFallsBack(socket, flight, error))
        return FastAnswer(FAST_VERDICT_NOTHING, 0);
    return answer;
}

static struct FastAnswer classifyDatagramSend(struct FastSocket* socket, struct FastFlight* flight,
                                              int result)
{
    struct FastMessage* message = flight->message;
    if (result >= 0) {
        passDoubt(socket, message);
        socket->outbound->corked = message->item.flags & MSG_MORE;
        return FastAnswer(FAST_VERDICT_DATA, result);
    }
    if (result == -EAGAIN && FastSocketHas(socket, FAST_TRAIT_LOCAL))
        return waitForPeer(socket, message);
    struct FastAnswer answer = result == -ENOMEM || result == -ENOBUFS
                                   ? retryMemory(socket, flight, -result)
                                   : FastKindSendError(-result);
    if (answer.verdict != FAST_VERDICT_FAIL)
        return answer;
    if (answer.value != ENOMEM && answer.value != ENOBUFS) {
        if (doubts(socket, message, answer.value))
            return FastAnswer(FAST_VERDICT_NOTHING, 0);
        if (FastFlightFallsBack(socket, flight, answer.value)) {
            message->doubt = 0; /* it was zero copy's */
            return FastAnswer(FAST_VERDICT_NOTHING, 0);
        }
    }
    return failDatagram(socket, message, answer.value);
}

/* ---- the tables ---- */

const struct FastKind FastKindRecord = {
    .size = sizeof(struct FastMessageSocket),
    .readFlags = MESSAGE_READ_FLAGS,
    .ownSends = FAST_OPCODES_SEND,
    .prepareReceive = FastKindPrepareReceive,
    .classifyReceive = classifyRecord,
    .read = readMessage,
    .checkSend = checkRecord,
    .append = FastKindAppendMessage,
    .startSend = startChain,
    .prepareSend = FastKindPrepareSend,
    .classifySend = classifyRecordSend,
    .end = FastKindEnd,
};

const struct FastKind FastKindDatagram = {
    .size = sizeof(struct FastMessageSocket),
    .readFlags = MESSAGE_READ_FLAGS,
    .ownSends = FAST_OPCODES_SEND,
    .prepareReceive = FastKindPrepareReceive,
    .classifyReceive = classifyDatagram,
    .read = readMessage,
    .checkSend = checkDatagram,
    .append = FastKindAppendMessage,
    .startSend = startChain,
    .prepareSend = prepareDatagram,
    .classifySend = classifyDatagramSend,
    .keepError = keepError,
    .nextError = nextError,
    .end = FastKindEnd,
};
