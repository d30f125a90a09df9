/*
 * What the application servers of the bench have in common: services that know nothing of how bytes
 * come and go, and what they need of a contender. Each contender is one file that listens, reads
 * and writes as a good program of its library does; so what is compared is the library alone.
 *
 *     input  → feedSession → Service.take, which uses whole requests and leaves the rest
 *     output ← say, sayBody, endSession, called by the service in its take
 */
#ifndef SERVICE_H
#define SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct Session;

/* A service, by the name that the command line gives it. */
struct Service
{
    const char* name;
    bool datagrams; /* takes whole datagrams of a UDP socket, each a request */
    /* Uses what is whole of the input and answers it. Returns the bytes used: the others come
     * again, in front of what follows. */
    size_t (*take)(struct Session* session, const uint8_t* data, size_t size);
};

/* A connection: the beginning of each contender's own. */
struct Session
{
    LIST_ENTRY(Session)
    link;
    const struct Service* service;
    bool ended; /* endSession was called: input is ignored */
    size_t restSize;
    size_t restRoom;
    uint8_t* rest; /* input that is no whole request yet */
};

LIST_HEAD(SessionList, Session);

/* What stays in memory as long as the server lives, made by makeBody: it needs no copy. */
struct Body
{
    size_t size;
    uint8_t* data;
};

extern const struct Service redisService;
extern const struct Service httpService;
extern const struct Service pongService;
extern const struct Service datagramPongService;
extern const struct Service broadcastService;

/* All sessions that are open: a message may be for everyone. */
extern struct SessionList sessions;

/* Returns the service of that name, or NULL. */
const struct Service* findService(const char* name);

/* Begins and ends the services' side of a connection. */
void openSession(struct Session* session, const struct Service* service);
void closeSession(struct Session* session);

/* Hands input over. A request may come in any number of pieces, and a piece may hold many. */
void feedSession(struct Session* session, const uint8_t* data, size_t size);

/* ---- what a contender provides ---- */

/* Sends a copy of data, behind what was said before, at the end of the current event at latest. */
void say(struct Session* session, const void* data, size_t size);

/* Sends a body in the same way. */
void sayBody(struct Session* session, const struct Body* body);

/* Has the connection end when everything is sent. */
void endSession(struct Session* session);

/* Makes memory for a body. NULL when there is none. */
uint8_t* makeBody(size_t size);

#endif
