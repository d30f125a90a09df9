/*
 * The event rules of a socket as an automaton.
 *
 * It knows nothing of the library: it is told what is seen at each event and answers with NULL, or
 * with the rule that was broken. fixture.c feeds it with every event of every socket of every test;
 * test/api/automaton-test.c feeds it with wrong sequences and sees that it notices.
 */
#ifndef TEST_AUTOMATON_H
#define TEST_AUTOMATON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who is running on this thread when the event comes. */
enum AutomatonContext
{
    AUTOMATON_OUTSIDE, /* neither below: an event from nowhere */
    AUTOMATON_WAIT,    /* WaitForFastRing of the socket's ring */
    AUTOMATON_END,     /* ReleaseFastRing of the socket's ring */
    AUTOMATON_CALL,    /* any other call into the library */
    AUTOMATON_HANDLER, /* another event's handler */
};

/* What the socket looks like at the moment of an event. */
struct AutomatonView
{
    int event;
    int parameter;
    enum AutomatonContext context;
    bool thread;       /* it is the ring's */
    bool ending;       /* ReleaseFastRing was called in this turn */
    uint64_t turn;     /* number of the turn, never 0 */
    size_t inbound;    /* unread bytes */
    size_t outbound;   /* bytes queued */
    uint64_t received; /* messages ever received */
    int error;         /* GetFastSocketError */
};

struct Automaton
{
    int type; /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET */
    bool released;
    bool paused;
    bool resumed;      /* since the last POLLIN */
    uint64_t turn;     /* of the last event */
    int last;          /* the last event in that turn */
    uint64_t received; /* at the last POLLIN */
    int fatal;         /* errno of a fatal POLLERR */
    bool hungUp;
    int hangup;         /* parameter of POLLHUP */
    int expected;       /* POLLHUP with this errno must come before the turn ends */
    uint64_t errors[8]; /* errnos of a datagram socket told in this turn */
    int errorCount;
};

void automatonOpen(struct Automaton* automaton, int type);

/* Returns NULL, or the rule that this event breaks. */
const char* automatonEvent(struct Automaton* automaton, const struct AutomatonView* view);

void automatonPause(struct Automaton* automaton);
void automatonResume(struct Automaton* automaton);
void automatonRelease(struct Automaton* automaton);

/* At the end of each turn: NULL, or the rule that the missing of an event breaks. */
const char* automatonTurnEnd(struct Automaton* automaton);

/* When the ring has ended: as automatonTurnEnd. */
const char* automatonRingEnd(struct Automaton* automaton);

#endif
