/* What the chapters on sockets begin with: a ring with pool and provider, and a socket with a raw peer. */
#ifndef SCENE_H
#define SCENE_H

#include "consumer.h"

#include <poll.h>
#include <sys/socket.h>

struct scene
{
    struct FastRing* ring;
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct FastSocket* socket;
    int handle; /* the socket's */
    int peer;

    /* events so far, and their last parameters */
    int inputs, outputs, errors, hangups;
    int input, output, error, hangup;
};

void sceneOpen(struct scene* scene, int type, struct msghdr* message);

/* Ends the connection and everything else, after the socket was released. */
void sceneClose(struct scene* scene);

/* Releases the socket, waits until it is closed, and closes the rest. */
void sceneEnd(struct scene* scene);

void sceneEvent(struct FastSocket* socket, int event, int parameter);

/* The peer's side. */
void sceneSend(struct scene* scene, const char* text);
void sceneExpect(struct scene* scene, const char* text);

#endif
