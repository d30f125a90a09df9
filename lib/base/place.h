/*
 * Where a call came from: which public function of ours it was, and who called that.
 */
#ifndef FASTSOCKET_PLACE_H
#define FASTSOCKET_PLACE_H

#include <stddef.h>

struct FastPlace
{
    const void* inside;  /* in the public function; NULL: not known */
    const void* outside; /* in its caller; NULL: not known */
};

/* Before the first place is looked for: finds out where this library's code is, and loads what is
 * needed to look at a stack, which takes memory. */
void FastPlacePrepare(void);

/* That of the call which is running. */
struct FastPlace FastPlaceFind(void);

/* Behind a call that would be the last thing its function does: it returns there all the same.
 * For public functions, whose names would be lost by a jump. */
static inline void FastPlaceStay(void)
{
    __asm__ volatile("");
}

/* In words, for the line of a report: "ReleaseFastSocket, called from ./server+0x1a2b". */
void FastPlaceWrite(const struct FastPlace* place, char* text, size_t size);

#endif
