/*
 * An engine in user space, on any system.
 */
#ifndef FASTSOCKET_ENGINE_SOFT_H
#define FASTSOCKET_ENGINE_SOFT_H

#include "engine/system.h"
#include "engine/engine.h"

/*
 * Opens an engine with length submission entries, a power of two, that runs operations on system,
 * which is the engine's from then on (also when it fails). hidden: FASTRING_FEATURE_* that it
 * behaves without. Returns 0 or negative errno.
 */
int FastSoftOpen(struct FastEngine** result, struct FastSystem* system, uint32_t length,
                 uint64_t hidden);

#endif
