/*
 * Sessions: from input in pieces to whole requests.
 *
 * Most input ends with a request's end, and is used where it lies. Only a request's beginning is
 * copied, to wait for what follows.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "service.h"

struct SessionList sessions = LIST_HEAD_INITIALIZER(sessions);

const struct Service* findService(const char* name)
{
    static const struct Service* const services[] = {
        &redisService, &httpService, &pongService, &datagramPongService, &broadcastService};

    for (size_t index = 0; index < sizeof(services) / sizeof(services[0]); index++)
        if (strcmp(services[index]->name, name) == 0)
            return services[index];
    return NULL;
}

void openSession(struct Session* session, const struct Service* service)
{
    session->service = service;
    LIST_INSERT_HEAD(&sessions, session, link);
}

void closeSession(struct Session* session)
{
    LIST_REMOVE(session, link);
    free(session->rest);
}

/* Puts input behind the rest. Without memory the connection can't go on. */
static bool keepInput(struct Session* session, const uint8_t* data, size_t size)
{
    size_t room = (session->restRoom > 0) ? session->restRoom : 4096;
    uint8_t* rest = session->rest;

    while (room < session->restSize + size)
        room *= 2;
    if (room > session->restRoom) {
        rest = realloc(rest, room);
        if (rest == NULL) {
            endSession(session);
            return false;
        }
        session->rest = rest;
        session->restRoom = room;
    }
    memcpy(rest + session->restSize, data, size);
    session->restSize += size;
    return true;
}

void feedSession(struct Session* session, const uint8_t* data, size_t size)
{
    size_t used;

    if (session->ended || (size == 0))
        return;
    if (session->restSize == 0) {
        used = session->service->take(session, data, size);
        if ((used < size) && !session->ended)
            keepInput(session, data + used, size - used);
        return;
    }

    if (!keepInput(session, data, size))
        return;
    used = session->service->take(session, session->rest, session->restSize);
    assert(used <= session->restSize);
    session->restSize -= used;
    memmove(session->rest, session->rest + used, session->restSize);
}
