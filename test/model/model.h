/*
 * The random model test: steps that follow from a seed, on a world of one ring, and what of it is
 * the same on every engine.
 *
 * A step is made of a seed and its number alone, so that it does the same whichever of those before
 * it are left out. Steps come in batches; behind each batch the ring runs until what the model
 * expects has come, and nothing more does. Then each part of the world writes into the trace what
 * its users have seen since.
 *
 * What is in the trace is promised: it is the same for every engine. What is not promised (into how
 * many pieces input falls, how much a full socket takes, in which turn something comes) is left
 * out, or written when it is certain again; each part says at its top what that is.
 */
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

#include "chance.h"
#include "fixture.h"

/* ---- the trace ---- */

enum Fact
{
    FACT_WORLD,    /* what the episode was made with: who is the what, value */
    FACT_IN,       /* POLLIN came */
    FACT_OUT,      /* POLLOUT: how often */
    FACT_ERR,      /* POLLERR: errno */
    FACT_HUP,      /* POLLHUP: errno */
    FACT_TAKEN,    /* bytes or messages that the program has, in all */
    FACT_UNREAD,   /* bytes in the queue */
    FACT_REACTED,  /* what a handler was asked to do once, it did */
    FACT_OWN,      /* a socket's own operation completed: result */
    FACT_PEER,     /* bytes or messages that the plain end has, in all */
    FACT_PEER_END, /* the plain end has met the end: errno, 0 */
    FACT_TRANSMIT, /* result of a transmit */
    FACT_RECEIVE,  /* result of a receive outside of a handler */
    FACT_CALL,     /* result of another call */
    FACT_ACCEPT,   /* connections that a listener has handed over */
    FACT_CLIENT,   /* what became of a connection that nobody took: errno */
    FACT_WATCH,    /* all bits that a watch has reported */
    FACT_EVENT,    /* the last parameter of an event */
    FACT_TIMEOUT,  /* a timeout's function ran */
    FACT_FLUSH,    /* a flush handler ran */
    FACT_RAW,      /* result of a raw operation */
    FACT_RAW_MORE, /* completions with more to come: all bits, or all bytes */
    FACT_END,      /* at the end of the episode */
    FACT_COUNT,
};

struct Entry
{
    uint32_t step;
    uint16_t fact;
    uint16_t who;
    int64_t value;
};

enum
{
    REPORT_ENTRIES = 1 << 20,
    REPORT_TEXT = 4000,
    REPORT_STEPS = 1 << 16, /* whose places are known */
};

/* What a run tells its parent, in memory that both have. */
struct Report
{
    uint32_t step;  /* the running one */
    uint32_t steps; /* that were not left out */
    uint32_t acted; /* of these, that did something: what is drawn may not be possible just now */
    uint32_t syncs;
    uint32_t entries;
    bool done;
    bool late; /* something that is bounded by time was delayed for long */
    char text[REPORT_TEXT]; /* what went wrong */
    uint8_t places[REPORT_STEPS]; /* what each step was about, plus 1 */
    struct Entry trace[REPORT_ENTRIES];
};

extern struct Report* report;

void note(enum Fact fact, unsigned who, int64_t value);
/* What the running step is about: a number below 255, of a part's own. */
void notePlace(unsigned place);
const char* nameFact(enum Fact fact);

/* Speaks of what the step does, where the run was asked to. */
void say(const char* format, ...) __attribute__((format(printf, 1, 2)));

/* ---- the world ---- */

struct Pool
{
    struct FastRingBufferProvider* provider;
    uint32_t length; /* of a buffer */
    uint32_t count;
};

enum
{
    POOLS = 2, /* one with room, one that is short */
};

struct World
{
    struct FastRing* ring;
    struct FastBufferPool* inbound;
    struct FastBufferPool* outbound;
    struct Pool pools[POOLS];
    uint32_t starved; /* pools whose buffers somebody has all, or may have: bits */
    bool turned;      /* a turn has run since the last synchronization */
    bool entered;     /* or something else has had the kernel go on with what it has */
    bool canceling;   /* a raw operation was canceled since then */
    bool verbose;
    bool acted;    /* the step has done something */
    bool ending;   /* the ring's release has begun */
    bool thorough; /* what no step has touched is looked at, too */
    uint64_t progress; /* grows with what was sent and received */
    uint64_t completions; /* of the ring, behind the last turn */
};

extern struct World world;
extern uint32_t patience; /* milliseconds until what is missing is given up */

/* Nanoseconds of the monotonic clock. */
int64_t now(void);

/* Runs the ring until all that is to come has come, and each part writes its facts. */
void synchronize(void);

/* Before a call that enters the kernel at once, without the cancellations that the next turn has:
 * whether these come first is not certain then. What is in flight may be over behind it. */
void beforeEnter(void);

/* What was submitted since the last synchronization, or before it, may be over or not. */
static inline bool mayBeOver(void)
{
    return world.turned || world.entered;
}

/* ---- its parts ---- */

struct Part
{
    void (*open)(struct Chance* chance);
    bool (*begin)(void);          /* finds out what is certain to come; true: it did something */
    /* Plain ends write, and read: what they wait for, or all that there may be. A system call for
     * each of them in each turn would be most of what a step costs: so what no step has touched
     * since the last synchronization is left alone. True: something has moved. */
    bool (*pump)(bool all);
    const char* (*missing)(void); /* what is still to come, or NULL */
    void (*write)(void);          /* what has come, into the trace */
    void (*finish)(void);         /* asks everything to end; a synchronization follows */
    void (*close)(void);          /* all is over */
};

extern const struct Part linkPart;
extern const struct Part listenerPart;
extern const struct Part servicePart;
extern const struct Part rawPart;

/* A TCP listener for none but this process. */
int listenAlone(struct sockaddr_storage* address, socklen_t* length);

/* A step of each part. */
void stepLink(struct Chance* chance);
void stepListener(struct Chance* chance);
void stepService(struct Chance* chance);
void stepRaw(struct Chance* chance);

/* One episode: returns when all was checked, and fails the running case if something is wrong. */
struct Plan
{
    uint64_t seed;
    uint32_t steps;
    const bool* dropped; /* steps that are left out, or NULL */
    bool verbose;
};

void runEpisode(const struct Plan* plan);

#endif
