/*
 * What the kernel can do, found out by use.
 */
#ifndef FASTSOCKET_ENGINE_URING_PROBE_H
#define FASTSOCKET_ENGINE_URING_PROBE_H

#include "engine/engine.h"

/*
 * Finds out by use what the kernel can do: multishot receives, bundles that are in order, byte
 * caps, reports of zero copy. engine is a fresh one of at least 8 entries, given up afterwards.
 *
 * Returns FASTRING_FEATURE_* bits, or negative errno when trying was not possible because memory or
 * descriptors were missing.
 */
int64_t FastEngineTry(struct FastEngine* engine);

#endif
