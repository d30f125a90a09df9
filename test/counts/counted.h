/*
 * What the counted programs share: what is counted of the process, the marks between its parts, and
 * connections of a server to a client that both live in one thread, so that nothing depends on who
 * runs when.
 */
#ifndef COUNTS_COUNTED_H
#define COUNTS_COUNTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <Ring/FastBuffer.h>
#include <Ring/FastRing.h>
#include <Ring/FastSocket.h>

enum
{
    SMALL = 64,            /* bytes of a small message */
    BURST = 64,            /* messages of a burst */
    TURN_MS = 20000,       /* the longest wait of a turn: bounds a hang only */
    COUNTED_CALL = 424200, /* an operation of prctl(2) that there is not, for calls.c */
};

/* What the operation's argument says to it. */
enum
{
    CALLS_END,
    CALLS_BEGIN,
    CALLS_PRINT,
};

/* Memory of the process, by the functions that allocations.c puts in the C library's place. */
struct Memory
{
    uint64_t allocations; /* calls that gave memory of the heap */
    uint64_t mappings;    /* calls that mapped or unmapped memory */
    int64_t bytes;        /* now: memory of the heap, as malloc_usable_size has it, and mappings */
};

struct Memory memoryNow(void);

/* Everything that is counted inside the process, at one moment. */
struct Tally
{
    uint64_t messages;
    uint64_t faults;
    struct Memory memory;
    struct FastRingStatistics ring;
};

/* One end is a socket of ours, the other a descriptor of the client's. */
struct Connection
{
    struct FastSocket* socket;
    int handle; /* the socket's */
    int client;
    bool sending; /* what was transmitted is not all sent */
    size_t left;  /* bytes that the client has not read */
};

struct World
{
    struct FastRing* ring;
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct Connection* connections;
    size_t count;
    size_t waiting;    /* connections that are sending */
    uint64_t messages; /* handled or sent by the server */
};

extern struct World world;

/* Ends the program with the place and errno if the condition does not hold. */
#define NEED(condition) need((condition), __FILE__, __LINE__, #condition)

void need(bool holds, const char* file, int line, const char* condition);

/* Under callgrind costs are written down whenever this is called (--dump-before). */
void mark(void);

/* Time stands still here but for this. */
void passTime(int64_t nanoseconds);

/* Ring, pool, provider; room for connections. */
void openWorld(size_t count, uint16_t buffers, uint32_t length);

/* Two descriptors of TCP over the loopback. */
void connectPair(int* handle, int* client);

/* Makes the next of the world's connections a socket of these. */
void addConnection(int handle, int client, HandleFastSocketEvent function, struct msghdr* message);

/* New pairs of TCP until there are so many, and turns until all can be written. */
void connectAll(size_t count, HandleFastSocketEvent function);

/* What was transmitted waits for its POLLOUT. */
void noteTransmit(struct Connection* connection);
void noteSent(struct Connection* connection);

/* Waits until each server's end can be read, which nobody does before the next turn. */
void awaitInput(void);

/* One turn, whose system calls count. It may sleep so many milliseconds. */
void runTurn(uint32_t interval);

/* Turns until the server has handled so many messages, and has sent what was transmitted. */
void runUntil(uint64_t messages);

/* Writes all, and reads all, waiting. */
void writeAll(int handle, const void* data, size_t size);
void readAll(int handle, void* data, size_t size);

/* Between them calls.c counts, which then prints how many there were since the last time. */
void beginCalls(void);
void endCalls(void);
void printCalls(void);

struct Tally tallyNow(void);

/* A part of the program, on one line: its name, and what happened between the two. */
void printTally(const char* part, const struct Tally* from, const struct Tally* to);

#endif
