/*
 * What is queued for sending: shared by socket-queue.c, which makes and frees items, and
 * socket-send.c, which gives them to the kernel.
 *
 * An item lies at the start of a FastBuffer (home), before the bytes that were copied for it, if any:
 * no allocation of its own.
 */
#ifndef FASTSOCKET_SOCKET_ITEM_H
#define FASTSOCKET_SOCKET_ITEM_H

#include "socket/state.h"

enum FastItemKind
{
    ITEM_BYTES,   /* of a stream: gathered with neighbours */
    ITEM_MESSAGE, /* a datagram, a record, bytes with control data, or the user's own send: an operation of its own */
    ITEM_SPLICE,  /* the user's own splice into the socket */
    ITEM_BARRIER, /* the user's own operation that is no send */
    ITEM_MARKER,  /* nothing: gives a POLLOUT when everything before is accepted */
};

struct FastItem
{
    struct FastItem* next;
    struct FastBuffer* home;
    struct FastBuffer* payload; /* owns the bytes; may be home */
    uint8_t* data;              /* the first byte not accepted */
    size_t length;              /* bytes not accepted */
    size_t room;                /* bytes free behind them, for more of the same kind */
    uint32_t messages;
    int flags; /* of sending */
    uint8_t kind;
    bool flying; /* its own operation is in flight */
    bool done;   /* to be taken off */

    /* operations of their own */
    struct FastOperation operation;
    struct FastSocket* socket;
    struct FastRingDescriptor* descriptor;
    struct sockaddr* name;
    void* control;
    socklen_t nameLength;
    uint32_t controlLength; /* 0 when it was sent */
    struct iovec* vector;   /* of a descriptor: our copy, advanced; NULL: data */
    uint32_t vectorFirst;
    uint32_t vectorCount;
    uint64_t position; /* of the user's own write to a file; UINT64_MAX: the file's own */
    int writeFlags;    /* RWF_*, of the same */
    bool ownsRights;   /* descriptors in the control data are our duplicates */
    uint8_t tries;
    uint8_t doubts; /* errnos that may have been an earlier datagram's */
    int doubt;      /* the last one: sent again, it tells whose */
};

/* ---- socket-queue.c, for socket-descriptor.c too ---- */

/* What every transmit asks first. State: 0, -EINVAL (no socket), -EPERM, -EPIPE. Transmit: arguments,
 * then the state, then the limit. */
int FastSocketCheckState(const struct FastSocket* socket);
int FastSocketCheckTransmit(const struct FastSocket* socket, const void* address, socklen_t length,
                            size_t size, int flags);

/* An item in a buffer of its own, with room for size bytes behind it; NULL without memory. */
struct FastItem* FastItemMake(struct FastSocket* socket, uint8_t kind, size_t size);
void FastItemFree(struct FastItem* item);
void FastItemAppend(struct FastSocket* socket, struct FastItem* item);

/* Those of a call's flags that its item keeps. */
int FastItemFlags(int flags);

/* Moves an item's beginning over bytes that the kernel accepted. */
void FastItemAdvance(struct FastItem* item, size_t count);

/* ---- socket-control.c ---- */

/* Duplicates the descriptors in an item's copied control data, in place. 0, -EBADF, -EMFILE, -EINVAL. */
int FastItemDuplicateRights(struct FastItem* item);

/* Closes the duplicates, once they were sent or will not be. */
void FastItemCloseRights(struct FastItem* item);

/* ---- socket-result.c ---- */

/* Completions: of a stream's send, a message's, a splice's, and the user's own operation's. */
void FastSocketSent(struct FastOperation* operation, const struct io_uring_cqe* completion);
void FastItemSent(struct FastOperation* operation, const struct io_uring_cqe* completion);
void FastItemSpliced(struct FastOperation* operation, const struct io_uring_cqe* completion);
void FastItemPassed(struct FastOperation* operation, const struct io_uring_cqe* completion);

bool FastSocketRetry(struct FastTask* task); /* the function of FastSocketRetryLater's */

/* Whether sends are never made to wait in the kernel. */
bool FastSocketWaitsForPeer(const struct FastSocket* socket);

/* Tells what an earlier datagram left behind; before one is sent again to see whose errno it has met. */
void FastSocketClearErrors(struct FastSocket* socket);

/* What the kernel accepted, or the errno: of a message, or (NULL) of a stream's one send. */
void FastSocketFinishSend(struct FastSocket* socket, struct FastItem* message, int result, bool zeroCopy);

/* ---- socket-zero-copy.c ---- */

/* Whether to try; counts the operations of a rest down. vector: the send has a message header. */
bool FastZeroCopyIsChosen(struct FastSocket* socket, size_t size, int flags, bool vector);

/* Keeps the payloads of count items, from the first, until the kernel gives their memory back. Returns
 * the operation to submit; its first completion comes by FastSocketFinishSend. NULL without memory. */
struct FastOperation* FastZeroCopyBegin(struct FastSocket* socket, struct FastItem* message,
                                        const struct FastItem* items, uint32_t count);

/* Whether a failure is zero copy's alone: then the same goes out by copying. */
bool FastZeroCopyFallsBack(struct FastSocket* socket, int error);

/* Flags that make bytes an operation of their own kind: neighbours must have the same. */
enum
{
    ITEM_KIND_FLAGS = MSG_EOR | MSG_OOB | MSG_CONFIRM | MSG_DONTROUTE | MSG_ZEROCOPY,
};

#endif
