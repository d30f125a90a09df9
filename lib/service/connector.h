/*
 * A connection to an address that may have many addresses, of which the first to answer is taken.
 */
#ifndef FASTSOCKET_CONNECTOR_H
#define FASTSOCKET_CONNECTOR_H

#include "base/address.h"
#include "ring/ring.h"

struct FastConnector;

/* What came of it: a connected descriptor, which is the callee's; or a negative errno, and its text
 * where the errno's own would not tell (NULL: it does). On the ring's thread, in any phase of a
 * turn but never inside the call that begins it; the connector is gone then. */
typedef void (*FastConnectorFunction)(void* closure, int result, const char* text);

/* Begins to connect. What has to be looked up is, by another thread. NULL and errno: ENOMEM, or
 * what hinders a thread. The end of the ring ends it without a call. */
struct FastConnector* FastConnectorStart(struct FastRing* ring, const struct FastAddress* address,
                                         FastConnectorFunction function, void* closure);

/* Gives it up: function is not called any more. Once, before or after the ring's end, but not after
 * function was called. */
void FastConnectorStop(struct FastConnector* connector);

#endif
