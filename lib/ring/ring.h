/*
 * What the rooms above call of the ring.
 */
#ifndef FASTSOCKET_RING_H
#define FASTSOCKET_RING_H

#include "ring/base.h"
#include "ring/call.h"
#include "ring/enter.h"
#include "ring/group.h"
#include "ring/later.h"
#include "ring/limit.h"
#include "ring/misuse.h"
#include "ring/now.h"
#include "ring/shared.h"
#include "ring/spare.h"
#include "ring/tick.h"
#include "ring/timers.h"

#endif
