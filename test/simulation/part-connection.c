/* Raw operations that make, accept and end connections. What an accept brings is its user's, who
 * does not let go of it before its end. */
#include "parts.h"

#include "memory-system.h"
#include "world.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>

enum
{
    OPERATIONS = 4,
    CAPACITY = 100,
};

struct Operation
{
    struct FastRingDescriptor* descriptor; /* NULL: there is none */
    bool inFlight;
    uint8_t opcode;
    int handle; /* what it is about, and is closed by us in the end; -1: nothing */
};

static struct
{
    struct Operation operations[OPERATIONS];
    struct MemoryFile* listener; /* held; NULL: there is none */
    int handle;
    uint32_t connected;
    uint32_t accepted;
} state;

/* ---- completions ---- */

static void onAccepted(int result)
{
    if (result < 0)
        return;
    if (++state.accepted > state.connected)
        wrong("more connections are accepted than were made");
    if (handleClose(result) < 0)
        wrong("an accepted connection is not open");
}

static void onConnected(struct Operation* own, int result)
{
    const struct MemoryFile* file = handleFile(own->handle);

    if (file == NULL)
        wrong("a connect has closed its descriptor");
    if (result == 0 && (file->connecting || file->unconnected))
        wrong("a connect is over before it is");
}

static void endFlight(struct Operation* own)
{
    own->inFlight = false;
    if (own->handle >= 0 && handleClose(own->handle) < 0)
        wrong("what a raw operation was about is closed");
    own->handle = -1;
}

static void onResult(struct Operation* own, const struct io_uring_cqe* completion)
{
    if (own->opcode == IORING_OP_ACCEPT)
        onAccepted(completion->res);
    else if (own->opcode == IORING_OP_CONNECT)
        onConnected(own, completion->res);
    else if (completion->res == 0)
        own->handle = -1; /* closed, and somebody else's perhaps */
}

static int onCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                        int reason)
{
    struct Operation* own = GetFastRingDescriptorClosure(descriptor);

    tell("raw %u: reason %d, %d", own->opcode, reason, completion != NULL ? completion->res : 0);
    if (!own->inFlight && reason == FASTRING_REASON_RELEASED && world.ending)
        return 1; /* behind a result that was on its way */
    if (own->descriptor != descriptor || !own->inFlight)
        wrong("a raw operation completes that is not in flight");
    if (completion != NULL)
        onResult(own, completion);
    if (reason != FASTRING_REASON_INCOMPLETE)
        endFlight(own);
    return 1;
}

/* ---- steps ---- */

static void openListener(void)
{
    state.listener = memoryOpen(MEMORY_LISTENER, 0);
    state.handle = handleOpen(state.listener);
    if (state.handle >= 0) {
        memoryHold(state.listener);
        return;
    }
    memoryDrop(state.listener);
    state.listener = NULL;
}

/* Who accepts hears of it; the next listener is another one. */
static void endListener(void)
{
    state.listener->inputEnded = true;
    memoryWakes(state.listener, POLLIN | POLLRDHUP | POLLHUP);
}

static void closeListener(void)
{
    (void)handleClose(state.handle);
    memoryDrop(state.listener);
    state.listener = NULL;
    state.connected = 0;
    state.accepted = 0;
}

static bool accepts(void)
{
    for (int index = 0; index < OPERATIONS; index++)
        if (state.operations[index].inFlight && state.operations[index].opcode == IORING_OP_ACCEPT)
            return true;
    return false;
}

/* Who connects goes at once. */
static void connectClients(uint32_t count)
{
    for (; count > 0; count--) {
        struct MemoryFile* client = memoryConnect(state.listener, MEMORY_TCP, CAPACITY);
        if (client == NULL)
            return;
        state.connected++;
        memoryDrop(client);
    }
}

static bool prepareAccept(struct io_uring_sqe* entry, struct Chance* chance)
{
    if (state.listener == NULL)
        return false;
    if (oneIn(chance, 2))
        io_uring_prep_multishot_accept(entry, state.handle, NULL, NULL, 0);
    else
        io_uring_prep_accept(entry, state.handle, NULL, NULL, 0);
    return true;
}

static bool prepareConnect(struct Operation* own, struct io_uring_sqe* entry)
{
    struct MemoryFile* ours = memoryOpen(MEMORY_TCP, CAPACITY);
    struct sockaddr* address = GetFastRingDescriptorData(own->descriptor, NULL);

    ours->unconnected = true;
    own->handle = handleOpen(ours);
    if (own->handle < 0) {
        memoryDrop(ours);
        return false;
    }
    memset(address, 0, sizeof(*address));
    address->sa_family = AF_INET;
    io_uring_prep_connect(entry, own->handle, address, sizeof(*address));
    return true;
}

static bool prepareClose(struct Operation* own, struct io_uring_sqe* entry)
{
    struct MemoryFile* file = memoryOpen(MEMORY_PIPE, CAPACITY);

    own->handle = handleOpen(file);
    if (own->handle < 0)
        memoryDrop(file);
    else
        io_uring_prep_close(entry, own->handle);
    return own->handle >= 0;
}

static void submit(struct Operation* own, struct Chance* chance)
{
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(own->descriptor);
    uint32_t which = draw(chance, 3);
    bool ready = false;

    memset(entry, 0, sizeof(*entry));
    own->handle = -1;
    if (which == 0)
        ready = prepareAccept(entry, chance);
    else
        ready = which == 1 ? prepareConnect(own, entry) : prepareClose(own, entry);
    own->opcode = entry->opcode;
    own->inFlight = ready;
    if (!ready)
        return;
    int result = SubmitFastRingDescriptor(own->descriptor);
    tell("raw %u", own->opcode);
    if (result != 0)
        wrong("SubmitFastRingDescriptor gives %d", result);
}

/* A connect that is under way succeeds, or does not. */
static void move(const struct Operation* own, struct Chance* chance)
{
    struct MemoryFile* file = own->opcode == IORING_OP_CONNECT ? handleFile(own->handle) : NULL;

    if (state.listener != NULL && oneIn(chance, 20))
        endListener();
    else if (state.listener != NULL && oneIn(chance, 2))
        connectClients(1 + draw(chance, 3));
    if (file == NULL || !file->connecting)
        return;
    if (oneIn(chance, 3)) {
        memoryBreak(file, ECONNREFUSED);
        return;
    }
    file->connecting = false;
    memoryWakes(file, POLLOUT);
}

static void step(struct Chance* chance)
{
    struct Operation* own = &state.operations[draw(chance, OPERATIONS)];

    if (state.listener != NULL && state.listener->inputEnded && !accepts())
        closeListener();
    if (state.listener == NULL)
        openListener();
    if (own->descriptor == NULL)
        own->descriptor = AllocateFastRingDescriptor(world.ring, onCompletion, own);
    if (own->descriptor == NULL)
        return;
    if (!own->inFlight)
        submit(own, chance);
    else if (oneIn(chance, 4))
        (void)CancelFastRingDescriptor(own->descriptor);
    else
        move(own, chance);
}

/* ---- the part ---- */

static void openAll(void)
{
    memset(&state, 0, sizeof(state));
    for (int index = 0; index < OPERATIONS; index++)
        state.operations[index].handle = -1;
}

static const char* missing(void)
{
    const char* result = NULL;

    for (int index = 0; index < OPERATIONS; index++) {
        if (!state.operations[index].inFlight)
            continue;
        result = "the end of a raw operation";
        if (world.turn % 16 == 0)
            (void)CancelFastRingDescriptor(state.operations[index].descriptor);
    }
    return result;
}

static void releaseAll(struct Chance* chance)
{
    (void)chance;
}

static void closeAll(void)
{
    for (int index = 0; index < OPERATIONS; index++) {
        if (state.operations[index].inFlight)
            wrong("a raw operation is not told of the ring's end");
        ReleaseFastRingDescriptor(state.operations[index].descriptor);
    }
    if (state.listener != NULL)
        closeListener();
}

const struct Part connectionPart = {openAll, step, missing, releaseAll, closeAll};
