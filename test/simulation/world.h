/*
 * The world of a schedule: a ring on the scheduler, pools and providers, sockets with the ends that
 * the simulation plays, and a model of what each must do.
 */
#ifndef TEST_SIMULATION_WORLD_H
#define TEST_SIMULATION_WORLD_H

#include "automaton.h"
#include "memory-file.h"
#include "schedule.h"

#include <Ring/FastSocket.h>
#include <sys/socket.h>

enum
{
    LINKS = 5,
    PROVIDERS = 2,
    MESSAGE_IDS = 256,  /* messages of one direction whose lengths are remembered */
    MESSAGE_MOST = 600, /* bytes */
    SECOND = 1 << 21,   /* in the number of messages to the second destination */
};

/* Messages of one direction, in order. */
struct Messages
{
    uint32_t sent;     /* so many were given to the sender */
    uint32_t expected; /* the next that may come */
    uint32_t lost;     /* of those before, that have not come */
    uint16_t sizes[MESSAGE_IDS];
};

/* A socket, and the end that the simulation plays. */
enum
{
    NOTICES = 64, /* that wait at most */
};

struct Link
{
    bool used;
    enum MemoryKind kind;
    uint32_t number;
    struct FastSocket* socket; /* NULL: released, or none was made */
    struct MemoryFile* peer;   /* NULL: it has closed */
    int handle;
    uint32_t provider;
    bool headed;
    bool sends; /* it was given a pool for it */
    struct Automaton automaton;

    /* What each end has given, and had. */
    uint64_t written;
    uint64_t taken;
    uint64_t accepted;
    uint64_t arrived;
    struct Messages in;
    struct Messages out;
    struct MemoryFile* second; /* of UDP: another that is sent to; NULL: none */
    struct Messages outSecond;

    /* What was done to it. */
    bool paused;
    bool lags; /* it has not read all at once, some time */
    bool shut; /* our output */
    bool released;
    bool aborted;
    int64_t releasedAt;
    bool peerEnded;  /* its output */
    bool peerReads;  /* by itself, in each turn */
    int broken;      /* errno that the connection has ended with */
    bool loses;      /* what was sent may be lost: the connection was reset, or given up */
    bool dropsInput; /* what the peer has sent may be lost */
    bool limited;    /* to so much output */
    bool hasty;      /* its release gives up soon */
    bool connects;   /* it was connecting when it was made */
    bool connecting;
    uint32_t own; /* operations without a buffer, whose functions are to be called */
    struct
    {
        uint32_t transmits;
        uint32_t asked;
        uint32_t called;
        uint64_t places[NOTICES]; /* of a stream: bytes that are to have left, by number */
        uint64_t turn;            /* in which, or behind which, the socket was released */
    } notices;

    /* What came. */
    bool hungUp;
    int fatal;
    int disturbed; /* an errno of an earlier datagram's, which is still to be told */
    uint8_t habit; /* of the handler */
};

enum Habit
{
    HABIT_READ,    /* all that there is */
    HABIT_PART,    /* some of it */
    HABIT_LEAVE,   /* nothing */
    HABIT_BUFFERS, /* all, as buffers */
    HABITS,
};

struct World
{
    struct FastRing* ring;
    struct FastBufferPool* inbound;
    struct FastBufferPool* outbound;
    struct
    {
        struct FastRingBufferProvider* provider;
        uint32_t length;
        uint32_t count;
    } providers[PROVIDERS];
    struct Link links[LINKS];
    uint32_t linkCount; /* that were ever made */
    enum AutomatonContext context;
    uint64_t turn;
    bool ending;
    bool releasing; /* the ring was released in the running turn, at whose end it goes */
};

extern struct World world;

/* Where the bytes of a link begin in the pattern, and the number that its messages have. */
static inline uint64_t linkPlaceIn(const struct Link* link)
{
    return (uint64_t)link->number << 40;
}

static inline uint64_t linkPlaceOut(const struct Link* link)
{
    return (uint64_t)link->number << 40 | UINT64_C(1) << 39;
}

static inline uint32_t linkNumberOut(const struct Link* link)
{
    return link->number | 1 << 20;
}

static inline bool linkIsStream(const struct Link* link)
{
    return link->automaton.type == SOCK_STREAM;
}

/* Descriptors may go over it. */
static inline bool linkPassesFiles(const struct Link* link)
{
    return link->kind != MEMORY_TCP && link->kind != MEMORY_UDP && link->kind != MEMORY_PIPE;
}

/* Nobody but the peer, and what has become of the connection, ends it. */
static inline bool linkIsOver(const struct Link* link)
{
    return link->broken != 0 || link->peer == NULL;
}

/* A pipe is written to alone. */
static inline bool linkReads(const struct Link* link)
{
    return link->socket != NULL && link->kind != MEMORY_PIPE;
}

/* world.c: a schedule from its beginning to its end; fails it if something is wrong. */
void runSchedule(const struct Schedule* schedule);
void runTurn(uint32_t interval);
/* From a handler: it takes effect when the turn ends. */
void releaseRingInTurn(void);
/* A step of what else lives on the ring. */
void runPart(struct Chance* chance);

/* link.c */
struct Link* openLink(struct Chance* chance);
void releaseLink(struct Link* link, bool abort);
/* What becomes of a connection. */
void finishConnect(struct Link* link, int error);
void breakLink(struct Link* link, int error);
void endAsPeer(struct Link* link);
void closeAsPeer(struct Link* link);

/* link-check.c: what holds in any case; and what it waits for, or NULL. */
void checkLink(struct Link* link);
const char* missingOfLink(struct Link* link);
struct FastSocketStatistics linkStatistics(struct FastSocket* socket);

/* notice.c: now and then, behind a transmit, asks to hear when it has left. */
void noticeTransmit(struct Link* link);
/* At the end of a turn, and of the ring: nobody waits who can't. */
void checkNotices(const struct Link* link);
/* Nothing is queued, and somebody waits: says so; NULL: nobody does. */
const char* missingNotice(const struct Link* link);

/* peer.c: the peer reads what there is, at most so much; true: something. */
bool readAsPeer(struct Link* link, size_t most);
void writeAsPeer(struct Link* link, size_t size);
/* Files that nobody else has, to be passed; returns count. */
uint32_t openPassed(struct MemoryFile** files, uint32_t count);

/* transfer.c */
void takeInput(struct Link* link, size_t most);
void takeBuffers(struct Link* link);
/* Looks at input without taking it, or takes all of so much or nothing. */
void peekInput(struct Link* link, size_t size);
void takeWhole(struct Link* link, size_t size);
/* Buffers that the user has taken, and keeps for a while. */
void keepNothing(void);
void dropKept(struct Chance* chance);

/* transmit.c */
int transmitOf(struct Link* link, struct Chance* chance, size_t size);
/* An operation in the order of the others. */
void transmitOperation(struct Link* link, struct Chance* chance, size_t size);

/* message.c: what messages say. */
size_t makeMessage(uint8_t* data, struct Messages* messages, uint32_t number, size_t size);
/* Takes back that one was given. */
void dropMessage(struct Messages* messages);
/* One has come, cut at room; some before may be lost. */
void checkMessage(struct Messages* messages, uint32_t number, const uint8_t* data, size_t size,
                  size_t room, bool loses);

/* steps.c */
void runStep(uint32_t step);

#endif
