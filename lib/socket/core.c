/*
 * The life of a socket: creation, events, questions and options.
 *
 * Good path: creation looks at the descriptor once, arms nothing, and queues the first step. The step
 * is the one place that prepares operations: it looks at the state and submits whatever is due, so
 * nothing else has to think of full queues or of the order of calls. Completions change the state,
 * and queue the step or the notice. The notice tells the user, in the order POLLIN, POLLOUT, POLLERR,
 * POLLHUP, looking at the state anew after each call, since any call may release the socket.
 *
 * Failures: an error is kept as the first one that says something: the kernel tells it once, to
 * whoever comes first, and the others hear EPIPE or the end of input. On a stream it is told when the
 * input has ended, if that is certain to come, so that what was received before it is read before it;
 * otherwise at once. On a datagram socket each errno is told once a turn and the socket lives on.
 */
#include "socket/state.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>

/* ---- references and tasks ---- */

void FastSocketHold(struct FastSocket* socket)
{
    socket->references++;
}

void FastSocketDrop(struct FastSocket* socket)
{
    if (--socket->references > 0)
        return;
    struct FastRing* ring = socket->ring;
    FastRingUnlink(ring, &socket->member);
    free(socket->inbound.header);
    free(socket);
    FastRingDrop(ring);
}

void FastSocketDefer(struct FastSocket* socket)
{
    if (socket->step.queued || socket->shell)
        return;
    FastSocketHold(socket);
    FastRingDefer(socket->ring, &socket->step);
}

void FastSocketNotify(struct FastSocket* socket)
{
    if (socket->notice.queued || socket->shell)
        return;
    FastSocketHold(socket);
    FastRingNotify(socket->ring, &socket->notice);
}

int FastSocketCheck(const struct FastSocket* socket)
{
    if (socket == NULL)
        return -EINVAL;
    return socket->shell ? -ECANCELED : FastRingCheck(socket->ring);
}

void FastSocketCountPending(struct FastSocket* socket)
{
    bool counts = socket->outbound.first != NULL || socket->outbound.flying > 0 ||
                  (socket->stage > SOCKET_LIVE && socket->stage < SOCKET_CLOSED);
    if (counts == socket->counted || socket->shell)
        return;
    socket->counted = counts;
    FastRingCountPending(socket->ring, counts ? 1 : -1);
}

/* ---- the poll: what send and receive don't see ---- */

static void onPollCancel(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastSocket* socket = FAST_CONTAINER(operation, struct FastSocket, poll.cancel);
    (void)completion;
    socket->poll.canceling = false;
    FastSocketDefer(socket);
    FastSocketDrop(socket);
}

/* Whether a cancellation found its target at work, where nothing may move it for long: a file's server
 * that doesn't answer. It is made again after a while, not at once; at the end of the ring, which gives
 * up what doesn't end, not at all. */
bool FastSocketCancelRests(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    if (completion->res != -EALREADY)
        return false;
    if (!FastRingIsEnding(socket->ring))
        FastSocketRetryLater(socket);
    return true;
}

bool FastSocketPrepareCancel(struct FastSocket* socket, struct FastOperation* cancel,
                             const struct FastOperation* target, bool* canceling)
{
    if (*canceling)
        return true;
    if (!FastRingCancel(socket->ring, cancel, target))
        return false;
    *canceling = true;
    FastSocketHold(socket);
    return true;
}

/*
 * A thread of the kernel's keeps the file a little longer than the completion takes to come (6.18: the thread
 * and the completion have a reference each to the request; rarely, and for microseconds). A program that is
 * written and closed then can't be executed. But what is linked behind an operation starts only when that
 * has been given up for good: so a socket that has seen all its trails may be closed.
 */
void FastSocketTrail(struct FastSocket* socket, struct io_uring_sqe* entry)
{
    struct io_uring_sqe* trail = FastRingReserve(socket->ring, &socket->trail.operation);
    assert(trail != NULL);
    io_uring_prep_nop(trail);
    trail->user_data = (uintptr_t)&socket->trail.operation;
    entry->flags |= IOSQE_IO_LINK;
    socket->trail.flying++;
    FastSocketHold(socket);
}

static void onTrail(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastSocket* socket = FAST_CONTAINER(operation, struct FastSocket, trail.operation);
    (void)completion; /* cancelled if the operation failed; at the same time */
    socket->trail.flying--;
    FastSocketDefer(socket);
    FastSocketDrop(socket);
}

int FastSocketTakeError(struct FastSocket* socket)
{
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(socket->handle, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return 0;
    return error;
}

static void becomeConnected(struct FastSocket* socket)
{
    socket->connecting = false;
    socket->outbound.news = true;
    FastSocketNotify(socket);
}

/* POLLERR alone says little: an unread error queue (IP_RECVERR, time stamps) raises it for as long as
 * it is unread, with nothing in SO_ERROR. A poll that ends at once for it is made anew as one that
 * tells each wake-up. */
static void notePoll(struct FastSocket* socket, int events)
{
    if (socket->poll.room && !socket->file)
        socket->poll.noisy = events & POLLERR;
}

/* POLLOUT comes with the connection, or when TCP Fast Open waits for the first bytes; POLLHUP with the
 * failure. */
static void onConnectPoll(struct FastSocket* socket, int events)
{
    int error = FastSocketTakeError(socket);
    if (error != 0)
        FastSocketFail(socket, error);
    else if (events & POLLHUP) {
        if (!socket->inbound.armed)
            FastSocketFail(socket, EPIPE); /* somebody else has read the errno */
        /* Otherwise the receive has it: its completion is on the way. */
    } else if (events & POLLOUT)
        becomeConnected(socket);
}

/* Whether a send that waits for room goes on: it has some, or meets what ends it. An error of a
 * datagram before is told here, or it would fail the next. */
static bool hasRoom(struct FastSocket* socket, int events)
{
    if (events < 0 || socket->file || events & (POLLOUT | POLLHUP))
        return true;
    int error = FastSocketTakeError(socket);
    if (error == 0)
        return false;
    if (socket->kind == SOCKET_DATAGRAM)
        FastSocketFailDatagram(socket, error);
    else
        FastSocketFail(socket, error);
    return false;
}

static void onRoomPoll(struct FastSocket* socket, int result)
{
    if (result == -ECANCELED || !hasRoom(socket, result))
        return;
    socket->outbound.blocked = false;
    socket->outbound.polled = true;
    if (result < 0)
        FastSocketHoldOutput(socket); /* what can't be polled is tried again after a while */
}

/* What tells that the input is over, or soon will be, and that an armed receive may miss. A multishot
 * receive that has emptied the queue waits for the next wake-up; one that came before that is lost on
 * it, and so is a reset (6.18: two wake-ups before the loop enters the kernel, or a queue longer than
 * one receive takes at once). TCP's FIN alone is safe: the kernel counts it as something to read. */
static int endSigns(const struct FastSocket* socket)
{
    return socket->tcp ? POLLHUP : POLLRDHUP | POLLHUP;
}

/* A terminal that isn't read is hung up. A socket, after the end of input: a reset shows as POLLERR.
 * Before it: a new receive finds what an armed one
 * may have missed. */
static void onStatePoll(struct FastSocket* socket, int events)
{
    if (socket->file) {
        if (!socket->inbound.ended && events & (POLLERR | POLLHUP))
            FastSocketEndInput(socket);
    } else if (socket->inbound.ended && events & POLLERR) {
        int error = FastSocketTakeError(socket);
        if (error != 0)
            FastSocketFail(socket, error);
        else if (events & POLLHUP && !socket->shutdownDone && socket->outbound.flying == 0)
            FastSocketFail(socket, EPIPE);
        /* Otherwise something is in the error queue, which is the user's. */
    } else if (!socket->inbound.ended && events & endSigns(socket)) {
        socket->inbound.ending = true;
        socket->inbound.renew = true;
    }
}

/* A descriptor that can't be polled can't be polled a moment later either. */
static void onPollError(struct FastSocket* socket, int error)
{
    if (error == ENOMEM || error == EAGAIN) {
        socket->poll.resting = true;
        FastSocketRetryLater(socket);
        return;
    }
    socket->poll.wanted = false;
    if (socket->connecting && socket->stage == SOCKET_LIVE)
        FastSocketFail(socket, error);
}

static void onPoll(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastSocket* socket = FAST_CONTAINER(operation, struct FastSocket, poll.operation);
    bool over = !(completion->flags & IORING_CQE_F_MORE);
    if (over)
        socket->poll.armed = false;
    if (completion->res > 0)
        notePoll(socket, completion->res);
    if (socket->outbound.blocked && socket->poll.room) {
        onRoomPoll(socket, completion->res);
    } else if (completion->res > 0 && socket->stage == SOCKET_LIVE) {
        if (socket->connecting)
            onConnectPoll(socket, completion->res);
        else if (!socket->poll.room)
            onStatePoll(socket, completion->res);
    } else if (completion->res > 0 && socket->connecting)
        socket->connecting = !(completion->res & (POLLOUT | POLLHUP));
    else if (completion->res < 0 && completion->res != -ECANCELED)
        onPollError(socket, -completion->res);
    FastSocketDefer(socket);
    if (over)
        FastSocketDrop(socket);
}

static bool stepPoll(struct FastSocket* socket)
{
    bool writable = socket->connecting || socket->outbound.blocked;
    bool wanted = socket->stage < SOCKET_CANCELING && !socket->failureTold &&
                  (writable || (socket->poll.wanted && socket->stage == SOCKET_LIVE));
    /* Room, and the state, are not waited for at once. */
    if (socket->poll.armed && writable != socket->poll.room)
        wanted = false;
    if (!wanted && socket->poll.armed)
        return FastSocketPrepareCancel(socket, &socket->poll.cancel, &socket->poll.operation,
                                       &socket->poll.canceling);
    if (!wanted || socket->poll.armed || socket->poll.canceling || socket->poll.resting)
        return true;
    struct io_uring_sqe* entry = FastRingReserve(socket->ring, &socket->poll.operation);
    if (entry == NULL)
        return false;
    uint64_t owner = entry->user_data;
    if (writable && !socket->poll.noisy)
        io_uring_prep_poll_add(entry, socket->handle, POLLOUT);
    else if (writable)
        io_uring_prep_poll_multishot(entry, socket->handle, POLLOUT);
    else
        io_uring_prep_poll_multishot(entry, socket->handle,
                                     socket->tcp || socket->inbound.ended ? 0 : POLLRDHUP);
    entry->user_data = owner;
    socket->poll.armed = true;
    socket->poll.room = writable;
    FastSocketHold(socket);
    return true;
}

/* ---- the step ---- */

static bool runStep(struct FastTask* task)
{
    struct FastSocket* socket = FAST_CONTAINER(task, struct FastSocket, step);
    if (!FastSocketStepReceive(socket) || !stepPoll(socket) || !FastSocketStepSend(socket) ||
        !FastSocketStepRelease(socket))
        return false;
    FastSocketDrop(socket);
    return true;
}

/* ---- failures ---- */

/* Whether an errno says nothing of the cause. */
static bool isVague(int error)
{
    return error == 0 || error == EPIPE || error == ECANCELED || error == ENOTCONN;
}

/* The input of a connection that is gone ends by itself, after what was received. */
static bool inputWillEnd(const struct FastSocket* socket)
{
    struct pollfd state = {.fd = socket->handle, .events = POLLRDHUP};
    if (socket->inbound.ended || socket->connecting || !socket->readable)
        return false;
    return poll(&state, 1, 0) > 0 && state.revents & (POLLRDHUP | POLLHUP);
}

/*
 * A send that waits for all its bytes and meets an error after some of them reports these, and nobody
 * reports the error any more. What is left is the connection's state: closed without either end having
 * asked for it means a reset, or that retransmission was given up.
 */
static int swallowedError(const struct FastSocket* socket)
{
    struct tcp_info information = {0};
    socklen_t length = sizeof(information);
    if (!socket->tcp || !socket->outbound.cutShort || socket->shutdownDone ||
        getsockopt(socket->handle, IPPROTO_TCP, TCP_INFO, &information, &length) < 0 ||
        information.tcpi_state != TCP_CLOSE)
        return 0;
    return information.tcpi_retransmits > 0 || information.tcpi_probes > 0 ? ETIMEDOUT : ECONNRESET;
}

static int betterError(struct FastSocket* socket, int error)
{
    int better = FastSocketTakeError(socket);
    if (better == 0)
        better = swallowedError(socket);
    return better != 0 ? better : error;
}

void FastSocketFail(struct FastSocket* socket, int error)
{
    if (error == EPIPE && socket->error == 0)
        error = betterError(socket, error);
    if (!socket->failureTold && isVague(socket->error) && (socket->error == 0 || !isVague(error)))
        socket->error = error != 0 ? error : EPIPE;
    if (!socket->failed) {
        socket->failed = true;
        socket->expectsEnd = inputWillEnd(socket);
        FastSocketDropOutput(socket);
        socket->outbound.cancelWanted = true; /* what may be in flight and blocked */
    }
    FastSocketNotify(socket);
    FastSocketDefer(socket);
}

void FastSocketFailDatagram(struct FastSocket* socket, int error)
{
    if (error <= 0 || (size_t)error >= 64 * sizeof(socket->failures) / sizeof(socket->failures[0]))
        error = EPROTO;
    socket->failures[error / 64] |= UINT64_C(1) << (error % 64);
    FastSocketNotify(socket);
}

/* ---- telling the user ---- */

static void tell(struct FastSocket* socket, int event, int parameter)
{
    if (socket->function != NULL)
        socket->function(socket, event, parameter);
}

static bool hasInputToTell(const struct FastSocket* socket)
{
    return socket->inbound.news && !socket->inbound.paused && socket->inbound.first != NULL &&
           !socket->failureTold;
}

static void tellInput(struct FastSocket* socket)
{
    bool due = hasInputToTell(socket);
    if (socket->inbound.paused)
        return;
    socket->inbound.news = false;
    if (due)
        tell(socket, POLLIN, socket->inbound.length < INT_MAX ? (int)socket->inbound.length : INT_MAX);
}

static void tellOutput(struct FastSocket* socket)
{
    if (!socket->outbound.news || socket->connecting || socket->failed)
        return;
    socket->outbound.news = false;
    if (socket->outbound.first == NULL && socket->outbound.flying == 0)
        tell(socket, POLLOUT, 0);
}

static void tellDatagramFailures(struct FastSocket* socket)
{
    for (int word = 0; word < 3; word++) {
        uint64_t bits = socket->failures[word];
        socket->failures[word] = 0;
        for (int bit = 0; bit < 64 && bits != 0 && socket->stage == SOCKET_LIVE; bit++) {
            if (bits >> bit & 1)
                tell(socket, POLLERR, word * 64 + bit);
        }
    }
}

/* A fatal error waits for the input that came before it, unless the program has stopped reading. */
bool FastSocketFailureIsDue(const struct FastSocket* socket)
{
    if (!socket->failed || socket->failureTold)
        return false;
    const struct FastSocketInbound* inbound = &socket->inbound;
    return inbound->ended || inbound->paused || inbound->full || inbound->limited || inbound->record != 0 ||
           !socket->expectsEnd;
}

static void tellFailure(struct FastSocket* socket)
{
    if (socket->kind == SOCKET_DATAGRAM)
        tellDatagramFailures(socket);
    else if (!socket->failed && FastSocketRecordIsDue(socket))
        tell(socket, POLLERR, socket->inbound.record);
    if (socket->stage != SOCKET_LIVE)
        return;
    if (!FastSocketFailureIsDue(socket) || hasInputToTell(socket))
        return;
    socket->failureTold = true;
    socket->outbound.news = false;
    tell(socket, POLLERR, socket->error);
}

/* The end of input after a swallowed error is none. */
static void reconsiderEnd(struct FastSocket* socket)
{
    if (socket->hangupTold || socket->failed || !socket->inbound.ended || socket->inbound.paused)
        return;
    int error = swallowedError(socket);
    if (error != 0)
        FastSocketFail(socket, error);
}

/* Input comes before the end, also when a handler of this round has just resumed: resuming has queued
 * another round. */
static void tellHangup(struct FastSocket* socket)
{
    if (socket->hangupTold || hasInputToTell(socket))
        return;
    if (socket->failed ? !socket->failureTold : !socket->inbound.ended || socket->inbound.paused)
        return;
    socket->hangupTold = true;
    tell(socket, POLLHUP, socket->failed ? socket->error : 0);
}

static bool runNotice(struct FastTask* task)
{
    static void (*const phases[])(struct FastSocket*) = {reconsiderEnd, tellInput, tellOutput, tellFailure,
                                                         tellHangup};
    struct FastSocket* socket = FAST_CONTAINER(task, struct FastSocket, notice);
    for (size_t index = 0; index < sizeof(phases) / sizeof(phases[0]); index++)
        if (socket->stage == SOCKET_LIVE && !socket->shell)
            phases[index](socket);
    FastSocketFinishCanceled(socket);
    FastSocketBalanceReceive(socket);
    FastSocketDefer(socket); /* what the user queued is gathered by one step */
    FastSocketDrop(socket);
    return true;
}

/* ---- beginning ---- */

void FastSocketInitialize(struct FastSocket* socket)
{
    socket->references = 1;
    socket->step.function = runStep;
    socket->notice.function = runNotice;
    socket->poll.operation.function = onPoll;
    socket->poll.cancel.function = onPollCancel;
    socket->trail.operation.function = onTrail;
    socket->poll.wanted = socket->file ? socket->terminal && !socket->readable : socket->kind != SOCKET_DATAGRAM;
    FastSocketInitializeReceive(socket);
    FastSocketInitializeSend(socket);
    FastSocketInitializeRelease(socket);
}

/* ---- questions ---- */

bool FastSocketIsReleased(const struct FastSocket* socket)
{
    return socket->released;
}

bool FastSocketHasEnded(const struct FastSocket* socket)
{
    return socket->inbound.ended && !socket->failed && socket->inbound.first == NULL;
}

bool FastSocketClaim(struct FastSocket* socket)
{
    bool first = !socket->claimed;
    socket->claimed = true;
    return first;
}

int SetFastSocketHandler(struct FastSocket* socket, HandleFastSocketEvent function, void* closure)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    socket->function = function;
    socket->closure = closure;
    return 0;
}

void* GetFastSocketClosure(struct FastSocket* socket)
{
    return socket != NULL ? socket->closure : NULL;
}

int GetFastSocketHandle(struct FastSocket* socket)
{
    int result = FastSocketCheck(socket);
    return result < 0 ? result : socket->handle;
}

struct FastRing* GetFastSocketRing(struct FastSocket* socket)
{
    return socket != NULL ? socket->ring : NULL;
}

int GetFastSocketError(struct FastSocket* socket)
{
    return socket != NULL && socket->failed ? socket->error : 0;
}

size_t GetFastSocketInboundLength(struct FastSocket* socket)
{
    return FastSocketCheck(socket) < 0 ? 0 : socket->inbound.length;
}

size_t GetFastSocketOutboundLength(struct FastSocket* socket)
{
    if (FastSocketCheck(socket) < 0)
        return 0;
    return socket->failed ? socket->statistics.droppedBytes : socket->outbound.length;
}

int GetFastSocketStatistics(struct FastSocket* socket, struct FastSocketStatistics* statistics, size_t size)
{
    int result = statistics != NULL ? FastSocketCheck(socket) : -EINVAL;
    if (result < 0)
        return result;
    FastCopyStatistics(statistics, size, &socket->statistics, sizeof(socket->statistics));
    return 0;
}
