#include "control-socket.h"

#include "memory-handle.h"
#include "schedule.h"

#include <sys/socket.h>

#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

static int openHandle(struct MemoryFile* file)
{
    memoryHold(file);
    int handle = handleOpen(file);
    if (handle < 0)
        memoryDrop(file);
    return handle;
}

/* A negative number in SCM_PIDFD tells why there is none. */
void installHandles(struct MemoryFile* file, uint8_t* data, size_t size)
{
    struct ControlRest rest = {.data = data, .size = size};
    struct ControlEntry entry;

    while (takeControlEntry(&rest, &entry))
        for (size_t index = 0; index < controlHandles(&entry, SCM_RIGHTS, SCM_PIDFD); index++)
            if (entry.type == SCM_RIGHTS || controlHandle(&entry, index) >= 0)
                setControlHandle(&entry, index, openHandle(file));
}

void offerHandles(struct MemoryFile* file, uint8_t* data, size_t size, uint32_t most,
                  struct Chance* chance)
{
    struct ControlRest rest = {.data = data, .size = size};
    struct ControlEntry entry;

    while (takeControlEntry(&rest, &entry))
        for (size_t index = 0; index < controlHandles(&entry, SCM_RIGHTS, 0); index++) {
            bool open = most > 0 && draw(chance, 16) > 0;
            most -= open;
            setControlHandle(&entry, index, open ? openHandle(file) : -1);
        }
}

void withdrawHandles(uint8_t* data, size_t size)
{
    struct ControlRest rest = {.data = data, .size = size};
    struct ControlEntry entry;

    while (takeControlEntry(&rest, &entry))
        for (size_t index = 0; index < controlHandles(&entry, SCM_RIGHTS, 0); index++) {
            int handle = controlHandle(&entry, index);
            if (handle >= 0 && handleClose(handle) < 0)
                wrong("descriptor %d is not open any more", handle);
        }
}
