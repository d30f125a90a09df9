/*
 * Raw operations of the user's, on plain files both of whose ends are the test's.
 *
 * On a wire one operation receives at a time, and one sends, so that the bytes of each tell where
 * they belong. What is let go of while it is in flight may take bytes along: its wire is not looked
 * at any more.
 */
#include "parts.h"

#include "memory-system.h"
#include "pattern.h"
#include "scheduler.h"
#include "wire.h"
#include "world.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum
{
    WIRES = 3,
    RAWS = 6,
    BYTES = 240, /* of an operation's own memory */
    HELD = 8,
};

struct Raw
{
    struct FastRingDescriptor* descriptor; /* NULL: there is none */
    struct Wire* wire;
    uint8_t opcode;
    bool receives;
    bool sends;
    bool selects;
    bool inFlight;
    bool canceled;
    uint32_t provider;
};

/* A filled buffer that goes back later. */
struct Held
{
    bool used;
    uint32_t provider;
    uint64_t completion[2]; /* struct io_uring_cqe */
    uint8_t* data;
    uint64_t sum;
};

static struct
{
    struct Wire wires[WIRES];
    struct Raw raws[RAWS];
    struct Held held[HELD];
    bool ended; /* no more begins */
} state;

/* What is submitted enters the kernel with the next turn, or later. */
static bool mayClose(const struct Wire* wire)
{
    uint32_t count = 0;

    for (int index = 0; index < RAWS; index++)
        count += state.raws[index].inFlight && state.raws[index].wire == wire;
    return count <= schedulerHeld(wire->handle);
}

/* ---- buffers ---- */

static uint64_t sumOf(const uint8_t* data, int size)
{
    uint64_t sum = 0;

    for (int index = 0; index < size; index++)
        sum = sum * 31 + data[index];
    return sum;
}

static struct FastRingBufferProvider* providerOf(uint32_t number)
{
    return world.providers[number].provider;
}

static void advance(uint32_t provider, struct io_uring_cqe* completion)
{
    int result = AdvanceFastRingBuffer(providerOf(provider), completion, NULL, NULL);

    if (result != 0 && result != -ECANCELED)
        wrong("AdvanceFastRingBuffer gives %d", result);
}

static void giveBack(struct Held* held)
{
    struct io_uring_cqe* completion = (struct io_uring_cqe*)held->completion;

    if (sumOf(held->data, completion->res) != held->sum)
        wrong("a buffer that the user has was touched");
    held->used = false;
    advance(held->provider, completion);
}

static void takeBuffer(struct Raw* raw, struct io_uring_cqe* completion)
{
    uint8_t* data = GetFastRingBuffer(providerOf(raw->provider), completion);
    struct Held* held = &state.held[completion->res % HELD];

    if (data == NULL)
        wrong("a completion with %d bytes has no buffer", completion->res);
    takeFromWire(raw->wire, data, (size_t)completion->res);
    if (held->used || state.ended) {
        advance(raw->provider, completion);
        return;
    }
    held->used = true;
    held->provider = raw->provider;
    memcpy(held->completion, completion, sizeof(held->completion));
    held->data = data;
    held->sum = sumOf(data, completion->res);
}

/* ---- completions ---- */

static void release(struct Raw* raw)
{
    if (raw->inFlight && raw->receives) {
        raw->wire->lost = true;
        raw->wire->receiving = false;
    }
    if (raw->inFlight && raw->sends) {
        raw->wire->lost = true;
        raw->wire->sending = false;
    }
    if (raw->descriptor != NULL)
        ReleaseFastRingDescriptor(raw->descriptor);
    *raw = (struct Raw){.descriptor = NULL};
}

static void onBytes(struct Raw* raw, struct io_uring_cqe* completion)
{
    if (completion->res <= 0)
        return;
    if (raw->selects)
        takeBuffer(raw, completion);
    else if (raw->receives)
        takeFromWire(raw->wire, GetFastRingDescriptorData(raw->descriptor, NULL),
                     (size_t)completion->res);
    else if (raw->sends)
        raw->wire->sent += (uint64_t)completion->res;
}

static void endFlight(struct Raw* raw)
{
    raw->inFlight = false;
    raw->wire->receiving &= !raw->receives;
    raw->wire->sending &= !raw->sends;
}

static int onCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                        int reason)
{
    struct Raw* raw = GetFastRingDescriptorClosure(descriptor);

    tell("raw %u: reason %d, %d", raw->opcode, reason, completion != NULL ? completion->res : 0);
    if (raw->descriptor == descriptor && !raw->inFlight && reason == FASTRING_REASON_RELEASED &&
        world.ending)
        return 1; /* behind a result that was on its way */
    if (raw->descriptor != descriptor || !raw->inFlight)
        wrong("a raw operation completes that is not in flight, or was released");
    if (world.context != AUTOMATON_WAIT && world.context != AUTOMATON_END)
        wrong("a raw operation completes from nowhere");
    if ((completion == NULL) != (reason == FASTRING_REASON_RELEASED))
        wrong("a raw operation is told %d with a wrong completion", reason);
    if (completion != NULL)
        onBytes(raw, completion);
    if (reason == FASTRING_REASON_INCOMPLETE)
        return 1;
    endFlight(raw);
    if (happens(FAULT_REACTION) && choose(2) == 0) {
        raw->descriptor = NULL;
        return 0;
    }
    return 1;
}

/* ---- submitting ---- */

static void prepareInto(struct Raw* raw, struct io_uring_sqe* entry, size_t size,
                        struct Chance* chance)
{
    void* data = GetFastRingDescriptorData(raw->descriptor, NULL);
    int flags = oneIn(chance, 2) ? MSG_WAITALL : 0;

    if (oneIn(chance, 2))
        io_uring_prep_read(entry, raw->wire->handle, data, (unsigned)size, UINT64_MAX);
    else
        io_uring_prep_recv(entry, raw->wire->handle, data, size, flags);
}

static void prepareReceive(struct Raw* raw, struct io_uring_sqe* entry, struct Chance* chance)
{
    bool many = oneIn(chance, 2);

    raw->receives = true;
    raw->wire->receiving = true;
    raw->selects = oneIn(chance, 2) && providerOf(raw->provider) != NULL;
    if (!raw->selects) {
        prepareInto(raw, entry, 1 + draw(chance, BYTES), chance);
        return;
    }
    if (many)
        io_uring_prep_recv_multishot(entry, raw->wire->handle, NULL, 0, 0);
    else
        io_uring_prep_recv(entry, raw->wire->handle, NULL, 0, oneIn(chance, 3) ? MSG_WAITALL : 0);
    PrepareFastRingBuffer(providerOf(raw->provider), entry);
}

static void prepareSend(struct Raw* raw, struct io_uring_sqe* entry, struct Chance* chance)
{
    uint8_t* data = GetFastRingDescriptorData(raw->descriptor, NULL);
    size_t size = 1 + draw(chance, BYTES);
    int flags = oneIn(chance, 2) ? MSG_WAITALL : 0;

    raw->sends = true;
    raw->wire->sending = true;
    fillPattern(data, size, wirePlaceOut(raw->wire) + raw->wire->sent);
    if (oneIn(chance, 2))
        io_uring_prep_send(entry, raw->wire->handle, data, size, flags | MSG_NOSIGNAL);
    else
        io_uring_prep_write(entry, raw->wire->handle, data, (unsigned)size, UINT64_MAX);
}

static void prepareOther(struct Raw* raw, struct io_uring_sqe* entry, struct Chance* chance)
{
    static const unsigned masks[] = {POLLIN, POLLOUT, POLLIN | POLLOUT, 0};
    unsigned mask = masks[draw(chance, 4)];

    switch (draw(chance, 5)) {
    case 0:
        io_uring_prep_nop(entry);
        break;
    case 1:
        io_uring_prep_poll_multishot(entry, raw->wire->handle, mask);
        break;
    case 2:
        io_uring_prep_cancel_fd(entry, raw->wire->handle, 0);
        break;
    case 3:
        if (oneIn(chance, 3)) {
            io_uring_prep_shutdown(entry, raw->wire->handle, SHUT_WR);
            break;
        }
        /* fall through */
    default:
        io_uring_prep_poll_add(entry, raw->wire->handle, mask);
        break;
    }
}

static void submit(struct Raw* raw, struct Chance* chance)
{
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(raw->descriptor);

    raw->receives = false;
    raw->sends = false;
    raw->selects = false;
    raw->canceled = false;
    raw->provider = draw(chance, PROVIDERS);
    memset(entry, 0, sizeof(*entry));
    if (oneIn(chance, 2) && !raw->wire->receiving)
        prepareReceive(raw, entry, chance);
    else if (oneIn(chance, 2) && !raw->wire->sending)
        prepareSend(raw, entry, chance);
    else
        prepareOther(raw, entry, chance);
    raw->opcode = entry->opcode;
    raw->inFlight = true;
    int result = SubmitFastRingDescriptor(raw->descriptor);
    tell("raw %u on %d", raw->opcode, raw->wire->handle);
    if (result != 0)
        wrong("SubmitFastRingDescriptor gives %d", result);
}

static void cancel(struct Raw* raw)
{
    int result = CancelFastRingDescriptor(raw->descriptor);

    tell("raw %u is canceled", raw->opcode);
    raw->canceled = true;
    if (result != 0)
        wrong("CancelFastRingDescriptor gives %d", result);
}

/* ---- steps ---- */

static void useRaw(struct Raw* raw, struct Wire* wire, struct Chance* chance)
{
    if (raw->descriptor == NULL) {
        raw->descriptor = AllocateFastRingDescriptor(world.ring, onCompletion, raw);
        if (raw->descriptor == NULL && (errno != ENOMEM || run->calm))
            wrong("AllocateFastRingDescriptor: %s", strerror(errno));
    }
    if (raw->descriptor == NULL)
        return;
    if (raw->inFlight && oneIn(chance, 6))
        release(raw);
    else if (raw->inFlight)
        cancel(raw);
    else {
        raw->wire = wire;
        submit(raw, chance);
    }
}

static void useWire(struct Wire* wire, struct Chance* chance)
{
    if (oneIn(chance, 12) && mayClose(wire))
        closeWire(wire);
    else if (oneIn(chance, 2))
        writeWire(wire, 1 + draw(chance, WIRE_CAPACITY));
    else
        readWire(wire);
}

static void step(struct Chance* chance)
{
    struct Wire* wire = &state.wires[draw(chance, WIRES)];
    struct Held* held = &state.held[draw(chance, HELD)];

    if (held->used)
        giveBack(held);
    if (wire->peer == NULL && !wire->receiving && !wire->sending)
        openWire(wire, chance);
    if (wire->peer == NULL)
        return;
    if (oneIn(chance, 2))
        useWire(wire, chance);
    else
        useRaw(&state.raws[draw(chance, RAWS)], wire, chance);
}

/* ---- the part ---- */

static void openAll(void)
{
    memset(&state, 0, sizeof(state));
    forgetWires();
}

/* All are canceled, and say so; what others wait for goes back. */
static const char* missing(void)
{
    const char* result = NULL;

    state.ended = true;
    for (int index = 0; index < HELD; index++)
        if (state.held[index].used)
            giveBack(&state.held[index]);
    for (int index = 0; index < RAWS; index++) {
        struct Raw* raw = &state.raws[index];
        if (!raw->inFlight)
            continue;
        result = "the end of a raw operation";
        if (world.turn % 16 == 0)
            cancel(raw);
    }
    return result;
}

static void releaseAll(struct Chance* chance)
{
    state.ended = true;
    for (int index = 0; index < HELD; index++)
        if (state.held[index].used)
            giveBack(&state.held[index]);
    for (int index = 0; index < RAWS; index++)
        if (state.raws[index].selects || oneIn(chance, 2))
            release(&state.raws[index]);
}

static void closeAll(void)
{
    for (int index = 0; index < RAWS; index++) {
        if (state.raws[index].inFlight)
            wrong("a raw operation is not told of the ring's end");
        release(&state.raws[index]);
    }
    for (int index = 0; index < WIRES; index++)
        if (state.wires[index].peer != NULL)
            closeWire(&state.wires[index]);
}

const struct Part rawPart = {openAll, step, missing, releaseAll, closeAll};
