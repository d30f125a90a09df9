/*
 * The state of the engine in user space, for its own files.
 */
#ifndef FASTSOCKET_ENGINE_SOFT_STATE_H
#define FASTSOCKET_ENGINE_SOFT_STATE_H

#include "engine/engine.h"
#include "engine/system.h"

/* Where an operation is. */
enum FastSoftPlace
{
    FAST_SOFT_NOWHERE, /* being run, or not in flight */
    FAST_SOFT_QUEUED,  /* to be run */
    FAST_SOFT_LATER,   /* to be run by the next enter */
    FAST_SOFT_WAITING, /* for its descriptor */
    FAST_SOFT_LINKED,  /* behind another, which is to be over first */
    FAST_SOFT_SLOW,    /* the system does it, and tells when it is over */
    FAST_SOFT_STARVING, /* in the line of its group, for a buffer */
    FAST_SOFT_LOOKING, /* for a time, see soft-look.h */
};

/* What is known of an operation, a sum. */
enum FastSoftState
{
    FAST_SOFT_HELD = 1,      /* its descriptor may be closed while it is in flight */
    FAST_SOFT_OWN = 2,       /* handle is a duplicate of ours */
    FAST_SOFT_KEPT = 4,      /* address is a copy of ours: struct FastSoftCopy */
    FAST_SOFT_CANCELED = 8,  /* to be completed so when there is room */
    FAST_SOFT_DRAINED = 16,  /* the last try has found nothing, rather than less than it wanted */
    FAST_SOFT_FOUND = 32,    /* in the table of owners */
    FAST_SOFT_STARTED = 64,  /* it has begun: a connect, a poll that comes first */
    FAST_SOFT_SHORT = 128,   /* of what should be whole a part is done: breaks the link */
    FAST_SOFT_WAITED = 256,  /* for its descriptor, which is watched for it */
    FAST_SOFT_TAKEN = 512,   /* extra is the number of a buffer that it has */
    FAST_SOFT_SMALL = 1024,  /* nothing of it from address on is there; as long as its memory is */
    FAST_SOFT_OWN_SOURCE = 2048, /* of a splice: extra, what it reads from, is a duplicate, too */
    FAST_SOFT_DECIDED = 4096,    /* number is the result with which it is to end */
    FAST_SOFT_SERVED = 8192,     /* it has stood in a line, and had its turn */
    FAST_SOFT_LOOKED = 16384,    /* the time of its next look is known */
};

/*
 * An operation in flight: what is needed of its entry, and where it is.
 *
 * Each idle connection has one, so that it is small: operations name each other by numbers of half
 * a pointer's size (FastSoftAt), and those that idle connections have are without the last part.
 */
struct FastSoftOperation
{
    union
    {
        uint64_t owner;                     /* user_data */
        struct FastSoftOperation* nextFree; /* not in flight: the next that isn't */
    };
    uint32_t self;      /* its number, as long as its memory is there */
    uint32_t next;      /* in the circle of a node, or in a queue */
    uint32_t sameOwner; /* the next of a chain in the table of owners, or 0 */
    int32_t handle;
    uint32_t length;
    uint32_t options; /* msg_flags, rw_flags, poll events, and so on */
    int32_t extra;    /* splice_fd_in and its namesakes; of a poll: events that have come */
    uint32_t done;    /* bytes; of a poll with FAST_SOFT_OWN: the descriptor that was submitted */
    uint16_t group;
    uint16_t state;
    uint8_t priority; /* the flags that ioprio has */
    uint8_t opcode;
    uint8_t flags; /* IOSQE_* */
    uint8_t place;

    /* Not with FAST_SOFT_SMALL: */
    uint64_t address;
    uint64_t offset;
    uint32_t linked; /* behind this one, or 0 */
    int32_t number;  /* of FAST_SOFT_OWN: what was submitted, but of polls; FAST_SOFT_DECIDED */
};

/* What becomes of an operation that was tried. */
enum FastSoftOutcome
{
    FAST_SOFT_OVER, /* completed; it is gone */
    FAST_SOFT_WAIT, /* until its descriptor is ready */
    FAST_SOFT_LOOK, /* for a time, since nothing else tells when it can go on */
    FAST_SOFT_MORE, /* the next enter goes on with it */
    FAST_SOFT_BEGUN, /* the system goes on with it */
    FAST_SOFT_STARVE, /* until its group has a buffer for it */
};

/* A descriptor that somebody waits for, or has. */
struct FastSoftNode
{
    uint32_t last;       /* of the circle of those who wait */
    uint32_t generation; /* of the watch: older events are others' */
    uint16_t watched;    /* POLL* bits */
    uint8_t lasting;     /* FAST_SOFT_NODE_* */
    uint8_t burst;       /* messages that came together lately */
};

enum
{
    FAST_SOFT_NODE_WATCHED = 1,
    FAST_SOFT_NODE_ENDED = 2,  /* input has ended, or something else is to be read to its end */
    FAST_SOFT_NODE_SHORT = 4,  /* less came than there was room for, once */
    FAST_SOFT_NODE_ASKED = 8,  /* what kind it is is known: */
    FAST_SOFT_NODE_BYTES = 16, /* FAST_SYSTEM_TCP, */
    FAST_SOFT_NODE_DATAGRAMS = 32, /* FAST_SYSTEM_DATAGRAMS, or neither */
};

/* Operations in a row. */
struct FastSoftQueue
{
    struct FastSoftOperation* first; /* NULL: none */
    struct FastSoftOperation* last;
};

/* An operation that is tried again when its time has come. */
struct FastSoftLook
{
    int64_t due; /* nanoseconds, of the system's clock */
    uint32_t interval; /* nanoseconds until the next one, the last time */
    uint32_t operation;
};

struct FastSoftGroup
{
    struct io_uring_buf_ring* ring;
    struct FastSoftQueue line; /* receives of many that wait for a buffer */
    uint32_t mask;
    uint32_t taken; /* completions up to that which tells of the last entry taken, modulo 2^32 */
    uint32_t told;  /* the enter in which a receive has ended last since there was no buffer */
    uint16_t id;
    uint16_t head; /* entries taken, modulo 65536 */
};

enum
{
    FAST_SOFT_EVENTS = 256,    /* of one wait */
    FAST_SOFT_CHUNK = 64,      /* nodes: allocated together */
    FAST_SOFT_BYTES = 4096,    /* numbers of operations that are allocated together */
    FAST_SOFT_COMPLETIONS = 2, /* of one step: there must be room for so many */
};

struct FastSoft
{
    struct FastEngine base;
    struct FastSystem* system;
    unsigned submissionHead;
    unsigned completionHead;
    unsigned completionTail;
    unsigned completionFlags;
    bool skipped; /* the last enter did not wait, since there were completions */

    struct FastSoftQueue queue;      /* to be run */
    struct FastSoftQueue later;      /* by the next enter */
    struct FastSoftOperation* chain; /* the last of a chain that is still being submitted */
    struct FastSoftOperation* head;  /* the first of it */
    uint64_t* held;                  /* a bit for each entry of the submission array */

    struct
    {
        char** chunks;                     /* the first has nothing, so that no number is 0 */
        uint32_t chunkCount;
        struct FastSoftOperation* free[2]; /* the second: small ones */
        uint32_t* owners;                  /* a power of two of chains */
        uint32_t mask;
        uint32_t count; /* in the table */
    } operations;

    struct
    {
        struct FastSoftNode** chunks;
        uint32_t count; /* chunks */
        uint32_t generation;
    } nodes;

    struct
    {
        struct FastSoftGroup* array;
        uint32_t count;
        uint32_t starving; /* operations in their lines */
        bool canceled;     /* some of these are */
    } groups;

    struct
    {
        struct FastSoftLook* array;
        uint32_t count;
        uint32_t room;
    } looks; /* the time of the next one is base.due */

    unsigned slow;      /* operations that the system does */
    bool slowLeft;      /* some of them may be over, and there was no room for their completions */
    uint64_t wakeValue; /* what is read of the wake handle */
    struct FastSoftCopy* copies; /* unused ones, of the usual size */
    struct FastSystemEvent events[FAST_SOFT_EVENTS];
};

/* Whether an entry was marked by FastEngineFunctions.hold. */
static inline bool FastSoftIsHeld(const struct FastSoft* soft, unsigned place)
{
    place &= soft->base.submission.mask;
    return soft->held[place / 64] & UINT64_C(1) << place % 64;
}

/* Completions for which there is room. */
static inline unsigned FastSoftRoom(const struct FastSoft* soft)
{
    return soft->base.completion.mask + 1 - (soft->completionTail - soft->completionHead);
}

#endif
