/*
 * Listeners, and those who connect.
 *
 * Promised: every connection is handed over once, in the order in which they came; a listener that
 * goes leaves those that it has not handed over to the system, which resets them. Left out: in how
 * many turns that happens. So a listener that may just be handing over, or telling its end, since a
 * turn has run, isn't released before all is quiet, but for by itself, after a number of
 * connections.
 */
#include "link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

enum
{
    LISTENERS = 3,
    CLIENTS = 8, /* of one, not yet handed over */
};

struct Client
{
    int handle;
    struct Link* link; /* what it becomes an end of, or NULL: it is closed */
    bool refused;      /* handed over and closed, or never handed over */
    int error;         /* that it met, -1: none yet */
};

struct Listener
{
    struct FastListener* listener;
    int handle; /* the listener's */
    bool local; /* AF_UNIX */
    struct sockaddr_storage address;
    socklen_t length;
    struct Client clients[CLIENTS];
    int count;    /* of clients */
    int accepted; /* of these */
    int leave;    /* it goes after so many, 0: it doesn't */
    int failure;  /* errno that it has reported */
    bool ended;   /* its socket was shut down */
    int handed;   /* since the last write */
};

static struct Listener listeners[LISTENERS];

/* ---- making ---------------------------------------------------------------------------------- */

static int openHandle(struct Listener* place)
{
    int handle = -1;

    memset(&place->address, 0, sizeof(place->address));
    if (!place->local)
        return listenAlone(&place->address, &place->length);
    handle = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(handle, 0);
    place->address.ss_family = AF_UNIX;
    ck_assert_int_eq(bind(handle, (struct sockaddr*)&place->address, sizeof(sa_family_t)), 0);
    place->length = sizeof(place->address);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)&place->address, &place->length), 0);
    ck_assert_int_eq(listen(handle, 128), 0);
    return handle;
}

/* That the oldest client is the one who is handed over. */
static void checkPeer(const struct Listener* place, const struct Client* client, int handle)
{
    struct sockaddr_in names[2];
    socklen_t length = sizeof(names[0]);

    if (place->local)
        return;
    ck_assert_int_eq(getpeername(handle, (struct sockaddr*)&names[0], &length), 0);
    ck_assert_int_eq(getsockname(client->handle, (struct sockaddr*)&names[1], &length), 0);
    ck_assert_uint_eq(names[0].sin_port, names[1].sin_port);
}

static void refuse(struct Client* client)
{
    client->refused = true;
    client->link = NULL;
}

/* Nobody takes what was not handed over. */
static void refuseRest(struct Listener* place)
{
    for (int index = place->accepted; index < place->count; index++)
        refuse(&place->clients[index]);
}

static void take(struct Client* client, int handle, bool local)
{
    struct Making making = {.kind = local ? MODEL_UNIX : MODEL_TCP};
    int handles[2] = {handle, client->handle};
    struct Link* link = client->link;
    const int on = 1;

    if (!local) {
        ck_assert_int_eq(setsockopt(handles[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
        ck_assert_int_eq(setsockopt(handles[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    }
    adoptLink(link, &making, handles);
    link->claimed = true;
    client->handle = -1;
    client->link = NULL;
}

static void onConnection(struct FastListener* listener, int handle, void* closure)
{
    struct Listener* place = closure;
    struct Client* client = &place->clients[place->accepted];

    ck_assert_msg(place->listener == listener, "a listener that was released is called");
    if (handle < 0) {
        ck_assert_int_eq(place->failure, 0);
        place->failure = -handle;
        return;
    }
    ck_assert_int_lt(place->accepted, place->count);
    checkPeer(place, client, handle);
    place->accepted++;
    place->handed++;
    if (client->link != NULL) {
        take(client, handle, place->local);
    } else {
        close(handle);
        refuse(client);
    }
    if ((place->leave > 0) && (--place->leave == 0)) {
        ReleaseFastListener(place->listener);
        place->listener = NULL;
        refuseRest(place);
    }
}

static void stepMake(struct Listener* place, struct Chance* chance)
{
    place->local = oneIn(chance, 2);
    place->handle = openHandle(place);
    place->count = 0;
    place->accepted = 0;
    place->failure = 0;
    place->ended = false;
    place->leave = oneIn(chance, 3) ? 1 + (int)draw(chance, 6) : 0;
    place->listener = CreateFastListener(world.ring, place->handle, 0, onConnection, place);
    ck_assert_msg(place->listener != NULL, "CreateFastListener: %s", strerror(errno));
    say("listener %u: %s, leaves after %d", (unsigned)(place - listeners),
        place->local ? "UNIX" : "TCP", place->leave);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static struct Link* findFree(void)
{
    for (int index = 0; index < LINKS; index++) {
        if (!links[index].used && !links[index].claimed)
            return &links[index];
    }
    return NULL;
}

static void stepConnect(struct Listener* place, struct Chance* chance)
{
    struct Client* client = &place->clients[place->count];

    if (place->count == CLIENTS)
        return;
    *client = (struct Client){.error = -1};
    if (!oneIn(chance, 3))
        client->link = findFree();
    client->handle = socket(place->local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(client->handle, 0);
    ck_assert_msg(connect(client->handle, (struct sockaddr*)&place->address, place->length) == 0,
                  "connect: %s", strerror(errno));
    place->count++;
    if (client->link != NULL)
        client->link->claimed = true;
    say("listener %u: a connection, for link %d", (unsigned)(place - listeners),
        (client->link != NULL) ? (int)(client->link - links) * 2 : -1);
}

static void stepRelease(struct Listener* place)
{
    beforeEnter();
    say("listener %u: release", (unsigned)(place - listeners));
    ReleaseFastListener(place->listener);
    place->listener = NULL;
    refuseRest(place);
}

/* Nobody can connect any more: that is reported, and final. */
static void stepEnd(struct Listener* place)
{
    say("listener %u: shutdown", (unsigned)(place - listeners));
    ck_assert_int_eq(shutdown(place->handle, SHUT_RDWR), 0);
    place->ended = true;
}

void stepListener(struct Chance* chance)
{
    struct Listener* place = &listeners[draw(chance, LISTENERS)];
    uint32_t what = draw(chance, 20);

    notePlace(20 + (unsigned)(place - listeners));
    /* With clients it may have handed over some of them in a turn, and gone, or not yet. */
    if (world.turned && (place->count > 0 || place->leave > 0 || place->ended || what < 3))
        synchronize();
    if (place->listener == NULL) {
        if (place->count == 0)
            stepMake(place, chance);
    } else if (place->ended || (place->failure != 0)) {
        stepRelease(place);
    } else if (what < 2) {
        stepRelease(place);
    } else if ((what == 2) && (place->count == place->accepted)) {
        stepEnd(place);
    } else {
        for (uint32_t times = 1 + draw(chance, 3); times > 0; times--)
            stepConnect(place, chance);
    }
}

/* ---- the part -------------------------------------------------------------------------------- */

static void openListeners(struct Chance* chance)
{
    (void)chance;
    memset(listeners, 0, sizeof(listeners));
}

static bool beginListeners(void)
{
    return false;
}

static bool pumpClient(struct Client* client)
{
    char byte = 0;
    ssize_t result = 0;

    if (!client->refused || (client->error >= 0))
        return false;
    result = recv(client->handle, &byte, 1, MSG_DONTWAIT);
    if ((result < 0) && (errno == EAGAIN))
        return false;
    ck_assert_int_le(result, 0);
    client->error = (result == 0) ? 0 : errno;
    close(client->handle);
    client->handle = -1;
    return true;
}

static bool pumpListeners(bool all)
{
    bool moved = false;

    (void)all;
    for (int index = 0; index < LISTENERS; index++) {
        for (int number = 0; number < listeners[index].count; number++)
            moved |= pumpClient(&listeners[index].clients[number]);
    }
    return moved;
}

static const char* missingListeners(void)
{
    for (int index = 0; index < LISTENERS; index++) {
        const struct Listener* place = &listeners[index];
        if ((place->listener != NULL) && (place->accepted < place->count))
            return "a connection is not handed over";
        if ((place->listener != NULL) && place->ended && (place->failure == 0))
            return "a listener does not tell its end";
        for (int number = 0; number < place->count; number++) {
            if (place->clients[number].refused && (place->clients[number].error < 0))
                return "a connection that nobody has is not ended";
        }
    }
    return NULL;
}

static void writeListener(struct Listener* place, unsigned who)
{
    if (place->handed > 0)
        note(FACT_ACCEPT, who, place->handed);
    place->handed = 0;
    if (place->failure > 0)
        note(FACT_ACCEPT, who, -place->failure);
    for (int number = 0; number < place->count; number++) {
        if (place->clients[number].refused)
            note(FACT_CLIENT, who, place->clients[number].error);
    }
    place->count = 0;
    place->accepted = 0;
}

static void writeListeners(void)
{
    for (int index = 0; index < LISTENERS; index++)
        writeListener(&listeners[index], (unsigned)index);
    for (int index = 0; index < LINKS; index++)
        links[index].claimed = false;
}

static void finishListeners(void)
{
    for (int index = 0; index < LISTENERS; index++) {
        if (listeners[index].listener != NULL)
            stepRelease(&listeners[index]);
    }
}

const struct Part listenerPart = {
    .open = openListeners,
    .begin = beginListeners,
    .pump = pumpListeners,
    .missing = missingListeners,
    .write = writeListeners,
    .finish = finishListeners,
    .close = finishListeners,
};
