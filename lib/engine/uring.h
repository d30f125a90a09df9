/*
 * The engine on io_uring, for those who open it and try it.
 */
#ifndef FASTSOCKET_ENGINE_URING_H
#define FASTSOCKET_ENGINE_URING_H

#include "engine/engine.h"

struct FastUring
{
    struct FastEngine base;
    struct io_uring ring;
    unsigned enterFlags;
    bool enabled;
    /* eventfd, open until destroy, so that a late wake can't hit a foreign descriptor */
    atomic_int wakeHandle;
    uint64_t wakeValue;
    bool deaf; /* the handle could not be registered again */
    /* eventfd that the kernel signals for a foreign loop; negative: none */
    atomic_int notifyHandle;
};

/* Of an engine that is set up. */
extern const struct FastEngineFunctions FastUringFunctions __attribute__((visibility("hidden")));

#endif
