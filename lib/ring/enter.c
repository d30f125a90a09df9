/*
 * Entering the kernel.
 *
 * The kernel raises SIGPIPE for some writes whatever their flags say; around an enter with such
 * entries the signal is blocked, and what was raised is taken off.
 */
#include "ring/enter.h"
#include "base/pipe-signal.h"

void FastRingGuardPipe(struct FastRing* ring)
{
    ring->guarded = true;
}

__attribute__((noinline)) static int enterGuarded(struct FastRing* ring, int64_t timeout,
                                                  const sigset_t* mask)
{
    struct FastPipeSignal guard;
    /* UNTESTED: the caller's mask would let the signal in while the kernel waits, but it does not
     * wait when a write has failed, since that is a completion. */
    sigset_t without;
    if (mask != NULL) {
        without = *mask;
        sigaddset(&without, SIGPIPE);
        mask = &without;
    }
    FastPipeSignalBlock(&guard);
    int result = ring->engine->functions->enter(ring->engine, timeout, mask);
    (void)FastPipeSignalRestore(&guard);
    return result;
}

/* The mask is the program's, and would let in what is read by a signalfd. Not inline: a mask takes
 * its time. */
__attribute__((noinline)) static int enterMasked(struct FastRing* ring, int64_t timeout,
                                                 const sigset_t* mask)
{
    sigset_t whole = *mask;
    for (int number = 1; number < _NSIG; number++)
        if (sigismember(ring->signals.numbers, number) > 0)
            (void)sigaddset(&whole, number);
    return ring->guarded ? enterGuarded(ring, timeout, &whole)
                         : ring->engine->functions->enter(ring->engine, timeout, &whole);
}

static int enter(struct FastRing* ring, int64_t timeout, const sigset_t* mask)
{
    if (mask != NULL && ring->signals.numbers != NULL)
        return enterMasked(ring, timeout, mask);
    return ring->guarded ? enterGuarded(ring, timeout, mask)
                         : ring->engine->functions->enter(ring->engine, timeout, mask);
}

int FastRingEnter(struct FastRing* ring, int64_t timeout, const sigset_t* mask)
{
    ring->statistics.systemCalls++;
    if (FastEngineOverflown(ring->engine))
        ring->statistics.overflows++;
    int result = enter(ring, timeout, mask);
    if (FastEngineReserved(ring->engine) == 0) {
        ring->scratch.used = 0;
        ring->guarded = false;
    }
    return result;
}

int FastRingEnterNow(struct FastRing* ring)
{
    return FastRingEnter(ring, 0, NULL);
}
