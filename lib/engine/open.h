/*
 * Which engine a ring gets.
 */
#ifndef FASTSOCKET_ENGINE_OPEN_H
#define FASTSOCKET_ENGINE_OPEN_H

#include "engine/engine.h"

/*
 * Opens the best engine that this machine has. length is the wanted number of submission entries, a
 * power of two; halved while memory is refused. The features that the environment variable
 * FASTSOCKET_FEATURES_OFF names (a number in C notation) are hidden, as if the kernel lacked them.
 * Returns 0 or negative errno, of which FastCauseGet then says why.
 */
int FastEngineOpen(struct FastEngine** result, uint32_t length);

#endif
