/*
 * What a file has beside what every socket has.
 */
#ifndef FASTSOCKET_SOCKET_KIND_FILE_STATE_H
#define FASTSOCKET_SOCKET_KIND_FILE_STATE_H

#include "socket/kind.h"

#define FAST_FILE_HERE UINT64_MAX /* offset of an operation: the file's own position */

enum FastFileState
{
    FAST_FILE_READS_ONCE = 1 << 0,   /* no multishot reads */
    FAST_FILE_POLLS = 1 << 1,        /* a poll comes before each read */
    FAST_FILE_READY = 1 << 2,        /* that poll has come: a read is next */
    FAST_FILE_POLLED = 1 << 3,       /* the read in flight came after a poll */
    FAST_FILE_TRAILS = 1 << 4,    /* operations may be done by a thread of the kernel's */
    FAST_FILE_WRITES_APART = 1 << 5, /* a pipe that the ring can't write without waiting */
    FAST_FILE_WRITTEN = 1 << 6,      /* the write was made already, and gave result */
    FAST_FILE_RELAYED = 1 << 7,      /* the relay holds something */
    FAST_FILE_TRIED = 1 << 8,        /* own was asked for, and is there or will never be */
};

/* What is in flight for reading. */
enum FastFileForm
{
    FAST_FILE_READ,
    FAST_FILE_READ_MULTISHOT,
    FAST_FILE_POLL,
    FAST_FILE_POLL_OWN, /* to be followed by a read of our own */
    FAST_FILE_RELAY,    /* a splice into the relay */
};

enum
{
    FAST_FILE_PARTS = 16, /* of a write */
};

struct FastFileSocket
{
    struct FastSocket socket;
    /* Of the write in flight: kernels before 6.12 may read it again in a thread of theirs. */
    struct iovec parts[FAST_FILE_PARTS];
    ssize_t result; /* of the write that was made already */
    int own;        /* an open file description for us alone, or -1 */
    int relay[2];   /* a pipe, or -1 */
    uint16_t state; /* FAST_FILE_* */
    uint8_t form;   /* enum FastFileForm */
};

/* The file that a socket of FastKindFile is. */
static inline struct FastFileSocket* FastFile(const struct FastSocket* socket)
{
    return FAST_CONTAINER(socket, struct FastFileSocket, socket);
}

/* A pipe, with or without a name: where a write may raise SIGPIPE. */
static inline bool FastFileIsPipe(const struct FastSocket* socket)
{
    return FastSocketHas(socket, FAST_TRAIT_PIPE);
}

/* Where a job in the background is stopped, and where nothing can be had without waiting but by a
 * call of our own. */
static inline bool FastFileIsTerminal(const struct FastSocket* socket)
{
    return FastSocketHas(socket, FAST_TRAIT_TERMINAL);
}

#endif
