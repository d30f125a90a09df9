/*
 * Control data: what lib/socket/control.c reads of any bytes, each function beside a reader of the
 * test's own; and sockets that receive and send it (control-socket.c). The bytes lie in memory of
 * exactly their size, so that AddressSanitizer sees who reads beyond. Descriptors are those of the
 * simulated kernel: one that is closed twice, or never, ends the run.
 */
#include "control-socket.h"
#include "fuzz.h"
#include "kernel.h"

#include "memory-handle.h"
#include "schedule.h"

#include "socket/control.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

enum
{
    MAX_RIGHTS = 253, /* the kernel's SCM_MAX_FD */
    TLS_LEVEL = 282,
};

static struct MemoryFile* file;
static struct Control control;

/* ---- memory of exactly the size ---- */

static uint8_t* block;

/* Behind a name of any length nothing is aligned. */
static uint8_t* copyOf(const struct Control* data, size_t shift)
{
    block = makeBlock(data->size + shift);
    if (data->size > 0)
        memcpy(block + shift, data->bytes, data->size);
    return block + shift;
}

static void freeCopy(void)
{
    free(block);
}

static struct ControlRest restOf(uint8_t* data, size_t size)
{
    return (struct ControlRest){.data = data, .size = size};
}

/* ---- what is only read ---- */

static void checkSegment(size_t shift)
{
    uint8_t* data = copyOf(&control, shift);
    struct ControlRest rest = restOf(data, control.size);
    struct ControlEntry entry;
    bool others = false;
    bool expectedOthers = false;
    int expected = 0;

    while (takeControlEntry(&rest, &entry))
        if (entry.level == IPPROTO_UDP && entry.type == UDP_GRO && entry.size >= sizeof(int))
            expected = controlHandle(&entry, 0);
        else
            expectedOthers = true;
    size_t segment = FastControlFindSegment(data, control.size, &others);
    if (segment != (expected > 0 ? (size_t)expected : 0) || others != expectedOthers)
        wrong("a segment of %zu is found, and not %d", segment, expected);
    freeCopy();
}

static void checkRecord(size_t shift)
{
    const uint8_t* data = copyOf(&control, shift);
    struct cmsghdr header = {.cmsg_level = 0};

    if (control.size >= sizeof(header))
        memcpy(&header, data, sizeof(header));
    if (FastControlNamesRecord(data, control.size) != (header.cmsg_level == TLS_LEVEL))
        wrong("a record's type is found where there is none, or not where there is one");
    freeCopy();
}

/* ---- received descriptors ---- */

static void checkClosing(size_t shift)
{
    uint32_t before = handleCount();
    uint8_t* data = copyOf(&control, shift);

    installHandles(file, data, control.size);
    FastControlCloseReceived(data, control.size);
    if (handleCount() != before)
        wrong("%u descriptors were open, and %u are left", before, handleCount());
    freeCopy();
}

/* ---- descriptors that are sent ---- */

/* What a call that passes them on must say, but for a lack of descriptors. */
static int expectDuplicates(uint8_t* data, size_t size, size_t* count)
{
    struct ControlRest rest = restOf(data, size);
    struct ControlEntry entry;

    *count = 0;
    while (takeControlEntry(&rest, &entry))
        for (size_t index = 0; index < controlHandles(&entry, SCM_RIGHTS, 0); index++) {
            if ((*count)++ == MAX_RIGHTS)
                return -EINVAL;
            if (handleFile(controlHandle(&entry, index)) == NULL)
                return -EBADF;
        }
    return rest.broken ? -EINVAL : 0;
}

static void checkChanged(uint8_t* now, uint8_t* before, size_t size)
{
    struct ControlRest rest = restOf(now, size);
    struct ControlRest restBefore = restOf(before, size);
    struct ControlEntry entry;
    struct ControlEntry entryBefore;

    while (takeControlEntry(&rest, &entry) && takeControlEntry(&restBefore, &entryBefore))
        for (size_t index = 0; index < controlHandles(&entry, SCM_RIGHTS, 0); index++) {
            int handle = controlHandle(&entryBefore, index);
            if (handleFile(controlHandle(&entry, index)) != file ||
                controlHandle(&entry, index) == handle)
                wrong("descriptor %d is passed on as it is", handle);
            setControlHandle(&entry, index, handle);
        }
    if (memcmp(now, before, size) != 0)
        wrong("other control data than descriptors was changed");
}

/* The caller's own are open before, and stay so. */
static void checkDuplicates(struct Chance* chance)
{
    static struct Control before;
    uint32_t open = handleCount();
    uint8_t* data = copyOf(&control, 0);
    size_t count;

    offerHandles(file, data, control.size, HANDLES, chance);
    uint32_t offered = handleCount();
    memcpy(before.bytes, data, control.size);
    int expected = expectDuplicates(data, control.size, &count);
    int result = FastControlDuplicateRights(data, control.size);
    if (result != expected && !(result == -EMFILE && expected == 0))
        wrong("duplicates give %d, and not %d", result, expected);
    if (handleCount() != offered + (result == 0 ? count : 0))
        wrong("%u descriptors are open, of %u and %zu duplicates", handleCount(), offered, count);
    if (result == 0) {
        static struct Control after;
        memcpy(after.bytes, data, control.size);
        checkChanged(after.bytes, before.bytes, control.size);
        FastControlCloseRights(data, control.size);
    }
    withdrawHandles(before.bytes, control.size);
    if (handleCount() != open)
        wrong("%u descriptors were open, and %u are left", open, handleCount());
    freeCopy();
}

/* ---- the target ---- */

static void checkReaders(struct Chance* chance)
{
    file = memoryOpen(MEMORY_EVENT, 8);
    for (uint32_t step = 1; step < 8 && !scheduleIsOver(); step++) {
        beginStep(step);
        size_t shift = draw(chance, 2 * sizeof(size_t));
        drawControl(&control, CONTROL_MOST, chance);
        tell("%zu bytes, shifted by %zu", control.size, shift);
        checkSegment(shift);
        checkRecord(shift);
        checkClosing(shift);
        checkDuplicates(chance);
    }
    memoryDrop(file);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    struct Chance chance = beginInput(data, size);

    if (draw(&chance, 3) == 0)
        checkReaders(&chance);
    else
        useSocket(&chance);
    endInput();
    return 0;
}
