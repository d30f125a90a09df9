/*
 * The outbound side of a socket: there while it is needed, since most connections only wait. What
 * becomes of it is in core.h, and in the files that send.
 */
#ifndef FASTSOCKET_SOCKET_OUTBOUND_STATE_H
#define FASTSOCKET_SOCKET_OUTBOUND_STATE_H

#include "ring/ring.h"
#include "socket/outbound.h"

enum FastSendStop
{
    FAST_SEND_STOP_BACKOFF = 1, /* until the retry */
    FAST_SEND_STOP_ROOM = 2,    /* until a poll of ours sees room */
};

/* How the next send finds out whether there is room. */
enum FastSendRoom
{
    FAST_ROOM_POLL_FIRST = 1, /* the kernel polls before it sends */
    FAST_ROOM_POLLED = 2,     /* a poll of ours has seen room, and nothing was accepted since */
};

enum FastSendCancel
{
    FAST_SEND_CANCEL_NONE,
    FAST_SEND_CANCEL_WANTED, /* to see how far what is in flight has come */
    FAST_SEND_CANCEL_IN_FLIGHT,
    FAST_SEND_CANCEL_DONE,   /* the cancellation is over, its target is not yet */
    FAST_SEND_CANCEL_FAILED, /* not again before the retry */
};

/* A bound of time in which something must move, see stall.h. */
struct FastStall
{
    struct FastTimer timer;
    void (*expire)(struct FastSocket* socket); /* NULL: there is no bound */
    uint32_t milliseconds;
    uint32_t seen; /* what had moved when the time began */
    bool looked;   /* what is in flight was canceled once, to see how far it came */
};

/* Barriers that were dropped, in the order of the queue. */
struct FastDropped
{
    struct FastItem* first;
    struct FastItem* last;
};

struct FastNotice;

/* Who waits to hear that what was queued before has left, in the order of the calls: notice.h. */
struct FastNotices
{
    struct FastNotice* first;   /* is called next, if it does not wait any more */
    struct FastNotice* waiting; /* the first that does; NULL: none does */
    struct FastNotice* last;
};

/* A send is over, with a result as the kernel gave it. */
typedef void (*FastFlightFunction)(struct FastFlight* flight, int result);

enum
{
    FAST_OUTBOUND_THRESHOLD = 16 << 10, /* of zero copy, until it is set */
};

struct FastOutbound
{
    struct FastSpare spare;
    struct FastOutboundQueue queue;
    struct FastFlight flight;   /* what was gathered from the head */
    struct FastFlight* current; /* what a cancellation aims at: flight, or one with zero copy */
    FastFlightFunction finish;  /* gets the results */
    struct FastOperation cancel;
    struct FastLoan* loans;     /* memory that the kernel sends without a copy */
    struct FastDropped canceled; /* whose users are to be called */
    struct FastNotices notices;
    uint64_t limit;             /* FASTSOCKET_OPTION_OUTBOUND_LIMIT */
    uint64_t threshold;         /* FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD */
    uint32_t burst;             /* sends of messages that start together next time */
    uint16_t joinMax;           /* bytes of a datagram that may be sent with others */
    uint8_t run;                /* datagrams that lately went out together */
    uint8_t ahead;              /* room that was made for as many since the last start, in 2 KiB */
    uint32_t copied;            /* sends with zero copy in a row that the kernel copied */
    uint32_t backoff;           /* sends until zero copy is tried again */
    struct FastOperation trail; /* see FastSocketTrail */
    uint32_t trails;            /* in flight */
    uint32_t inFlight;          /* sends */
    int direct;                 /* what is to be told of a direct send, see direct.h */
    uint8_t stops;              /* FAST_SEND_STOP_* */
    uint8_t canceling;          /* enum FastSendCancel */
    uint8_t room;               /* FAST_ROOM_* */
    bool cutShort;              /* a send ended before its last byte, although nobody canceled it */
    bool corked;                /* the last datagram had MSG_MORE: the next one continues it */
    bool usedZeroCopy;          /* ever */
    uint32_t progress;          /* sends of which the kernel took something */
    struct FastStall stall;     /* the bound of the release, or another */
    struct
    {
        uint64_t zeroCopy;
        uint64_t copied;
        uint64_t failed;
        uint64_t dropped;
    } statistics; /* as in struct FastSocketStatistics, but for what a socket counts itself */
};

#endif
