/*
 * What the parts of the io_uring engine know of each other.
 */
#ifndef FASTSOCKET_ENGINE_URING_H
#define FASTSOCKET_ENGINE_URING_H

#include "engine/engine.h"

/*
 * Finds out by use what the kernel can do: multishot receives, bundles that are in order, byte caps,
 * reports of zero copy. engine is a fresh one of at least 8 entries, given up afterwards.
 *
 * Returns FASTRING_FEATURE_* bits, or negative errno when trying was not possible for want of
 * memory or descriptors.
 */
int64_t FastEngineTry(struct FastEngine* engine);

/*
 * What enter does under a checker with a timeout other than 0: *result is what enter returns. functions
 * are the engine's own, which enters without waiting here. Returns false when the engine has no handle to
 * sleep on.
 */
bool FastEngineWaitChecked(struct FastEngine* engine, const struct FastEngineFunctions* functions,
                           int64_t timeout, const sigset_t* mask, int* result);

#endif
