/*
 * Flush handlers: functions of users that run once, at the end of a turn.
 */
#ifndef FASTSOCKET_RING_FLUSHER_H
#define FASTSOCKET_RING_FLUSHER_H

#include "ring/base.h"

/* Runs those that are set now; reason is FASTRING_REASON_COMPLETE or FASTRING_REASON_RELEASED. */
void FastRingRunFlushers(struct FastRing* ring, int reason);

#endif
