/*
 * Opening an engine on io_uring.
 */
#ifndef FASTSOCKET_ENGINE_URING_OPEN_H
#define FASTSOCKET_ENGINE_URING_OPEN_H

#include "engine/engine.h"

/*
 * Opens the engine on io_uring, as FastEngineOpen says it. hidden: FASTRING_FEATURE_* that it
 * behaves without, as if the kernel lacked them.
 */
int FastUringOpen(struct FastEngine** result, uint32_t length, uint64_t hidden);

#endif
