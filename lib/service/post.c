/*
 * Functions that other threads have the ring call.
 *
 * Each is a call of the ring's with a block of memory of its own, which is given back before the
 * function runs: so it may do what it likes, return or not. The end of the ring runs what is left.
 */
#include "ring/ring.h"

#include <errno.h>
#include <stdlib.h>

struct PostedCall
{
    struct FastRingCall call;
    struct FastRing* ring;
    HandleFastRingCall function;
    void* closure;
};

static void onCall(struct FastRingCall* call)
{
    struct PostedCall* posted = FAST_CONTAINER(call, struct PostedCall, call);
    struct PostedCall copy = *posted;

    free(posted);
    FastRingLeave(copy.ring, NULL, NULL);
    copy.function(copy.ring, copy.closure);
}

int PostFastRingCall(struct FastRing* ring, HandleFastRingCall function, void* closure)
{
    if (ring == NULL || function == NULL)
        return -EINVAL;
    struct PostedCall* posted = calloc(1, sizeof(*posted));
    if (posted == NULL)
        return -ENOMEM;
    posted->call.function = onCall;
    posted->ring = ring;
    posted->function = function;
    posted->closure = closure;
    int result = FastRingPostCall(ring, &posted->call);
    if (result < 0)
        free(posted);
    return result;
}
