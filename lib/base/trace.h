/*
 * Traces: lines in the file that FASTSOCKET_TRACE names, and the same as probes for tracers of the
 * system (USDT, where <sys/sdt.h> was there at build time).
 *
 * Whoever listens is counted in one number, which a turn looks at once (ring/turn.c). All that is
 * here is called in turns that are traced, and on ways that are rare.
 */
#ifndef FASTSOCKET_TRACE_H
#define FASTSOCKET_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The file, and probes that tracers have attached: these count for themselves, at any time, as the
 * semaphore of all probes is this. */
extern volatile unsigned short FastTraceListeners __attribute__((visibility("hidden")));

/* Somebody listens. */
static inline bool FastTraceRuns(void)
{
    return __builtin_expect(FastTraceListeners != 0, false);
}

/* Asks the environment, when the first ring is made. */
void FastTraceBegin(void);

/* A turn begins. */
void FastTraceTurn(const void* ring, uint64_t number);

/* An entry is given to the kernel, and a completion comes; id is the same in both. name: of the
 * opcode. */
void FastTraceSubmit(const void* ring, int handle, const char* name, uint64_t id);
void FastTraceComplete(const void* ring, int handle, const char* name, uint64_t id, int result,
                       bool more);

/* A function of the user's is called for an object. name: of the event. */
void FastTraceEvent(const void* object, int handle, const char* name, int parameter);

/* So many bytes are handed over for sending. */
void FastTraceTransmit(const void* socket, int handle, size_t size, int result);

/* Something begins (on), or is over. */
void FastTraceDecide(const void* object, int handle, const char* name, bool on);

#endif
