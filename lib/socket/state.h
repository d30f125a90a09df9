/*
 * A socket's own state: for socket.c (life, events), socket-receive.c (inbound queue), socket-queue.c
 * (outbound queue), socket-send.c and socket-result.c (what is queued into the kernel, and its answers)
 * and socket-release.c (the end).
 *
 * References: the user's until ReleaseFastSocket, then the release's until the descriptor is closed;
 * one for each operation in flight and for each queued task. The memory goes with the last.
 */
#ifndef FASTSOCKET_SOCKET_STATE_H
#define FASTSOCKET_SOCKET_STATE_H

#include "memory/provider.h"
#include "memory/pool.h"
#include "ring/ring.h"
#include "socket/socket.h"

#include <Ring/FastSocket.h>

enum FastSocketKind
{
    SOCKET_STREAM,   /* bytes */
    SOCKET_RECORD,   /* messages of a connection: seqpacket, one-to-one SCTP */
    SOCKET_DATAGRAM, /* messages, each on its own */
};

/* How far a release has come; only upwards. */
enum FastSocketStage
{
    SOCKET_LIVE,
    SOCKET_FLUSHING,  /* released: what is queued is sent, with a bound */
    SOCKET_DRAINING,  /* the peer is told the end; input is discarded until its end, or for a while */
    SOCKET_CANCELING, /* every operation is being cancelled */
    SOCKET_CLOSED,    /* the descriptor is closed */
};

struct FastItem;
struct batch;

struct FastSocketInbound
{
    struct FastRingBufferProvider* provider;
    struct FastBufferPool* pool;
    struct msghdr* header; /* the template, or NULL in plain mode */
    struct FastOperation operation;
    struct FastOperation cancel;
    struct FastWaiter waiter; /* for buffers, or for room below the ring's limit */

    struct FastBuffer* first;
    struct FastBuffer* last;
    size_t offset;    /* of the first chunk's payload that was read */
    size_t length;    /* unread payload bytes */
    size_t footprint; /* memory of the queued chunks */
    size_t wanted;    /* bytes that a MSG_WAITALL waits for */

    uint64_t high;
    uint64_t low;
    uint64_t turnLimit;
    uint64_t turn; /* in which turnLength was received */
    size_t turnLength;

    uint32_t mark;     /* of the provider, when the operation was armed */
    uint32_t headroom; /* bytes before the payload in each chunk */
    uint32_t drops;    /* messages that the kernel had no room for, as far as known */
    uint32_t errors;   /* of datagrams, in a row */
    int flags;         /* of the receive operation */
    bool armed;        /* the operation is in flight */
    bool canceling;    /* a cancellation of it is in flight */
    bool unmoved;      /* … has come too late or not helped: not again before the retry */
    bool canceled;     /* its end by cancellation is ours */
    bool renew;        /* to be ended and armed anew: it may have missed the end of input */
    bool ending;       /* the connection is over, behind what is still to be received */
    bool forgiven;     /* it ended although nobody cancelled it: once */
    bool paused;       /* by the user */
    bool full;         /* stopped at the high mark, until the low one */
    bool limited;      /* stopped by the ring's limit */
    bool starved;      /* stopped for lack of buffers */
    bool resting;      /* until the retry */
    bool modest;       /* armed for one buffer only, since the ring's limit is reached */
    bool bundle;       /* armed for several buffers a completion */
    bool discard;      /* what comes is dropped */
    bool apart;        /* what one read gave is a buffer of its own: a message, or a device's packet */
    bool single;       /* of a file: no multishot reads */
    bool many;         /* … the read in flight is one */
    bool polls;        /* … a poll comes before each read */
    bool waits;        /* … and is what is in flight */
    bool ready;        /* … and has come */
    bool polled;       /* … before the read in flight */
    bool direct;       /* … to be followed by a read of our own */
    bool relays;       /* what is in flight is a splice into the relay */
    bool caught;       /* a cancellation has found what is in flight */
    bool doubted;      /* it gave -ECANCELED, which may be ours or the file's own */
    bool ended;        /* nothing comes any more */
    bool news;         /* POLLIN is due */
    bool recordTold;   /* POLLERR with that errno was delivered */
    int record;        /* errno of a kTLS record that only its user can take; 0 = none */
};

struct FastSocketOutbound
{
    struct FastBufferPool* pool;
    struct FastOperation operation; /* a stream's send */
    struct FastOperation* current;  /* to be cancelled if need be: that, or one with zero copy */
    struct FastOperation cancel;
    struct FastItem* first; /* sent next */
    struct FastItem* last;
    struct batch* batches;     /* zero copy whose memory is not back yet */
    struct FastItem* canceled; /* barriers dropped unsent, whose users must hear of it */
    size_t length;             /* bytes not yet accepted */
    uint64_t limit;            /* FASTSOCKET_OPTION_OUTBOUND_LIMIT */
    uint64_t threshold;        /* FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD */
    uint32_t most;             /* messages handed over at once */
    uint32_t burst;            /* messages in the next chain */
    uint32_t flying;           /* operations in flight */
    size_t requested;          /* bytes of the stream's send in flight */
    struct FastTask retry;     /* work, after a refusal for want of memory */
    uint32_t copied;           /* zero-copy operations in a row that the kernel copied */
    uint32_t rest;             /* operations until zero copy is tried again */
    bool pollFirst;            /* the last send could not go on */
    bool cutShort;             /* a send ended before its last byte, although nobody cancelled it */
    bool holding;              /* until the retry */
    bool blocked;              /* until a poll tells that there is room */
    bool polled;               /* … which it has, and nothing was accepted since */
    bool canceling;
    bool cancelWanted; /* what is in flight, to see how far it came */
    bool unmoved;      /* a cancellation has come too late or not helped: not again before the retry */
    bool never;        /* zero copy does not work here */
    bool patient;      /* a pipe that the ring can't write without waiting */
    bool corked;       /* the last datagram was accepted with MSG_MORE: the next goes on with it */
    bool direct;       /* the write was made already, and this is what it gave: */
    ssize_t result;
    bool news;         /* POLLOUT is due, if nothing is queued then */
};

struct FastSocket
{
    struct FastRingMember member;
    struct FastRing* ring;
    HandleFastSocketEvent function;
    void* closure;
    struct FastTask step;   /* work: prepares whatever is due */
    struct FastTask notice; /* tells the user */
    uint32_t references;
    int handle;
    int mode;
    uint32_t largest;     /* payload of a datagram; 0 = not known */
    int error;            /* the first fatal one that says something */
    uint64_t failures[3]; /* of datagrams: a bit for each errno, until told */

    bool tcp;
    bool mptcp;
    bool sctp;
    bool netlink;
    bool local;       /* AF_UNIX */
    bool bundles;     /* receives may fill several buffers at once */
    bool zeroCopies;  /* sends without a copy are known to work */
    bool tellsLength; /* receives tell a message's true length when asked by MSG_TRUNC */
    bool ownShortage; /* ENOBUFS of a receive may be the socket's own, not only a lack of buffers */
    bool file;     /* no socket: read and written */
    bool pipe;     /* … with or without a name */
    bool terminal; /* … */
    bool slow;     /* … whose reads and writes wait although they should not */
    bool threaded; /* … or may be done by a thread of the kernel's */
    bool packets;  /* … whose reads may give a packet each */
    bool readable; /* opened for reading; sockets are */
    bool writable;
    bool connecting;
    bool waitsForAll; /* MSG_WAITALL is known to work for its sends */
    bool failed;      /* error is fatal */
    bool expectsEnd;  /* … and the input will end by itself: the error is told after it */
    bool failureTold; /* POLLERR was delivered */
    bool hangupTold;
    bool shutdown;     /* ShutdownFastSocket was called */
    bool shutdownDone; /* … and carried out */
    bool counted;      /* in GetFastRingPending */
    bool usedZeroCopy;
    bool released;   /* the user's reference is the release's now */
    bool flushTried; /* the send in flight was cancelled once to see whether it moves */
    bool resetting;  /* the close shall be one: no orderly end before it */
    bool claimed;    /* a stream releases it */
    bool shell;      /* nothing is left but memory */
    uint8_t kind;    /* enum FastSocketKind */
    uint8_t stage;   /* enum FastSocketStage */

    struct
    {
        struct FastOperation operation;
        struct FastOperation cancel;
        bool armed;
        bool canceling;
        bool room;    /* the poll in flight waits for room, or the connection; not for the state */
        bool noisy;   /* POLLERR stays on, for an error queue that its user doesn't read: only wake-ups tell */
        bool resting; /* until the retry */
        bool wanted;  /* watch for what a receive does not see */
    } poll;

    struct
    {
        struct FastOperation operation;
        uint32_t flying;
    } trail; /* what starts when the kernel has let go of the file, see FastSocketTrail */

    struct
    {
        int handle;   /* an open file description for us alone, or -1 */
        int relay[2]; /* a pipe, or -1 */
        bool relayed; /* it holds something */
        bool tried;
    } own; /* of a file */

    struct FastTimer timer; /* of the release */
    uint32_t releaseMs;     /* FASTSOCKET_OPTION_RELEASE_TIMEOUT */
    struct FastSocketInbound inbound;
    struct FastSocketOutbound outbound;
    struct FastSocketStatistics statistics;
};

/* ---- socket.c ---- */

void FastSocketInitialize(struct FastSocket* socket);         /* creation: tasks and operations */
void FastSocketDefer(struct FastSocket* socket);              /* runs the step */
void FastSocketNotify(struct FastSocket* socket);             /* tells the user what is due */
void FastSocketFail(struct FastSocket* socket, int error);    /* positive; a stream's or record socket's end */
bool FastSocketFailureIsDue(const struct FastSocket* socket); /* POLLERR can be told now */
void FastSocketFailDatagram(struct FastSocket* socket, int error);
int FastSocketTakeError(struct FastSocket* socket); /* SO_ERROR, positive; 0 = none */
void FastSocketCountPending(struct FastSocket* socket);
bool FastSocketCancelRests(struct FastSocket* socket, const struct io_uring_cqe* completion);
enum
{
    SOCKET_TRAILED = 2, /* entries of an operation with its trail */
};
void FastSocketTrail(struct FastSocket* socket, struct io_uring_sqe* entry); /* behind the entry just reserved; room for it was seen to */
bool FastSocketPrepareCancel(struct FastSocket* socket, struct FastOperation* cancel,
                             const struct FastOperation* target, bool* canceling);

/* ---- socket-kind.c ---- */

int FastSocketFindKind(struct FastSocket* socket);       /* kind and traits; 0, -EOPNOTSUPP, -ENOTSOCK */
int FastSocketFindConnection(struct FastSocket* socket); /* connecting or error; 0, -ENOTCONN */
bool FastSocketRecordsHaveEnded(const struct FastSocket* socket);
bool FastSocketLostMessages(struct FastSocket* socket); /* says a receive's ENOBUFS */

/* ---- socket-control.c ---- */

/* Closes the descriptors in received control data, which would stay open for ever. */
void FastControlCloseHandles(const uint8_t* control, size_t size);

/* ---- socket-receive.c ---- */

void FastSocketInitializeReceive(struct FastSocket* socket);
bool FastSocketStepReceive(struct FastSocket* socket);    /* false: no submission entry free */
void FastSocketBalanceReceive(struct FastSocket* socket); /* after reading, pausing, options */
void FastSocketRetryLimit(struct FastSocket* socket);     /* a reader waits: there may be room below the limit */
void FastSocketTightenReceive(struct FastSocket* socket); /* the ring's limit is reached */
void FastSocketDropInput(struct FastSocket* socket);
void FastSocketEndInput(struct FastSocket* socket);
void FastSocketFailInput(struct FastSocket* socket, int error);
bool FastSocketWantsInput(const struct FastSocket* socket);
void FastSocketTakeInput(struct FastSocket* socket, void* data, size_t length); /* a buffer as the provider's, ours now */

/* … for socket-read.c: chunks and their payload */
uint8_t* FastChunkPayload(const struct FastSocketInbound* inbound, struct FastBuffer* chunk);
size_t FastChunkLength(const struct FastSocketInbound* inbound, struct FastBuffer* chunk);
void FastSocketCountOut(struct FastSocket* socket, size_t length); /* bytes were read */
struct FastBuffer* FastSocketPopChunk(struct FastSocket* socket);  /* the first, the caller's now */
void FastSocketDropChunk(struct FastSocket* socket);               /* the first */

/* ---- socket-record.c: TLS by the kernel ---- */

bool FastSocketStopsAtRecord(struct FastSocket* socket, int error); /* true: a receive's errno that is dealt with */
bool FastSocketRecordIsDue(struct FastSocket* socket);              /* POLLERR is to be told, once */
bool FastSocketDropsWaitAll(struct FastSocket* socket, int error);  /* true: the send is made again without */
bool FastControlIsRecord(const void* control, size_t length);       /* of a record's type: each piece needs it */

/* ---- socket-file.c: what FILE_IO takes beside sockets ---- */

int FastSocketFindFile(struct FastSocket* socket); /* 1: a file, 0: a socket, or negative errno */
bool FastFileIsReadable(int handle);
bool FastFileCancelsItself(const struct FastSocket* socket); /* -ECANCELED may be its own */
void FastSocketPrepareRead(struct FastSocket* socket, struct io_uring_sqe* entry);
bool FastSocketTakeRead(struct FastSocket* socket, const struct io_uring_cqe* completion); /* true: no more to do */
void FastSocketPrepareWrite(struct FastSocket* socket, struct io_uring_sqe* entry, const struct iovec* vector,
                            size_t count, uint64_t position, int flags);
bool FastSocketWritesAgain(struct FastSocket* socket, int error);
bool FastSocketPollsFirst(struct FastSocket* socket); /* no write before a poll for it */
int FastSocketWriteResult(struct FastSocket* socket, int result); /* what the write gave whose completion this is */

/* ---- socket-own.c: files that are read and written without waiting ---- */

void FastSocketInitializeOwn(struct FastSocket* socket);
void FastSocketCloseOwn(struct FastSocket* socket);
bool FastSocketHasOwnFile(struct FastSocket* socket); /* opens it at the first question */
bool FastSocketHasRelay(struct FastSocket* socket);

/* A count, 0 for the end, or negative errno; never waits, never raises a signal. */
ssize_t FastSocketReadOwn(struct FastSocket* socket, void* data, size_t size);
ssize_t FastSocketWriteOwn(struct FastSocket* socket, const struct iovec* vector, size_t count, int flags);
ssize_t FastSocketReadRelay(struct FastSocket* socket, void* data, size_t size);

/* ---- socket-queue.c ---- */

void FastSocketConsume(struct FastSocket* socket, size_t size); /* bytes that the kernel accepted */
void FastSocketPopItem(struct FastSocket* socket);              /* the first item is done */
void FastSocketDropOutput(struct FastSocket* socket);           /* all items that are not in flight */
void FastSocketDropItems(struct FastSocket* socket, bool leak); /* all, at the end of the ring */
void FastSocketFinishCanceled(struct FastSocket* socket);

/* ---- socket-send.c ---- */

void FastSocketInitializeSend(struct FastSocket* socket);
bool FastSocketStepSend(struct FastSocket* socket);

/* ---- socket-result.c ---- */

void FastSocketRetryLater(struct FastSocket* socket); /* sends that hold and receives that rest, after some milliseconds */
void FastSocketHoldOutput(struct FastSocket* socket); /* until then */
void FastSocketEndOutput(struct FastSocket* socket);  /* carries ShutdownFastSocket out, once nothing is queued */

/* ---- socket-zero-copy.c ---- */

void FastSocketLeakBatches(struct FastSocket* socket); /* their completions will never come */

/* ---- socket-release.c ---- */

void FastSocketInitializeRelease(struct FastSocket* socket);
bool FastSocketStepRelease(struct FastSocket* socket);
void FastSocketProgress(struct FastSocket* socket); /* the kernel accepted something */
extern const struct FastRingMemberFunctions FastSocketMember;

#endif
