/*
 * What wrap.c knows: the sockets of the program, each with its automaton, and what is running on a
 * thread.
 */
#ifndef TEST_RECORDS_H
#define TEST_RECORDS_H

#include <stdbool.h>

#include <Ring/FastSocket.h>

#include "automaton.h"

struct Record
{
    struct Record* next;
    struct FastSocket* socket;
    struct FastRing* ring;
    struct Automaton automaton;
    HandleFastSocketEvent function; /* the test's */
    bool outbound;                  /* can be sent to, and has a pool to send from */
    /* the handler was NULL for a while: events may have been missed */
    bool moved;
};

struct Record* findRecord(struct FastSocket* socket);
void addRecord(struct Record* record);

/* The memory of a released socket may soon be another's. */
void dropRecord(struct FastSocket* socket);

/* Fails the case. */
void breakRule(struct FastSocket* socket, int event, int parameter, const char* rule);

/* What runs on this thread. A handler runs inside a wait, a call inside a handler: each is saved by
 * the next. */
struct Running
{
    enum AutomatonContext context;
    struct FastRing* ring;
};

extern __thread struct Running running;

/* Returns what ran before, to be put back into running. */
struct Running enter(enum AutomatonContext context, struct FastRing* ring);

void beginTurn(void);
void endTurn(void);

/* As many POLLHUP more, or less, must come in this turn. */
void expectHangups(int change);

/* Sockets of a ring that ended have had their POLLHUP, if someone listened. */
void endRecords(struct FastRing* ring, bool delivered);

#endif
