/*
 * What differs between kinds of sockets: a table of functions for each.
 *
 * Kinds know the descriptor and the two queues. They say what a completion means, as a verdict with
 * its reason beside it, and call nothing above: receive.c and sent.c carry verdicts out. A new kind
 * of descriptor is a table, its line in kind-find.c, and its test.
 */
#ifndef FASTSOCKET_SOCKET_KIND_H
#define FASTSOCKET_SOCKET_KIND_H

#include "socket/core.h"

enum FastVerdict
{
    FAST_VERDICT_DATA,       /* bytes came, or were accepted */
    FAST_VERDICT_TAKEN,      /* bytes came, and are in the queue already */
    FAST_VERDICT_NOTHING,    /* nothing for the user: the same again */
    FAST_VERDICT_ROOM,       /* the same again when there is room */
    FAST_VERDICT_POLL,       /* the same again after a poll of ours */
    FAST_VERDICT_BACKOFF,    /* the same again after a while */
    FAST_VERDICT_CONNECT,    /* the same again when the connection is made, which it has begun */
    FAST_VERDICT_CANCELED,   /* by us, or unexpectedly */
    FAST_VERDICT_NO_BUFFERS, /* the provider had none */
    FAST_VERDICT_RECORD,     /* what comes next only the user can take; value says why */
    FAST_VERDICT_END,        /* of input */
    FAST_VERDICT_FAIL,       /* the socket has failed */
    FAST_VERDICT_FAIL_ONE,   /* one message has */
};

struct FastAnswer
{
    enum FastVerdict verdict;
    int value; /* bytes, with DATA of a send; else a positive errno, or 0 */
};

/* What one transmit brings. */
struct FastParts
{
    const void* name;
    socklen_t nameLength;
    const void* control;
    size_t controlLength;
    const struct iovec* vector;
    size_t size;
    struct FastBuffer* buffer; /* owns the bytes, and is handed over; NULL: they are copied */
};

struct FastSend;

/* Operations of users that send, as a set of IORING_OP_*. */
#define FAST_OPCODE(opcode) (UINT64_C(1) << (opcode))
#define FAST_OPCODES_WRITE                                          \
    (FAST_OPCODE(IORING_OP_WRITE) | FAST_OPCODE(IORING_OP_WRITEV) | \
     FAST_OPCODE(IORING_OP_WRITE_FIXED) | FAST_OPCODE(IORING_OP_SPLICE))
/* What a stream takes for bytes without more. */
#define FAST_OPCODES_BYTES                                                                \
    (FAST_OPCODE(IORING_OP_SEND) | FAST_OPCODE(IORING_OP_SEND_ZC) |                       \
     FAST_OPCODE(IORING_OP_WRITE) | FAST_OPCODE(IORING_OP_WRITE_FIXED))

#define FAST_OPCODES_SEND                                                                \
    (FAST_OPCODES_WRITE | FAST_OPCODE(IORING_OP_SEND) | FAST_OPCODE(IORING_OP_SENDMSG) | \
     FAST_OPCODE(IORING_OP_SEND_ZC) | FAST_OPCODE(IORING_OP_SENDMSG_ZC))

/* What creation has found out of a descriptor. */
struct FastFinding
{
    const struct FastKind* kind;
    uint32_t traits;     /* FAST_TRAIT_* */
    uint32_t largest;    /* payload of a message; 0 = not known */
    uint16_t fileState;  /* of a file, for its initialize */
    uint16_t maxWrites;  /* of a file: writes that may be put together; 0 = any number */
    uint8_t connection;  /* enum FastConnection */
    uint8_t tcpState;    /* when it was looked at; 0 = it is not of TCP */
    uint16_t error;      /* of a connection that has failed already */
};

struct FastKind
{
    const char* name;  /* for programs that look */
    uint32_t traits;   /* that all of the kind have */
    /* Enum FastInboundLayout, of what is received without a header of the user's. */
    uint8_t layout;
    size_t size;       /* of the memory that starts with its struct FastSocket */
    int readFlags;     /* that ReceiveFastSocketData takes */
    uint32_t mostParts; /* that a gathered send has; 0: as many as the system takes */
    uint64_t ownSends; /* FAST_OPCODE of what TransmitFastSocketDescriptor takes with a buffer */
    uint64_t ownBytes; /* those of them whose bytes, in one piece, are like any others */

    /* What a socket of the kind has of its own. 0 or negative errno. NULL: nothing. */
    int (*initialize)(struct FastSocket* socket, const struct FastFinding* finding);

    /* Reserves an entry (FastArmedReserve) and fills it with the next receive. false: no room. */
    bool (*prepareReceive)(struct FastSocket* socket);

    /* What a completion of it means. Its buffer, if it has one, is real. DATA: its bytes go to the
     * queue. */
    struct FastAnswer (*classifyReceive)(struct FastSocket* socket,
                                         const struct io_uring_cqe* completion);

    /* Reads from the inbound queue: a count, 0 or negative errno. */
    ssize_t (*read)(struct FastSocket* socket, uint8_t* data, size_t size, int flags);

    /* Whether flags, address and size are such that it may be sent: 0 or negative errno. */
    int (*checkSend)(const struct FastSocket* socket, const struct FastParts* parts, int flags);

    /* Queues it. 0, or negative errno with nothing queued and nothing taken over. */
    int (*append)(struct FastSocket* socket, const struct FastParts* parts, int flags);

    /* Submits what may go out of the queue, whose first item is a send. false: no room. */
    bool (*startSend)(struct FastSocket* socket);

    /* Fills an entry with a send. */
    void (*prepareSend)(struct FastSocket* socket, struct io_uring_sqe* entry,
                        const struct FastSend* send);

    /* What its result means. DATA: that many bytes were accepted. */
    struct FastAnswer (*classifySend)(struct FastSocket* socket, struct FastFlight* flight,
                                      int result);

    /* Keeps one message's error, and gives the next one out that is to be reported; 0 = none. NULL
     * where errors are final. */
    void (*keepError)(struct FastSocket* socket, int error);
    int (*nextError)(struct FastSocket* socket);

    /* Whether the next send has to wait for a poll of ours, since it might block. NULL: never. */
    bool (*pollsFirst)(struct FastSocket* socket);

    /* Ends the connection for everyone, before the descriptor is closed. NULL: there is nothing to
     * end. */
    void (*end)(struct FastSocket* socket, bool reset);

    /* Gives back what it has beside the descriptor. NULL: nothing. */
    void (*close)(struct FastSocket* socket);
};

/* A verdict with its value. */
static inline struct FastAnswer FastAnswer(enum FastVerdict verdict, int value)
{
    return (struct FastAnswer){.verdict = verdict, .value = value};
}

#endif
