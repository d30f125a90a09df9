/*
 * Files that are memory: sockets of several kinds, pipes, listening sockets, and what wakes a loop.
 *
 * A connection is two files, one of which has a descriptor of the simulation's; the other one is
 * played by plain calls. Both ends are alike, so that a send is what is written into the queue of
 * the other end. Files know nothing of time, and nothing of who waits: each change calls a function
 * with the POLL* bits that somebody may wait for.
 */
#ifndef TEST_SIMULATION_MEMORY_FILE_H
#define TEST_SIMULATION_MEMORY_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum MemoryKind
{
    MEMORY_NONE,
    MEMORY_TCP,
    MEMORY_LOCAL,           /* AF_UNIX, bytes */
    MEMORY_RECORDS,         /* AF_UNIX, seqpacket */
    MEMORY_LOCAL_DATAGRAMS, /* AF_UNIX, connected to one another */
    MEMORY_UDP,
    MEMORY_PIPE,
    MEMORY_LISTENER,
    MEMORY_EVENT, /* a counter of 8 bytes */
    MEMORY_KINDS,
};

enum
{
    MEMORY_FILES = 192,
    MEMORY_BYTES = 1 << 16, /* of a queue, at most */
    MEMORY_PIECES = 64,     /* of a queue: messages, or what has come together */
    MEMORY_RIGHTS = 3,      /* files that go with a piece */
    MEMORY_DEEPNESS = 16,   /* connections that wait for an accept */
};

/* What was sent by one call, or bytes that nothing keeps apart. */
struct MemoryPiece
{
    uint32_t size;
    uint16_t port; /* of who has sent it */
    uint8_t rights;
    struct MemoryFile* files[MEMORY_RIGHTS];
};

struct MemoryFile
{
    enum MemoryKind kind;
    uint32_t references;     /* descriptors, pieces that it lies in, and the test's own */
    struct MemoryFile* peer; /* NULL: none, or gone */
    uint16_t port;           /* of UDP */
    uint32_t capacity;       /* bytes that may lie in its queue */
    bool reads, writes;      /* a pipe's end does one of them */
    bool inputEnded;         /* the peer sends no more, or nothing is to be received */
    bool outputEnded;
    bool closed; /* the connection is no more */
    bool connecting;
    bool unconnected; /* no connect has been begun */
    bool fragile;     /* what lies in its queue is lost when the other end resets */
    bool errorQueue;  /* something is in it, which nobody reads */
    uint32_t lost;    /* datagrams that had no room here */
    int error;        /* that the next call tells */
    int lasting;      /* of datagrams: what each send gives, as a firewall would */

    /* options */
    bool lingersNot; /* SO_LINGER with 0: a close resets */
    bool passesCredentials;
    bool joins; /* UDP_GRO */

    struct
    {
        uint32_t first; /* piece */
        uint32_t count;
        uint32_t start; /* byte */
        uint32_t length;
        struct MemoryPiece pieces[MEMORY_PIECES];
    } queue;
    struct
    {
        uint32_t count;
        struct MemoryFile* files[MEMORY_DEEPNESS];
    } backlog;
    uint64_t counter;
    uint8_t* bytes; /* MEMORY_BYTES of them */
};

/* What comes with data, or goes with it. */
struct MemoryExtra
{
    uint32_t rights;
    struct MemoryFile* files[MEMORY_RIGHTS]; /* each with a reference */
    uint16_t port;                           /* where it goes, or comes from; 0: the peer */
    bool cut;                                /* the message was longer than there was room for */
    size_t size;                             /* of the message */
};

/* Somebody may wait for one of these bits. */
extern void (*memoryWakes)(struct MemoryFile* file, uint32_t events);

/* All files are forgotten; those that are used are counted. */
void memoryBegin(void);
uint32_t memoryCountFiles(void);

/* A file with one reference; fails the schedule when there are too many. */
struct MemoryFile* memoryOpen(enum MemoryKind kind, uint32_t capacity);
void memoryJoin(struct MemoryFile* one, struct MemoryFile* other);
void memoryHold(struct MemoryFile* file);
/* The last reference closes it, and its peer hears of that. */
void memoryDrop(struct MemoryFile* file);

bool memoryIsMessages(const struct MemoryFile* file);
bool memoryIsDatagrams(const struct MemoryFile* file);
bool memoryIsConnection(const struct MemoryFile* file);
/* Of UDP; NULL: nobody has it. */
struct MemoryFile* memoryFindPort(uint16_t port);

/* As the system's calls that don't wait: bytes or a negative errno. peek: MSG_PEEK. Without extra
 * what comes with the data is lost, and files are dropped. */
ssize_t memoryReceive(struct MemoryFile* file, const struct iovec* vector, size_t count, bool peek,
                      struct MemoryExtra* extra);
ssize_t memorySend(struct MemoryFile* file, const struct iovec* vector, size_t count,
                   const struct MemoryExtra* extra);

/* For memory-transfer.c: the first piece is gone; the connection is no more; whether there is so
 * much room that who waits for some goes on. */
void memoryDropPiece(struct MemoryFile* file);
void memoryDie(struct MemoryFile* file, int error);
bool memoryHasPlace(const struct MemoryFile* file);

/* POLL* bits that hold. */
uint32_t memoryLook(const struct MemoryFile* file);

/* SHUT_*; the connection's end by a reset, with the errno that the other end, or this one, has. */
int memoryShutdown(struct MemoryFile* file, int how);
void memoryReset(struct MemoryFile* file);
void memoryBreak(struct MemoryFile* file, int error);

/* Takes the error that is pending, positive. */
int memoryTakeError(struct MemoryFile* file);

#endif
