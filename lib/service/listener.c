/*
 * The life of a listener: what users call.
 *
 * Good path: a listening socket is given (CreateFastListener), or made of an address (listen.c); it
 * is accepted from (listener-accept.c) until its release.
 *
 * Release cancels what is in flight and closes the listening socket before it returns, and removes
 * its path. The end of the ring leaves a defunct listener. A connection that was kept over a pause
 * is closed then: nobody will be told of it.
 */
#include "base/address.h"
#include "base/dump.h"
#include "service/listen.h"
#include "service/listener-accept.h"
#include "service/listener-state.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

enum
{
    LISTENER_KNOWN_FLAGS = FASTLISTENER_REUSE_PORT | FASTLISTENER_ONLY_V6 | FASTLISTENER_REPLACE,
};

/* ---- what the ring calls ---- */

static void endMember(struct FastRingMember* member)
{
    struct FastListener* listener = FAST_CONTAINER(member, struct FastListener, member);
    listener->ending = true;
    FastListenerReconcile(listener);
}

static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastListener* listener = FAST_CONTAINER(member, struct FastListener, member);
    (void)orderly; /* a poll, and an accept without address, use no memory of ours */
    FastRingStopTimer(listener->ring, &listener->timer);
    FastListenerClose(listener);
    listener->ending = true;
    FastArmedForget(&listener->poll.armed);
    FastArmedForget(&listener->accept.armed);
    listener->references = 1;
    if (listener->released)
        FastListenerDrop(listener);
}

static const char* stateOf(const struct FastListener* listener)
{
    if (listener->released || listener->ending)
        return "closing";
    if (listener->failed)
        return "failed";
    if (listener->paused)
        return "paused";
    if (FastTimerIsSet(&listener->timer))
        return "backing-off";
    return listener->ended ? "ended" : "accepting";
}

static void dumpAddress(int handle, struct FastDump* dump)
{
    char text[FASTSOCKET_ADDRESS_SIZE];
    struct sockaddr_storage name = {0};
    struct sockaddr* plain = (struct sockaddr*)&name;
    socklen_t length = sizeof(name);
    const char* word = FastListenerAsk(handle, SO_PROTOCOL) == IPPROTO_MPTCP
                           ? FastAddressWord(FAST_ADDRESS_MPTCP)
                           : "";
    bool known = handle >= 0 && getsockname(handle, plain, &length) == 0 &&
                 FastAddressFormat(word, plain, length, text, sizeof(text)) == 0;
    FastDumpText(dump, "local", known ? text : NULL);
}

static void dumpMember(const struct FastRingMember* member, struct FastDump* dump)
{
    const struct FastListener* listener = FAST_CONTAINER(member, const struct FastListener, member);
    FastDumpBegin(dump, "listener", listener);
    FastDumpSigned(dump, "handle", listener->handle);
    dumpAddress(listener->handle, dump);
    FastDumpText(dump, "state", stateOf(listener));
    FastDumpYes(dump, "kept", listener->kept >= 0);
    FastDumpNumber(dump, "failures", listener->failures);
    FastDumpEnd(dump);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .end = endMember,
    .close = closeMember,
    .kind = "listener",
    .offset = offsetof(struct FastListener, member),
    .dump = dumpMember,
};

/* ---- creation ---- */

/* SCTP's one-to-many sockets listen, and serve all their peers themselves. */
static bool hasConnections(int handle)
{
    return FastListenerAsk(handle, SO_PROTOCOL) != IPPROTO_SCTP ||
           FastListenerAsk(handle, SO_TYPE) != SOCK_SEQPACKET;
}

static int checkArguments(struct FastRing* ring, int handle, int flags,
                          HandleFastListenerEvent function)
{
    int result = FastRingCheckCreate(ring);
    if (result < 0)
        return result;
    if (function == NULL || (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0)
        return -EINVAL;
    result = FastListenerAsk(handle, SO_ACCEPTCONN);
    if (result <= 0)
        return result < 0 ? result : -EINVAL;
    return hasConnections(handle) ? 0 : -EOPNOTSUPP;
}

struct FastListener* CreateFastListener(struct FastRing* ring, int handle, int flags,
                                        HandleFastListenerEvent function, void* closure)
{
    int result = checkArguments(ring, handle, flags, function);
    if (result < 0) {
        errno = -result;
        return NULL;
    }

    struct FastListener* listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    listener->ring = ring;
    listener->function = function;
    listener->closure = closure;
    FastListenerPrepare(listener);
    listener->handle = handle;
    listener->flags = flags | SOCK_CLOEXEC;
    listener->tcp = FastListenerAsk(handle, SO_PROTOCOL) == IPPROTO_TCP;
    listener->references = 1;
    FastRingLink(ring, &listener->member, &memberFunctions);
    if (FastCheckRuns())
        FastCheckTakeHandle(listener, handle);
    FastListenerReconcile(listener);
    return listener;
}

/* ---- at an address ---- */

static int checkListen(struct FastRing* ring, const char* text, int flags,
                       HandleFastListenerEvent function, struct FastAddress* address)
{
    int result = FastRingCheckCreate(ring);
    if (result < 0)
        return result;
    if (text == NULL || function == NULL || flags & ~LISTENER_KNOWN_FLAGS)
        return -EINVAL;
    result = FastAddressParse(text, address);
    return result == 0 && address->scheme == FAST_ADDRESS_UDP ? -EOPNOTSUPP : result;
}

struct FastListener* ListenFastSocket(struct FastRing* ring, const char* address, int flags,
                                      HandleFastListenerEvent function, void* closure)
{
    struct FastAddress parsed;
    struct FastLocalPath path = {.text = ""};
    int handle = checkListen(ring, address, flags, function, &parsed);
    if (handle == 0)
        handle = FastListenOpen(&parsed, flags, &path);
    if (handle < 0) {
        errno = -handle;
        return NULL;
    }
    struct FastListener* listener = CreateFastListener(ring, handle, 0, function, closure);
    if (listener != NULL) {
        listener->path = path;
        return listener;
    }
    int error = errno;
    FastLocalPathRemove(&path);
    close(handle);
    errno = error;
    return NULL;
}

/* ---- what users call ---- */

static int check(const struct FastListener* listener)
{
    if (listener == NULL)
        return -EINVAL;
    return FastRingCheckOf(listener->ring, listener);
}

int PauseFastListener(struct FastListener* listener)
{
    int result = check(listener);
    if (result < 0)
        return result;
    listener->paused = true;
    FastListenerReconcile(listener);
    return 0;
}

int ResumeFastListener(struct FastListener* listener)
{
    int result = check(listener);
    if (result < 0)
        return result;
    listener->paused = false;
    FastListenerHandKept(listener);
    FastListenerReconcile(listener);
    return 0;
}

int GetFastListenerHandle(struct FastListener* listener)
{
    int result = check(listener);
    return result < 0 ? result : listener->handle;
}

void ReleaseFastListener(struct FastListener* listener)
{
    if (listener == NULL || FastRingCheckRelease(listener->ring, listener) == -EPERM ||
        listener->released)
        return;
    listener->released = true;
    FastRingStopTimer(listener->ring, &listener->timer);
    /* What is still in flight, since its end could not be seen (the queue of completions is
     * full), has entered the kernel, and needs the number no more. */
    FastListenerLetGo(listener);
    FastRingForgetHandle(listener->ring, listener->handle);
    FastListenerClose(listener);
    FastListenerReconcile(listener);
    FastListenerDrop(listener);
}
