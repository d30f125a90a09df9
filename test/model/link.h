/*
 * Links: pairs of which one end or both are sockets of the library, as the model sees them.
 *
 * link.c has their life and what is expected of them, plain.c the ends that are no sockets of the
 * library, link-step.c the steps.
 */
#ifndef TEST_MODEL_LINK_H
#define TEST_MODEL_LINK_H

#include "model.h"

enum ModelKind
{
    MODEL_TCP,
    MODEL_UNIX,
    MODEL_SEQPACKET,
    MODEL_UNIX_DATAGRAM,
    MODEL_UDP,
    MODEL_PIPE_IN,  /* ours reads */
    MODEL_PIPE_OUT, /* ours writes */
    MODEL_KINDS,
};

enum
{
    LINKS = 10,
    SIZES = 256, /* messages on their way, at most */
    ERRORS = 8,
    SCRATCH = 4 << 20,
};

#define ENDLESS UINT64_MAX

/* What a handler does once, at an event. */
enum Action
{
    ACTION_NONE,
    ACTION_RELEASE,
    ACTION_ABORT,
    ACTION_PAUSE,
    ACTION_TRANSMIT,
    ACTION_ECHO, /* from now on it sends as much as it takes */
    ACTION_RELEASE_OTHER,
    ACTION_COUNT,
};

struct End
{
    struct Link* link;
    struct End* other;
    struct FastSocket* socket; /* ours, until its release */
    int handle;                /* a plain end, or -1 */
    bool ours;
    bool sends;    /* its descriptor can be written */
    bool receives; /* and read */

    /* Output. A unit is a byte, or a message. */
    uint64_t queued;      /* units that the program has given */
    uint64_t queuedBytes; /* the same in bytes */
    uint64_t written;     /* of a plain end: units that the system has */
    uint64_t writtenBytes;
    uint32_t sizes[SIZES]; /* of the last messages */
    uint32_t pieces;       /* transmits since the other end had all */
    bool echoed;           /* echoes among them */
    bool shut;             /* the program has ended its output */
    bool told;             /* of a plain end: and the system knows */
    bool owed;             /* of ours: POLLOUT must come */

    /* Input. */
    uint64_t taken; /* units that the program has */
    uint64_t takenBytes;
    uint64_t knownTaken; /* as of the last write at which that was certain */
    uint64_t knownBytes;
    uint64_t allowance; /* units that the program wants, in all */
    bool sawEnd;        /* of a plain end: input has ended, with */
    int endError;       /* this errno */
    uint64_t floor;     /* while paused: units that are certainly in the queue */

    /* State. */
    bool gone;      /* the program has let go of it: released, aborted, closed, reset */
    bool dropped;   /* and in a way that loses what is on its way */
    bool paused;
    bool stopped;   /* may be at the high mark, or hung up on its way down */
    bool lossy;     /* some of the other's output may be lost */
    bool resumed;   /* since the last write */
    bool echoes;
    bool silent;    /* ours, without a handler */
    bool broken;    /* a transmit has met a peer that is gone: POLLERR must come */
    bool vague;     /* which errno that has depends on how far it came */
    bool endKnown;  /* the other end has ended its output: POLLHUP must come, with an error if */
    bool resetKnown; /* it was a reset */
    bool wasCertain; /* at the last write */
    bool outWasCertain;
    bool loose; /* this epoch: how often POLLOUT comes depends on handlers */

    /* How it was made. */
    struct Pool* pool;
    size_t header; /* bytes of a buffer before the payload */
    bool headed;   /* with a message header */
    bool zeroCopy;
    bool byBuffer; /* input is taken by buffers */
    uint64_t high;
    uint64_t low;
    uint64_t turnLimit;
    size_t unread; /* when it was looked at last */
    int handler; /* which of the functions is set */

    /* Events since the last write. */
    int in;
    int out;
    int errors[ERRORS];
    int errorCount;
    int hup; /* errno, or -1 */
    int reacted;

    /* Events in all. */
    int fatal;
    bool hungUp;

    struct
    {
        int event;
        enum Action action;
        uint32_t argument;
    } reaction;
};

struct Link
{
    struct End ends[2];
    enum ModelKind kind;
    uint32_t serial;
    bool used;
    bool small; /* buffers of the system */
    bool racy;  /* what its ends see is not certain any more */
    bool dirty; /* something was done to it since the last synchronization */
    bool reactive; /* since the last synchronization: its handlers may do something in a turn */
    /* For a connection that a listener hands over, or has since the last synchronization: no steps
     * before the next. */
    bool claimed;
    bool touched;  /* since the last synchronization, by a step or an event */
    bool clearing; /* its place is wanted: plain ends are to close */
};

extern struct Link links[LINKS];
extern uint8_t scratch[SCRATCH];

struct Making
{
    enum ModelKind kind;
    bool both;   /* ends are ours */
    bool headed;
    bool small;
    bool silent;
    bool byBuffer;
    int mode;
    uint32_t limit;
    int pool;
};

static inline bool hasMessages(const struct Link* link)
{
    return (link->kind == MODEL_SEQPACKET) || (link->kind == MODEL_UNIX_DATAGRAM) ||
           (link->kind == MODEL_UDP);
}

/* Its ends hear of each other's end. */
static inline bool isConnection(const struct Link* link)
{
    return (link->kind != MODEL_UNIX_DATAGRAM) && (link->kind != MODEL_UDP);
}

static inline bool isPipe(const struct Link* link)
{
    return (link->kind == MODEL_PIPE_IN) || (link->kind == MODEL_PIPE_OUT);
}

static inline unsigned whoIs(const struct End* end)
{
    return (unsigned)((end->link - links) * 2 + (end == &end->link->ends[1]));
}

/* Where the pattern of an end's output begins. */
static inline uint64_t baseOf(const struct End* end)
{
    return (uint64_t)(end->link->serial * 2 + (end == &end->link->ends[1])) << 40;
}

const char* nameModelKind(enum ModelKind kind);

/* ---- link.c ---- */

void makeLink(struct Link* link, const struct Making* making);

/* The same of descriptors that are connected already. */
void adoptLink(struct Link* link, const struct Making* making, int handles[2]);
bool isUsable(const struct End* end); /* ours, and not released */
bool isCertain(const struct End* end);
/* What is on its way certainly finds room in the system; as of what the other end has taken by now,
 * which is not the same on all engines, or had at the last write at which that was certain. */
bool fits(const struct End* end);
bool hasFitted(const struct End* end);
bool isOutCertain(const struct End* end);
bool mayComeAnyTime(const struct End* end, int event); /* in which turn is not certain */
uint64_t pendingOf(const struct End* end); /* units that the other end has sent, not taken */

/* Units were queued at an end. */
void addQueued(struct End* end, size_t size);
void considerMarks(struct End* end);

/* Takes as much as is wanted and there. */
void consume(struct End* end);
int transmit(struct End* end, size_t size, uint32_t how);
/* Has no handle any more. What the other may hear of it is told in no certain turn. */
void leave(struct End* end);
void letGo(struct End* end, bool abort);
void letGoInOrder(struct End* end); /* by a release, where that comes to its end */

/* What its ends see is not certain any more. */
void makeRacy(struct Link* link);

/* The functions that events may go to. */
extern const HandleFastSocketEvent handlers[2];

/* Looks at a message, or a part of a stream, that has come. */
void checkInput(struct End* end, const void* data, size_t size, size_t whole);
size_t sizeOfNext(const struct End* end); /* of the next message */

/* Buffers that the program keeps for a while. */
void keepBuffer(struct FastBuffer* buffer, const void* data, size_t size, uint64_t position);
void dropKept(uint32_t index);
void noteReactive(void); /* what handlers may do was changed, or is certain again */
bool isReactive(const struct Link* link);
extern bool keeps; /* input that is taken by buffers is kept */

/* ---- plain.c ---- */

void openPlain(struct Link* link, const struct Making* making, int handles[2]);
void openListening(void);
void closeListening(void);
bool pumpPlain(struct End* end, bool all); /* as the parts' function */
const char* missingPlain(struct End* end);
void writePlain(struct End* end);
void closePlain(struct End* end, bool reset);
extern bool signalExpected; /* SIGPIPE of our own writes */

#endif
