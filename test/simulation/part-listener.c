/* A listener, and those who connect to it. */
#include "parts.h"

#include "memory-system.h"
#include "scheduler.h"
#include "world.h"

#include <errno.h>
#include <string.h>

enum
{
    CLIENTS = 16,
    CAPACITY = 1000,
};

static struct
{
    struct FastListener* listener;
    struct MemoryFile* file; /* held, so that what it has can be looked at; NULL: none */
    int handle;
    bool failed;
    uint32_t clientCount;
    struct MemoryFile* clients[CLIENTS]; /* the other ends, in order */
    uint32_t accepted;
} state;

/* They are handed over in order, each once. */
static void checkConnection(int handle)
{
    struct MemoryFile* file = handleFile(handle);

    if (file == NULL)
        wrong("a listener hands over %d, which is not open", handle);
    if (state.accepted == state.clientCount || file->peer != state.clients[state.accepted])
        wrong("a listener hands over another connection than is next");
    state.accepted++;
}

static bool isShortage(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS;
}

static void onAccept(struct FastListener* listener, int handle, void* closure)
{
    (void)closure;
    tell("listener: %d", handle);
    if (state.listener != listener)
        wrong("a listener is told that was released");
    if (world.context != AUTOMATON_WAIT)
        wrong("a listener is told from nowhere");
    if (handle < 0) {
        if (!isShortage(handle) && !state.file->inputEnded)
            wrong("a listener fails with %d", handle);
        state.failed |= !isShortage(handle);
        return;
    }
    checkConnection(handle);
    if (handleClose(handle) < 0)
        wrong("a connection is not open");
    if (!happens(FAULT_REACTION))
        return;
    ReleaseFastListener(state.listener);
    state.listener = NULL;
}

/* ---- steps ---- */

static void openListener(void)
{
    memset(&state, 0, sizeof(state));
    state.file = memoryOpen(MEMORY_LISTENER, 0);
    state.handle = handleOpen(state.file);
    if (state.handle < 0) {
        memoryDrop(state.file);
        state.file = NULL;
        return;
    }
    memoryHold(state.file);
    state.listener = CreateFastListener(world.ring, state.handle, 0, onAccept, NULL);
    tell("listener of %d%s", state.handle, state.listener == NULL ? " fails" : "");
    if (state.listener != NULL)
        return;
    if (errno != ENOMEM || run->calm)
        wrong("CreateFastListener: %s", strerror(errno));
    (void)handleClose(state.handle);
    memoryDrop(state.file);
    state.file = NULL;
}

/* Who was not accepted hears of the end. */
static void forgetClients(void)
{
    for (uint32_t index = 0; index < state.clientCount; index++)
        memoryDrop(state.clients[index]);
    state.clientCount = 0;
    state.accepted = 0;
}

static void releaseListener(void)
{
    tell("listener is released");
    ReleaseFastListener(state.listener);
    state.listener = NULL;
    if (schedulerIsFaithful() && schedulerUses(state.handle) > 0)
        wrong("a listener is released, and the kernel has its file");
}

static void connectOne(void)
{
    struct MemoryFile* client = NULL;

    if (state.clientCount < CLIENTS)
        client = memoryConnect(state.file, MEMORY_TCP, CAPACITY);
    if (client != NULL)
        state.clients[state.clientCount++] = client;
}

static void step(struct Chance* chance)
{
    if (state.file == NULL) {
        openListener();
        return;
    }
    if (state.listener == NULL) {
        /* Its file may be in the kernel's hands for some turns, if a cancellation has missed. */
        forgetClients();
        memoryDrop(state.file);
        state.file = NULL;
        return;
    }
    if (oneIn(chance, 10)) {
        releaseListener();
        return;
    }
    if (oneIn(chance, 12)) {
        state.file->inputEnded = true;
        memoryWakes(state.file, 1 | 0x2000);
        return;
    }
    for (uint32_t left = 1 + draw(chance, 3); left > 0; left--)
        connectOne();
}

/* ---- the part ---- */

static void openAll(void)
{
    memset(&state, 0, sizeof(state));
}

static const char* missing(void)
{
    bool waits = state.listener != NULL && !state.failed && state.accepted < state.clientCount;
    return waits && !state.file->inputEnded ? "a connection" : NULL;
}

static void releaseAll(struct Chance* chance)
{
    if (state.listener != NULL && !oneIn(chance, 3))
        releaseListener();
}

static void closeAll(void)
{
    if (state.listener != NULL)
        releaseListener();
    forgetClients();
    if (state.file != NULL)
        memoryDrop(state.file);
    state.file = NULL;
}

const struct Part listenerPart = {openAll, step, missing, releaseAll, closeAll};
