/*
 * Waiting under valgrind.
 */
#ifndef FASTSOCKET_ENGINE_URING_CHECKED_H
#define FASTSOCKET_ENGINE_URING_CHECKED_H

#include "engine/engine.h"

/*
 * What enter does under a checker with a timeout other than 0: *result is what enter returns.
 * functions are the engine's own, which enters without waiting here. Returns false when the engine
 * has no handle to sleep on.
 */
bool FastEngineWaitChecked(struct FastEngine* engine, const struct FastEngineFunctions* functions,
                           int64_t timeout, const sigset_t* mask, int* result);

#endif
