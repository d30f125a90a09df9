/*
 * Probes for tracers of the system: instructions that do nothing until one is put in their place.
 * Where <sys/sdt.h> was not there at build time there are none.
 *
 * All have one semaphore in common, which tells whether anybody listens to any.
 */
#ifndef FASTSOCKET_PROBE_H
#define FASTSOCKET_PROBE_H

#ifdef FASTSOCKET_SDT

#define _SDT_HAS_SEMAPHORES 1 /* NOLINT(bugprone-reserved-identifier): the header's own */
#include <sys/sdt.h>

#define FAST_PROBE_SECTION __attribute__((section(".probes")))
#define FAST_PROBE_SEMAPHORE(name)                               \
    extern volatile unsigned short fastsocket_##name##_semaphore \
        __attribute__((alias("FastTraceListeners"), visibility("hidden"), used))
#define FAST_PROBE2(name, ...) STAP_PROBE2(fastsocket, name, __VA_ARGS__)
#define FAST_PROBE4(name, ...) STAP_PROBE4(fastsocket, name, __VA_ARGS__)
#define FAST_PROBE6(name, ...) STAP_PROBE6(fastsocket, name, __VA_ARGS__)

#else

#define FAST_PROBE_SECTION
#define FAST_PROBE_SEMAPHORE(name) _Static_assert(sizeof(#name) > 1, "a probe that is none")
#define FAST_PROBE2(name, ...)     ((void)0)
#define FAST_PROBE4(name, ...)     ((void)0)
#define FAST_PROBE6(name, ...)     ((void)0)

#endif

#endif
