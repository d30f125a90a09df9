/* What the servers share: their command line, and what a load asks a pushing one for. */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include "bench.h"

enum ServerMode
{
    SERVER_ECHO,      /* sends back what comes */
    SERVER_DISCARD,   /* takes what comes, and at its end sends a struct Receipt */
    SERVER_PUSH,      /* sends what a struct PushRequest asks for */
    SERVER_DATAGRAMS, /* sends each datagram back to where it came from */
};

struct ServerOptions
{
    enum ServerMode mode;
    uint16_t port;
    uint32_t length;     /* of a receive buffer */
    uint32_t count;      /* of receive buffers, where the kernel gets them beforehand */
    uint64_t spin;       /* microseconds before a sleep, where the server can */
    uint64_t summed;     /* bytes of a connection that go into the sum of a receipt */
    uint64_t good;       /* bytes that a broken server serves well */
    const char* variant; /* which of the server's ways; "": the usual one */
};

/*
 * Reads the command line, the same for all:
 *
 *     SERVER echo|discard|push|udp [-p PORT] [-C CPU] [-b LENGTH] [-n COUNT] [-s MICROSECONDS]
 *            [-t SECONDS] [-x VARIANT] [-k SUMMED] [-g GOOD]
 *
 * -t is how long the server lives at most. variants are the names that -x may have, ended by NULL.
 */
struct ServerOptions beginServer(int count, char** arguments, const char* const* variants);

bool isVariant(const struct ServerOptions* options, const char* name);

/* Opens the socket that the mode asks for and writes its port to the standard output: from then on
 * there may be clients. */
int openServer(const struct ServerOptions* options);

/* ---- what is discarded ---- */

/* A connection's receipt, NULL in another mode than discard: memory of idle connections is
 * measured. */
struct Receipt* createReceipt(const struct ServerOptions* options);

/* Sends it, if there is one, when the peer has ended. */
void sendReceipt(int handle, const struct Receipt* receipt);

/* ---- push ---- */

/* What is still to be sent of a push. */
struct Push
{
    uint64_t left;
    uint64_t sequence; /* of the next message */
    uint32_t burst;
    uint32_t size;
    uint8_t* message; /* of that size; its header is written anew each time */
};

/* Takes a request, which must have come whole. */
void beginPush(struct Push* push, const void* data, size_t length);

/* Stamps the next message and returns it; NULL: there is none. */
const uint8_t* nextMessage(struct Push* push);

/* Writes the next messages one behind the other, as many as a burst has. Returns their
 * bytes. */
size_t nextBurst(struct Push* push, uint8_t* data);

void endPush(struct Push* push);

#endif
