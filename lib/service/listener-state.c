/*
 * What a listener has, given back: its descriptors, its path, and itself.
 */
#include "service/listener-state.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

/* The path first: while the socket listens, nobody takes it for a stale one. */
void FastListenerClose(struct FastListener* listener)
{
    FastLocalPathRemove(&listener->path);
    if (FastCheckRuns())
        FastCheckHandle(listener, listener->handle);
    if (listener->handle >= 0)
        close(listener->handle);
    listener->handle = -1;
    if (listener->kept >= 0)
        close(listener->kept);
    listener->kept = -1;
}

void FastListenerDrop(struct FastListener* listener)
{
    assert(listener->references > 0);
    if (--listener->references > 0)
        return;
    FastListenerClose(listener);
    FastRingUnlink(listener->ring, &listener->member);
    FastRingDrop(listener->ring);
    FastRingBury(listener, sizeof(*listener), &listener->ring);
}
