/*
 * A provider's own state: for the provider's files, and for what their headers do inline. Nobody
 * else looks at the members.
 */
#ifndef FASTSOCKET_PROVIDER_STATE_H
#define FASTSOCKET_PROVIDER_STATE_H

#include "ring/ring.h"

struct FastProviderSource;

struct FastProviderSlot
{
    void* buffer;         /* NULL: vacant */
    uint32_t sequence;    /* of its last put */
    uint32_t enter : 31;  /* the kernel was entered so often before that put */
    uint32_t claimed : 1; /* filled for a user's own operation, and not put back yet */
};

/* See provider-demand.h. */
struct FastProviderDemand
{
    uint32_t wanted;   /* slots that are to have a buffer */
    uint32_t least;    /* never fewer */
    uint32_t users;    /* when a receive was armed last */
    uint32_t expected; /* in this period by somebody, so that they are kept */
    uint32_t round;    /* in which the last one was taken */
    /* The sequence of puts when that round began, moved on by those that took the place of none. */
    uint32_t begun;
    uint32_t peak;     /* the most that were taken in one, in this period */
    uint32_t left;     /* to be taken until the period ends */
    uint32_t grown;    /* the sequence of puts when one that found none got more */
    uint32_t unserved; /* receives that ended before that */
};

struct FastRingBufferProvider
{
    struct FastRingMember member;
    struct FastRingGroup group;
    struct FastRing* ring;
    struct FastEngine* engine; /* the ring's */
    uint32_t references;       /* the user's, the sockets', and the tasks' */
    uint32_t borrowers;        /* operations of users that may have a buffer */
    void (*end)(struct FastRingBufferProvider* provider);
    CreateRingBufferFunction create;
    ReleaseRingBufferFunction release; /* known when the user has released the provider */
    void* closure;

    uint32_t count; /* a power of two */
    uint32_t length;
    struct io_uring_buf_ring* entries;       /* shared with the kernel */
    const struct FastProviderSource* source; /* closure is one, and held; NULL: it is not */
    bool closed;                             /* the ring is gone */
    bool leaked;                             /* and the kernel may still write to our buffers */

    /* By their ids, of which the first may not be used. */
    struct FastProviderSlot* slots;
    uint16_t* log;     /* ids in the order of putting, the last 2 × count */
    uint32_t sequence; /* of the next put */

    struct
    {
        uint16_t* ids;
        uint32_t count;
    } vacant;

    uint32_t available; /* put and not yet seen taken: an upper bound of what the kernel has */

    struct FastProviderDemand demand;

    struct
    {
        struct FastWaiterList list;
        uint32_t batch;     /* to be served next */
        uint32_t left;      /* of them, in this turn */
        uint32_t available; /* when the last batch was served */
        struct FastTask serve;
        struct FastTask again; /* in the dispatch phase: serves the rest a turn later */
    } waiting;

    struct FastTask refill;
};

/* As many bits of the count of enters as a slot has room for. */
static inline uint32_t FastProviderEnters(const struct FastRingBufferProvider* provider)
{
    return provider->engine->enters & (UINT32_MAX >> 1);
}

/* The entry of the kernel's ring that a put with this sequence has filled, or will. */
static inline struct io_uring_buf* FastProviderEntry(const struct FastRingBufferProvider* provider,
                                                     uint32_t sequence)
{
    return (struct io_uring_buf*)provider->entries + (sequence & (provider->count - 1));
}

/* Where the log has the id of that put. */
static inline uint32_t FastProviderPlace(const struct FastRingBufferProvider* provider,
                                         uint32_t sequence)
{
    return sequence & (2 * provider->count - 1);
}

/* Takes a reference, as the user has one, each socket, each queued task; the last one ends it. */
static inline void FastProviderHold(struct FastRingBufferProvider* provider)
{
    provider->references++;
}

/* Gives a reference up. */
static inline void FastProviderDrop(struct FastRingBufferProvider* provider)
{
    if (--provider->references == 0)
        provider->end(provider);
}

#endif
