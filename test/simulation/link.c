/* A socket: how it is made, what its handler sees, and what becomes of its connection. */
#include "world.h"

#include "memory-control.h"
#include "memory-system.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum
{
    NAME_ROOM = 16,
    CONTROL_ROOM = 32, /* CMSG_SPACE of MEMORY_RIGHTS descriptors */
};

/* ---- events ---- */

static void checkEvent(struct Link* link, int event, int parameter)
{
    const struct AutomatonView view = {
        .event = event,
        .parameter = parameter,
        .context = world.context,
        .thread = true,
        .ending = world.ending,
        .turn = world.turn,
        .inbound = GetFastSocketInboundLength(link->socket),
        .outbound = GetFastSocketOutboundLength(link->socket),
        .received = linkStatistics(link->socket).receivedMessages,
        .error = GetFastSocketError(link->socket),
    };
    const char* rule = automatonEvent(&link->automaton, &view);

    if (rule != NULL)
        wrong("link %u: event %d with %d: %s", link->number, event, parameter, rule);
}

/* Nobody but the peer, and what has become of the connection, makes one fail. */
static void onError(struct Link* link, int error)
{
    if (error == link->disturbed)
        link->disturbed = 0;
    if (link->automaton.type == SOCK_DGRAM)
        return;
    link->fatal = error;
    if (!linkIsOver(link))
        wrong("link %u: POLLERR with %d, and nothing is wrong", link->number, error);
    bool ordered = run->odds[FAULT_DELAY] == 0 && run->odds[FAULT_ORDER] == 0;
    if (ordered && link->kind == MEMORY_TCP && link->broken == ECONNRESET && error != ECONNRESET)
        wrong("link %u: POLLERR with %d behind a reset", link->number, error);
    if (error != link->broken && error != ECONNRESET && error != EPIPE)
        wrong("link %u: POLLERR with %d, not %d", link->number, error, link->broken);
}

/* All that came before is there. */
static void onHangup(struct Link* link, int error)
{
    size_t unread = GetFastSocketInboundLength(link->socket);

    bool reads = !link->lags && (link->habit == HABIT_READ || link->habit == HABIT_BUFFERS);

    link->hungUp = true;
    if (error == ECANCELED || (error != 0 && (!reads || link->connects)))
        return;
    if (error == 0 && !link->peerEnded && !linkIsOver(link))
        wrong("link %u: POLLHUP, and the peer has not ended", link->number);
    if (link->automaton.type == SOCK_STREAM && !link->dropsInput &&
        link->taken + unread != link->written)
        wrong("link %u: POLLHUP behind %llu bytes of %llu", link->number,
              (unsigned long long)(link->taken + unread), (unsigned long long)link->written);
}

static void onInput(struct Link* link)
{
    switch (link->habit) {
    case HABIT_READ:
        takeInput(link, SIZE_MAX);
        break;
    case HABIT_PART:
        takeInput(link, GetFastSocketInboundLength(link->socket) / 2 + 1);
        break;
    case HABIT_BUFFERS:
        takeBuffers(link);
        break;
    default:
        break;
    }
}

/* What a handler does beside, which may be anything: it is no fault. */
static void react(struct Link* link)
{
    if (!happens(FAULT_REACTION))
        return;
    struct Link* other = &world.links[choose(LINKS)];
    struct Chance chance = chanceOfReaction();
    switch (choose(40) == 0 ? 6 : choose(6)) {
    case 6:
        releaseRingInTurn();
        break;
    case 0:
        releaseLink(link, choose(2) == 0);
        break;
    case 1:
        if (other->socket != NULL)
            releaseLink(other, choose(2) == 0);
        break;
    case 2:
        if (PauseFastSocket(link->socket) == 0) {
            link->paused = true;
            link->lags = true;
            automatonPause(&link->automaton);
        }
        break;
    case 3:
        if (link->paused && ResumeFastSocket(link->socket) == 0) {
            link->paused = false;
            automatonResume(&link->automaton);
        }
        break;
    default:
        (void)transmitOf(link, &chance, choose(2000));
        break;
    }
}

static void onEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Link* link = GetFastSocketClosure(socket);
    enum AutomatonContext before = world.context;

    tell("link %u: event %d, %d", link->number, event, parameter);
    if (link->socket != socket)
        wrong("link %u: an event of a socket that was released", link->number);
    checkEvent(link, event, parameter);
    world.context = AUTOMATON_HANDLER;
    if (event == POLLIN)
        onInput(link);
    else if (event == POLLERR)
        onError(link, parameter);
    else if (event == POLLHUP)
        onHangup(link, parameter);
    if (!world.ending)
        react(link);
    world.context = before;
}

/* ---- making one ---- */

static enum MemoryKind drawKind(struct Chance* chance)
{
    static const enum MemoryKind kinds[] = {
        MEMORY_TCP,
        MEMORY_TCP,
        MEMORY_TCP,
        MEMORY_LOCAL,
        MEMORY_LOCAL,
        MEMORY_UDP,
        MEMORY_UDP,
        MEMORY_UDP,
        MEMORY_LOCAL_DATAGRAMS,
        MEMORY_RECORDS,
        MEMORY_PIPE,
    };
    return kinds[draw(chance, sizeof(kinds) / sizeof(kinds[0]))];
}

static uint32_t drawCapacity(struct Chance* chance, enum MemoryKind kind)
{
    static const uint32_t bytes[] = {300, 2000, 8000, 60000};
    uint32_t capacity = bytes[draw(chance, 4)];
    bool messages = kind == MEMORY_UDP || kind == MEMORY_LOCAL_DATAGRAMS || kind == MEMORY_RECORDS;

    return messages && capacity < 2000 ? 2000 : capacity;
}

static int typeOf(enum MemoryKind kind)
{
    if (kind == MEMORY_RECORDS)
        return SOCK_SEQPACKET;
    return kind == MEMORY_UDP || kind == MEMORY_LOCAL_DATAGRAMS ? SOCK_DGRAM : SOCK_STREAM;
}

static struct Link* findFree(void)
{
    for (int index = 0; index < LINKS; index++)
        if (!world.links[index].used)
            return &world.links[index];
    return NULL;
}

static void dropPeers(struct Link* link)
{
    memoryDrop(link->peer);
    if (link->second != NULL)
        memoryDrop(link->second);
    link->peer = NULL;
    link->second = NULL;
}

/* One that has no name of ours to answer to. */
static void openSecond(struct Link* link, uint16_t port, struct Chance* chance)
{
    if (link->kind != MEMORY_UDP || oneIn(chance, 2))
        return;
    link->second = memoryOpen(MEMORY_UDP, drawCapacity(chance, MEMORY_UDP));
    link->second->port = port;
}

/* Both ends; false: there is no descriptor for ours. */
static bool openFiles(struct Link* link, struct Chance* chance)
{
    struct MemoryFile* ours = memoryOpen(link->kind, drawCapacity(chance, link->kind));

    link->peer = memoryOpen(link->kind, drawCapacity(chance, link->kind));
    memoryJoin(ours, link->peer);
    link->peer->fragile = link->kind == MEMORY_TCP;
    ours->reads = link->kind != MEMORY_PIPE;
    link->peer->writes = link->kind != MEMORY_PIPE;
    link->connecting = link->kind == MEMORY_TCP && oneIn(chance, 6);
    link->connects = link->connecting;
    ours->connecting = link->connecting;
    ours->port = (uint16_t)(1000 + 4 * link->number);
    link->peer->port = (uint16_t)(ours->port + 1);
    openSecond(link, (uint16_t)(ours->port + 2), chance);
    link->handle = handleOpen(ours);
    if (link->handle >= 0)
        return true;
    memoryDrop(ours);
    dropPeers(link);
    return false;
}

static int drawMode(struct Chance* chance)
{
    static const int modes[] = {
        0,
        FASTSOCKET_MODE_ZERO_COPY,
        FASTSOCKET_MODE_ZERO_COPY,
        FASTSOCKET_MODE_AUTO_CORK,
    };
    return modes[draw(chance, 4)];
}

/* A low threshold, so that zero copy is tried with little; without memory it stays as it is. */
static void setOptions(struct Link* link, struct Chance* chance)
{
    static const uint64_t marks[] = {1 << 20, 1 << 20, 4000, 700, 1};

    (void)SetFastSocketOption(link->socket, FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD, 64);
    (void)SetFastSocketOption(link->socket, FASTSOCKET_OPTION_INBOUND_HIGH, marks[draw(chance, 5)]);
}

static bool makeSocket(struct Link* link, struct Chance* chance)
{
    static const uint32_t limits[] = {0, 0, 1, 3};
    struct msghdr header = {.msg_namelen = NAME_ROOM, .msg_controllen = CONTROL_ROOM};
    int mode = drawMode(chance);
    uint32_t limit = limits[draw(chance, 4)];

    if (link->kind == MEMORY_PIPE)
        mode = FASTSOCKET_MODE_FILE_IO;
    link->headed = link->kind != MEMORY_PIPE && oneIn(chance, 3);
    link->sends = !oneIn(chance, 10);
    link->provider = draw(chance, PROVIDERS);
    if (world.providers[link->provider].provider == NULL)
        return false;
    link->socket = CreateFastSocket(world.ring, world.providers[link->provider].provider,
                                    world.inbound, link->sends ? world.outbound : NULL,
                                    link->handle, link->headed ? &header : NULL, 0, mode, limit,
                                    onEvent, link);
    if (link->socket == NULL && errno != ENOMEM)
        wrong("CreateFastSocket: %s", strerror(errno));
    if (link->socket == NULL && handleFile(link->handle) == NULL)
        wrong("CreateFastSocket has failed and closed the descriptor");
    return link->socket != NULL;
}

struct Link* openLink(struct Chance* chance)
{
    struct Link* link = findFree();

    if (link == NULL || world.inbound == NULL || world.outbound == NULL)
        return NULL;
    memset(link, 0, sizeof(*link));
    link->number = ++world.linkCount;
    link->kind = drawKind(chance);
    link->habit = (uint8_t)draw(chance, HABITS);
    link->peerReads = oneIn(chance, 2);
    if (!openFiles(link, chance))
        return NULL;
    if (!makeSocket(link, chance)) {
        (void)handleClose(link->handle);
        dropPeers(link);
        return NULL;
    }
    link->used = true;
    automatonOpen(&link->automaton, typeOf(link->kind));
    setOptions(link, chance);
    tell("link %u: kind %d, handle %d, habit %u%s", link->number, link->kind, link->handle,
         link->habit, link->headed ? ", with a header" : "");
    return link;
}

void releaseLink(struct Link* link, bool abort)
{
    struct FastSocket* socket = link->socket;

    tell("link %u: %s", link->number, abort ? "aborted" : "released");
    automatonRelease(&link->automaton);
    link->socket = NULL;
    link->released = true;
    link->aborted = abort;
    /* A connect that the socket has not heard of yet is given up. */
    link->loses |= abort || link->hasty || (link->connects && link->arrived == 0);
    link->releasedAt = timeNow();
    link->notices.turn = world.turn;
    if (abort)
        AbortFastSocket(socket);
    else
        ReleaseFastSocket(socket);
}

/* ---- the peer ---- */

void finishConnect(struct Link* link, int error)
{
    struct MemoryFile* ours = link->peer != NULL ? link->peer->peer : NULL;

    if (!link->connecting)
        return;
    link->connecting = false;
    tell("link %u: the connect ends with %d", link->number, error);
    if (ours == NULL)
        return;
    ours->connecting = false;
    if (error != 0)
        breakLink(link, error);
    else
        memoryWakes(ours, POLLOUT);
}

void breakLink(struct Link* link, int error)
{
    struct MemoryFile* ours = link->peer->peer;

    if (ours == NULL || link->broken != 0)
        return;
    tell("link %u: breaks with %d", link->number, error);
    link->broken = error;
    link->loses = true;
    if (error == ECONNRESET && !ours->connecting)
        memoryReset(link->peer);
    else
        memoryBreak(ours, error);
}

void endAsPeer(struct Link* link)
{
    tell("link %u: the peer ends its output", link->number);
    link->peerEnded = true;
    (void)memoryShutdown(link->peer, SHUT_WR);
}

/* What it has not read is not to be had by anybody. */
void closeAsPeer(struct Link* link)
{
    tell("link %u: the peer closes", link->number);
    link->peerEnded = true;
    link->loses = true;
    dropPeers(link);
}
