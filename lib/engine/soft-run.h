/*
 * Running operations: from an entry to its completion.
 */
#ifndef FASTSOCKET_ENGINE_SOFT_RUN_H
#define FASTSOCKET_ENGINE_SOFT_RUN_H

#include "engine/soft-state.h"

/* Takes the entries that were reserved. Returns 0, or -ENOMEM when some are left. */
int FastSoftSubmit(struct FastSoft* soft);

/* Runs what is queued, and what becomes so meanwhile, while there is room for completions. */
void FastSoftRunQueue(struct FastSoft* soft);

/* Queues what is to be looked at again by now. */
void FastSoftLookAgain(struct FastSoft* soft);

/* Completes what the system has done meanwhile. */
void FastSoftTakeSlow(struct FastSoft* soft);

/* Queues what had more to do than it may do at once. */
void FastSoftBeginPass(struct FastSoft* soft);

/* Gives the buffers that there are to those who wait for some, in order, or tells them that none
 * will be there. */
void FastSoftServeLines(struct FastSoft* soft);

#endif
