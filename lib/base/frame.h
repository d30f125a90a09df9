/*
 * Whether the frame of a function that has not returned is still on the stack: it may have been
 * left by longjmp, by an exception, or by what other languages do so.
 */
#ifndef FASTSOCKET_FRAME_H
#define FASTSOCKET_FRAME_H

#include <stdbool.h>
#include <stdint.h>

struct FastFrame
{
    const char* place;              /* where it is */
    const volatile uintptr_t* mark; /* a variable in it, */
    uintptr_t value;                /* and what that holds as long as it is there */
};

/* Where the calling function's frame is. */
#define FAST_FRAME_PLACE ((const char*)__builtin_frame_address(0))

/* Whether a frame is gone, for a function of the same thread whose own frame is at place. true is
 * certain: the caller is no deeper than the frame was, or the frame's place has been used for
 * something else. false: it is there, or nothing can be told; so it is if one of the two is not on
 * the thread's own stack, but on that of a coroutine. */
bool FastFrameIsGone(const struct FastFrame* frame, const char* place);

#endif
