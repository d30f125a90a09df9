/*
 * A ring on an engine that somebody has opened: for CreateFastRing, and for tests of what needs no
 * kernel.
 */
#ifndef FASTSOCKET_RING_LIFE_H
#define FASTSOCKET_RING_LIFE_H

#include "ring/ring.h"

/* What CreateFastRing does with an engine that it has opened. The engine is the ring's from now on,
 * and is closed and destroyed if no ring comes of it. NULL with errno ENOMEM. */
struct FastRing* FastRingCreateOn(struct FastEngine* engine);

#endif
