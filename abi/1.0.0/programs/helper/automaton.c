#include "automaton.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

void automatonOpen(struct Automaton* automaton, int type)
{
    memset(automaton, 0, sizeof(*automaton));
    automaton->type = type;
}

static int orderOf(int event)
{
    switch (event) {
    case POLLIN:
        return 1;
    case POLLOUT:
        return 2;
    case POLLERR:
        return 3;
    case POLLHUP:
        return 4;
    default:
        return 0;
    }
}

/* Where and when any event may come. */
static const char* checkPlace(const struct Automaton* automaton, const struct AutomatonView* view)
{
    if (orderOf(view->event) == 0)
        return "an event is exactly one of POLLIN, POLLOUT, POLLERR, POLLHUP";
    if (automaton->released)
        return "nothing comes after the release of the socket";
    if (!view->thread)
        return "events come on the ring's thread";
    if (view->context == AUTOMATON_END) {
        if ((view->event != POLLHUP) || (view->parameter != ECANCELED))
            return "only POLLHUP with ECANCELED comes from inside ReleaseFastRing";
    } else if (view->context != AUTOMATON_WAIT) {
        return "events come from inside WaitForFastRing only";
    }
    if (automaton->hungUp && (automaton->hangup != 0))
        return "nothing comes after POLLHUP with an errno";
    return NULL;
}

static const char* checkOrder(struct Automaton* automaton, const struct AutomatonView* view)
{
    bool several = (view->event == POLLERR) && (automaton->last == POLLERR) &&
                   (automaton->type == SOCK_DGRAM);

    if (view->turn != automaton->turn) {
        automaton->errorCount = 0;
    } else if ((orderOf(view->event) <= orderOf(automaton->last)) && !several) {
        return (view->event == automaton->last)
                   ? "at most one event of a kind in a turn"
                   : "the order in a turn is POLLIN, POLLOUT, POLLERR, POLLHUP";
    }
    automaton->turn = view->turn;
    automaton->last = view->event;
    return NULL;
}

static const char* checkInput(struct Automaton* automaton, const struct AutomatonView* view)
{
    size_t unread = (view->inbound > INT_MAX) ? INT_MAX : view->inbound;
    bool fresh = (view->received > automaton->received) || automaton->resumed;

    if (automaton->paused)
        return "no POLLIN while the socket is paused";
    if ((view->parameter < 0) || ((size_t)view->parameter != unread))
        return "POLLIN's parameter is the unread bytes";
    if ((view->parameter == 0) && (automaton->type == SOCK_STREAM))
        return "POLLIN of a stream comes with at least one byte";
    if (!fresh)
        return "POLLIN is not repeated for data left unread";
    if (automaton->hungUp && !automaton->resumed)
        return "no POLLIN after POLLHUP";
    if (automaton->fatal != 0)
        return "no POLLIN after a fatal POLLERR";

    automaton->received = view->received;
    automaton->resumed = false;
    return NULL;
}

static const char* checkOutput(const struct Automaton* automaton, const struct AutomatonView* view)
{
    if (view->parameter != 0)
        return "POLLOUT's parameter is 0";
    if (automaton->fatal != 0)
        return "no POLLOUT after a fatal POLLERR";
    if (view->outbound != 0)
        return "nothing is queued at POLLOUT";
    return NULL;
}

static const char* checkDatagramError(struct Automaton* automaton, const struct AutomatonView* view)
{
    int capacity = (int)(sizeof(automaton->errors) / sizeof(automaton->errors[0]));

    for (int index = 0; index < automaton->errorCount; index++) {
        if (automaton->errors[index] == (uint64_t)view->parameter)
            return "one POLLERR per turn and errno on a datagram socket";
    }
    if (automaton->errorCount < capacity)
        automaton->errors[automaton->errorCount++] = (uint64_t)view->parameter;
    if (view->error != 0)
        return "an error of a datagram is not fatal";
    return NULL;
}

static const char* checkError(struct Automaton* automaton, const struct AutomatonView* view)
{
    if (view->parameter <= 0)
        return "POLLERR's parameter is a positive errno";
    if (automaton->type == SOCK_DGRAM)
        return checkDatagramError(automaton, view);
    if (automaton->fatal != 0)
        return "at most one fatal POLLERR";
    if (view->error != view->parameter)
        return "a fatal POLLERR tells GetFastSocketError";

    automaton->fatal = view->parameter;
    automaton->expected = automaton->hungUp ? 0 : view->parameter;
    return NULL;
}

static const char* checkHangup(struct Automaton* automaton, const struct AutomatonView* view)
{
    bool end = (view->context == AUTOMATON_END) || view->ending;

    if (automaton->hungUp)
        return "at most one POLLHUP";
    if (view->parameter < 0)
        return "POLLHUP's parameter is 0 or a positive errno";
    if (automaton->expected != 0) {
        if (view->parameter != automaton->expected)
            return "POLLHUP after a fatal POLLERR has the same errno";
    } else if (view->parameter == 0) {
        if (automaton->paused)
            return "the end of input is not told while the socket is paused";
    } else if ((view->parameter != ECANCELED) || !end) {
        return "POLLHUP with an errno follows a POLLERR, or the release of the ring";
    }

    automaton->expected = 0;
    automaton->hungUp = true;
    automaton->hangup = view->parameter;
    return NULL;
}

const char* automatonEvent(struct Automaton* automaton, const struct AutomatonView* view)
{
    const char* rule = checkPlace(automaton, view);

    if (rule == NULL)
        rule = checkOrder(automaton, view);
    if (rule != NULL)
        return rule;
    if ((automaton->expected != 0) && (view->event != POLLHUP))
        return "POLLHUP follows a fatal POLLERR";

    switch (view->event) {
    case POLLIN:
        return checkInput(automaton, view);
    case POLLOUT:
        return checkOutput(automaton, view);
    case POLLERR:
        return checkError(automaton, view);
    default:
        return checkHangup(automaton, view);
    }
}

void automatonPause(struct Automaton* automaton)
{
    automaton->paused = true;
}

void automatonResume(struct Automaton* automaton)
{
    automaton->paused = false;
    automaton->resumed = true;
}

void automatonRelease(struct Automaton* automaton)
{
    automaton->released = true;
    automaton->expected = 0;
}

const char* automatonTurnEnd(struct Automaton* automaton)
{
    return (automaton->expected != 0) ? "POLLHUP follows a fatal POLLERR in the same turn" : NULL;
}

const char* automatonRingEnd(struct Automaton* automaton)
{
    if (!automaton->released && !automaton->hungUp)
        return "a live socket gets POLLHUP when its ring is released";
    return automatonTurnEnd(automaton);
}
