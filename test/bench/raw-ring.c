/*
 * The ring of the raw contender: one enter a turn, which submits what the last turn brought and
 * waits. Buffers go back to the kernel all at once at the end of a turn, since it takes none
 * between two enters.
 */
#include "raw.h"

#include <errno.h>
#include <stdlib.h>

enum
{
    ENTRIES = 4096,
    COMPLETIONS = 32768,
    WAITERS = 65536
};

static struct io_uring ring;
static uint64_t spin;

static struct io_uring_buf_ring* group;
static uint8_t* memory;
static uint32_t bufferLength;
static unsigned bufferMask;
static uint16_t* order; /* buffers by their place in the ring, and the other way round */
static uint16_t* place;
static uint16_t tail;     /* the place of the next one that goes back */
static unsigned returned; /* in this turn */
static bool bundles;      /* the kernel has them */

static struct Operation* waiting[WAITERS];
static unsigned waiters;

void openRing(const struct ServerOptions* options)
{
    struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                                  IORING_SETUP_DEFER_TASKRUN |
                                                  IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
                                         .cq_entries = COMPLETIONS};
    int result;

    spin = options->spin * 1000;
    if (spin > 0)
        parameters.flags |= IORING_SETUP_TASKRUN_FLAG;
    result = io_uring_queue_init_params(ENTRIES, &ring, &parameters);
    if (result < 0)
        die("io_uring_queue_init", result);
    io_uring_register_ring_fd(&ring);
    bundles = (parameters.features & IORING_FEAT_RECVSEND_BUNDLE) != 0;
}

struct io_uring_sqe* takeEntry(void)
{
    struct io_uring_sqe* entry = io_uring_get_sqe(&ring);

    if (entry == NULL) {
        io_uring_submit(&ring);
        entry = io_uring_get_sqe(&ring);
    }
    if (entry == NULL)
        die("no submission entry", EBUSY);
    return entry;
}

/* ---- buffers ---- */

void openBuffers(const struct ServerOptions* options)
{
    struct io_uring_buf_reg registration = {.ring_entries = options->count, .bgid = BUFFER_GROUP};
    size_t size = options->count * sizeof(struct io_uring_buf);
    int result;

    bufferLength = options->length;
    bufferMask = options->count - 1;
    if ((options->count & bufferMask) != 0)
        die("the number of buffers is no power of two", EINVAL);
    memory = aligned_alloc(4096, (size_t)options->count * bufferLength);
    group = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
    if ((memory == NULL) || (group == NULL))
        die("buffers", ENOMEM);
    registration.ring_addr = (uintptr_t)group;
    result = io_uring_register_buf_ring(&ring, &registration, 0);
    if (result < 0)
        die("io_uring_register_buf_ring", result);
    order = allocateOrDie(options->count * sizeof *order);
    place = allocateOrDie(options->count * sizeof *place);
    io_uring_buf_ring_init(group);
    for (unsigned i = 0; i < options->count; i++)
        returnBuffer(i);
}

void useBuffers(struct io_uring_sqe* entry, bool bundle)
{
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = BUFFER_GROUP;
    if (bundle && bundles)
        entry->ioprio |= IORING_RECVSEND_BUNDLE;
}

unsigned bufferOf(const struct io_uring_cqe* completion)
{
    return completion->flags >> IORING_CQE_BUFFER_SHIFT;
}

uint8_t* bufferData(unsigned buffer)
{
    return memory + ((size_t)buffer * bufferLength);
}

unsigned bufferBehind(unsigned buffer)
{
    return order[(place[buffer] + 1U) & bufferMask];
}

void returnBuffer(unsigned buffer)
{
    io_uring_buf_ring_add(group, bufferData(buffer), bufferLength, (unsigned short)buffer,
                          (int)bufferMask, (int)returned);
    order[tail & bufferMask] = (uint16_t)buffer;
    place[buffer] = tail & bufferMask;
    tail++;
    returned++;
}

void waitForBuffers(struct Operation* operation)
{
    if (waiters == WAITERS)
        die("too many receives wait for buffers", ENOBUFS);
    waiting[waiters++] = operation;
}

static void giveBuffersBack(void)
{
    unsigned count = waiters;

    if (returned == 0)
        return;
    io_uring_buf_ring_advance(group, (int)returned);
    returned = 0;
    waiters = 0;
    for (unsigned i = 0; i < count; i++)
        waiting[i]->complete(waiting[i]->owner, NULL);
}

/* ---- turns ---- */

static void completeAll(void)
{
    struct io_uring_cqe* completion;
    unsigned head;
    unsigned count = 0;

    io_uring_for_each_cqe(&ring, head, completion)
    {
        struct Operation* operation = io_uring_cqe_get_data(completion);
        if (operation != NULL)
            operation->complete(operation->owner, completion);
        count++;
    }
    io_uring_cq_advance(&ring, count);
}

/* Looks for a while without sleeping. The kernel is entered only when it has said that there is
 * something. */
static void spinForCompletions(void)
{
    uint64_t end = timeNow() + spin;

    io_uring_submit(&ring);
    while ((io_uring_cq_ready(&ring) == 0) && (timeNow() < end)) {
        if ((IO_URING_READ_ONCE(*ring.sq.kflags) & IORING_SQ_TASKRUN) != 0)
            io_uring_get_events(&ring);
    }
}

noreturn void runRing(void (*endTurn)(void))
{
    giveBuffersBack();
    for (;;) {
        int result = 0;
        if (spin > 0)
            spinForCompletions();
        if ((spin == 0) || (io_uring_cq_ready(&ring) == 0))
            result = io_uring_submit_and_wait(&ring, 1);
        if ((result < 0) && (result != -EINTR))
            die("io_uring_submit_and_wait", result);
        completeAll();
        endTurn();
        giveBuffersBack();
    }
}
