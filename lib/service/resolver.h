/*
 * Names of hosts and services, looked up without keeping the ring waiting.
 */
#ifndef FASTSOCKET_RESOLVER_H
#define FASTSOCKET_RESOLVER_H

#include "base/address.h"
#include "ring/ring.h"

struct FastQuery;

/* How it went: 0 and a list, which goes with the call; or an EAI_* of getaddrinfo, and of
 * EAI_SYSTEM its errno. */
struct FastAnswerOfNames
{
    int result;
    int error;
    const struct addrinfo* list;
};

/* Called in the dispatch phase. */
typedef void (*FastResolverFunction)(void* closure, const struct FastAnswerOfNames* answer);

/* Has an address looked up that is not numeric. place tells of the query for as long as function is
 * still to be called, and is NULL again from then on; it lives at least until that. The end of the
 * ring ends it without a call. 0, or a negative errno: no thread, or no memory. */
int FastResolverAsk(struct FastRing* ring, const struct FastAddress* address,
                    FastResolverFunction function, void* closure, struct FastQuery** place);

/* Not called any more. Harmless where place tells of none. */
void FastResolverForget(struct FastQuery** place);

/* The errno that stands for a failure. */
int FastResolverErrno(int result, int error);

#endif
