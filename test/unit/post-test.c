/* Posts that lack memory, on a ring without a kernel. */
#include "countdown.h"
#include "ring/life.h"
#include "simulated.h"
#include "suite.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

static struct Simulated kernel;
static struct Countdown memory;

FAILING_CALL(&memory, NULL, void*, calloc, (size_t count, size_t size), (count, size))

AREA(post, "post");

static int calls;

static void count(struct FastRing* ring, void* closure)
{
    (void)ring;
    ck_assert_int_eq((int)(intptr_t)closure, calls);
    calls++;
}

/* §2.8 wake of posts: one that lacks memory is refused, and the others come */
CASE(post, lacksMemory)
{
    struct FastRing* ring = FastRingCreateOn(simulatedOpen(&kernel));
    ck_assert_ptr_nonnull(ring);
    ck_assert_int_eq(PostFastRingCall(ring, count, (void*)0), 0);
    failCall(&memory, 1);
    ck_assert_int_eq(PostFastRingCall(ring, count, (void*)7), -ENOMEM);
    failNoCall(&memory);
    ck_assert_int_eq(PostFastRingCall(ring, count, (void*)1), 0);
    while (calls < 2)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    ReleaseFastRing(ring);
    ck_assert_int_eq(calls, 2);
}
