/* The steps of a schedule: what the user does, what the peers do, turns, and time. */
#include "world.h"

#include "memory-system.h"

#include <errno.h>
#include <sys/socket.h>

struct Step
{
    uint32_t weight;
    const char* name;
    void (*function)(struct Link* link, struct Chance* chance); /* link: of those that there are */
};

/* ---- the ring ---- */

static void turn(struct Link* link, struct Chance* chance)
{
    (void)link;
    for (uint32_t left = 1 + draw(chance, 3); left > 0; left--)
        runTurn(0);
}

static void waitFor(struct Link* link, struct Chance* chance)
{
    static const uint32_t intervals[] = {1, 1, 10, 50, 200, 1100};
    (void)link;
    runTurn(intervals[draw(chance, 6)]);
}

/* Until nothing is due. */
static void turnOften(struct Link* link, struct Chance* chance)
{
    (void)link;
    for (uint32_t left = 5 + draw(chance, 20); left > 0; left--)
        runTurn(1);
}

static void openOne(struct Link* link, struct Chance* chance)
{
    (void)link;
    (void)openLink(chance);
}

/* ---- the peer ---- */

static void writeSome(struct Link* link, struct Chance* chance)
{
    for (uint32_t left = 1 + draw(chance, 3); left > 0; left--)
        writeAsPeer(link, drawSize(chance, 8000));
}

static void readSome(struct Link* link, struct Chance* chance)
{
    if (link->peer != NULL)
        (void)readAsPeer(link, 1 + drawSize(chance, 60000));
}

static void readAlways(struct Link* link, struct Chance* chance)
{
    link->peerReads = oneIn(chance, 2);
}

static bool isConnection(const struct Link* link)
{
    return link->automaton.type != SOCK_DGRAM && link->kind != MEMORY_PIPE;
}

static void end(struct Link* link, struct Chance* chance)
{
    (void)chance;
    if (link->peer != NULL && isConnection(link) && !link->connecting)
        endAsPeer(link);
}

static void closePeer(struct Link* link, struct Chance* chance)
{
    (void)chance;
    bool ends = isConnection(link) || link->kind == MEMORY_PIPE;
    if (link->peer != NULL && ends && !link->connecting)
        closeAsPeer(link);
}

static void breakIt(struct Link* link, struct Chance* chance)
{
    static const int errors[] = {ECONNRESET, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENETDOWN};
    if (link->peer != NULL && isConnection(link) && !link->connecting)
        breakLink(link, link->kind == MEMORY_TCP ? errors[draw(chance, 5)] : ECONNRESET);
}

/* An error of a datagram before; a queue of errors that nobody reads. */
static void disturb(struct Link* link, struct Chance* chance)
{
    static const int errors[] = {ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ENETUNREACH};
    struct MemoryFile* ours = link->peer != NULL ? link->peer->peer : NULL;

    if (ours == NULL || link->kind != MEMORY_UDP)
        return;
    if (ours->error != 0)
        return;
    ours->error = errors[draw(chance, 4)];
    /* Of datagrams that go together this one is taken for the joining's, which nobody hears of. */
    if (ours->error != EMSGSIZE)
        link->disturbed = ours->error;
    memoryWakes(ours, 8 /* POLLERR */);
    tell("link %u: an earlier datagram has met %d", link->number, ours->error);
}

static void queueErrors(struct Link* link, struct Chance* chance)
{
    struct MemoryFile* ours = link->peer != NULL ? link->peer->peer : NULL;

    if (ours == NULL || (link->kind != MEMORY_UDP && link->kind != MEMORY_TCP))
        return;
    ours->errorQueue = oneIn(chance, 2);
    memoryWakes(ours, 8 /* POLLERR */);
    tell("link %u: its error queue has %s", link->number, ours->errorQueue ? "some" : "none");
}

/* ---- the user ---- */

static void transmit(struct Link* link, struct Chance* chance)
{
    for (uint32_t left = 1 + draw(chance, 3); left > 0; left--)
        (void)transmitOf(link, chance, drawSize(chance, 6000));
}

static void transmitMuch(struct Link* link, struct Chance* chance)
{
    (void)transmitOf(link, chance, 1000 + draw(chance, 44000));
}

static void receive(struct Link* link, struct Chance* chance)
{
    if (link->socket == NULL)
        return;
    if (oneIn(chance, 3))
        takeBuffers(link);
    else
        takeInput(link, 1 + drawSize(chance, 4000));
}

static void changeHabit(struct Link* link, struct Chance* chance)
{
    link->habit = (uint8_t)draw(chance, HABITS);
    link->lags = true;
}

static void pauseOrResume(struct Link* link, struct Chance* chance)
{
    (void)chance;
    if (link->socket == NULL)
        return;
    int result = link->paused ? ResumeFastSocket(link->socket) : PauseFastSocket(link->socket);
    if (result != 0)
        wrong("link %u: pause or resume gives %d", link->number, result);
    link->paused = !link->paused;
    link->lags = true;
    if (link->paused)
        automatonPause(&link->automaton);
    else
        automatonResume(&link->automaton);
    tell("link %u: %s", link->number, link->paused ? "paused" : "resumed");
}

static void shut(struct Link* link, struct Chance* chance)
{
    (void)chance;
    if (link->socket == NULL)
        return;
    int result = ShutdownFastSocket(link->socket);
    tell("link %u: shutdown gives %d", link->number, result);
    if (isConnection(link))
        link->shut = true;
    if (result != 0 && result != (isConnection(link) ? -EPIPE : -EOPNOTSUPP))
        wrong("link %u: ShutdownFastSocket gives %d", link->number, result);
}

static void release(struct Link* link, struct Chance* chance)
{
    if (link->socket != NULL)
        releaseLink(link, oneIn(chance, 3));
}

static void setOption(struct Link* link, struct Chance* chance)
{
    static const uint64_t marks[] = {1, 100, 3000, 1 << 20};
    static const uint64_t shares[] = {1, 300, 5000, 256 << 10};

    if (link->socket == NULL)
        return;
    bool high = oneIn(chance, 2);
    int result = SetFastSocketOption(
        link->socket, high ? FASTSOCKET_OPTION_INBOUND_HIGH : FASTSOCKET_OPTION_TURN_LIMIT,
        high ? marks[draw(chance, 4)] : shares[draw(chance, 4)]);
    if (result != 0 && result != -ENOMEM)
        wrong("link %u: SetFastSocketOption gives %d", link->number, result);
}

/* Bounds of output: in bytes, and in time once it is released. */
static void setBound(struct Link* link, struct Chance* chance)
{
    static const uint64_t limits[] = {0, 100, 5000};
    static const uint64_t times[] = {0, 50, 30000};
    bool bytes = oneIn(chance, 2);
    uint32_t place = draw(chance, 3);
    int option = bytes ? FASTSOCKET_OPTION_OUTBOUND_LIMIT : FASTSOCKET_OPTION_RELEASE_TIMEOUT;

    if (link->socket == NULL)
        return;
    int result = SetFastSocketOption(link->socket, option, bytes ? limits[place] : times[place]);
    if (result == -ENOMEM)
        return;
    if (result != 0)
        wrong("link %u: SetFastSocketOption gives %d", link->number, result);
    link->limited |= bytes;
    link->hasty |= !bytes && place < 2;
}

static void setLimit(struct Link* link, struct Chance* chance)
{
    (void)link;
    (void)SetFastRingOption(world.ring, FASTRING_OPTION_INBOUND_LIMIT,
                            oneIn(chance, 3) ? 4096 : 256 << 20);
}

static void useOther(struct Link* link, struct Chance* chance)
{
    (void)link;
    runPart(chance);
}

static void look(struct Link* link, struct Chance* chance)
{
    if (link->socket == NULL)
        return;
    if (oneIn(chance, 2))
        peekInput(link, 1 + drawSize(chance, 4000));
    else
        takeWhole(link, 1 + drawSize(chance, 3000));
}

static void dropBuffers(struct Link* link, struct Chance* chance)
{
    (void)link;
    dropKept(chance);
}

static void operate(struct Link* link, struct Chance* chance)
{
    transmitOperation(link, chance, drawSize(chance, 3000));
}

static void connectIt(struct Link* link, struct Chance* chance)
{
    static const int errors[] = {0, 0, 0, ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT};
    finishConnect(link, errors[draw(chance, 6)]);
}

/* ---- choosing ---- */

static const struct Step steps[] = {
    {12, "turn", turn},
    {4, "waitFor", waitFor},
    {4, "turnOften", turnOften},
    {4, "openOne", openOne},
    {14, "writeSome", writeSome},
    {6, "readSome", readSome},
    {2, "readAlways", readAlways},
    {2, "end", end},
    {1, "closePeer", closePeer},
    {2, "breakIt", breakIt},
    {3, "disturb", disturb},
    {1, "queueErrors", queueErrors},
    {14, "transmit", transmit},
    {3, "transmitMuch", transmitMuch},
    {5, "receive", receive},
    {2, "changeHabit", changeHabit},
    {4, "pauseOrResume", pauseOrResume},
    {2, "shut", shut},
    {3, "release", release},
    {2, "setOption", setOption},
    {1, "setLimit", setLimit},
    {25, "useOther", useOther},
    {3, "look", look},
    {2, "dropBuffers", dropBuffers},
    {4, "operate", operate},
    {3, "connectIt", connectIt},
    {2, "setBound", setBound},
};

static struct Link* drawLink(struct Chance* chance)
{
    struct Link* found[LINKS];
    uint32_t count = 0;

    for (int index = 0; index < LINKS; index++)
        if (world.links[index].used)
            found[count++] = &world.links[index];
    return count > 0 ? found[draw(chance, count)] : NULL;
}

void runStep(uint32_t number)
{
    struct Chance chance = chanceOfStep(number);
    uint32_t whole = 0;
    const struct Step* step = steps;

    for (size_t index = 0; index < sizeof(steps) / sizeof(steps[0]); index++)
        whole += steps[index].weight;
    for (uint32_t place = draw(&chance, whole); place >= step->weight; step++)
        place -= step->weight;
    nameStep(step->name);
    struct Link* link = drawLink(&chance);
    if (link != NULL)
        step->function(link, &chance);
    else
        openOne(NULL, &chance);
}
