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
    const char* place; /* where it is */
    uintptr_t home;    /* the address that it returns to, where it is known where that lies */
};

/* Where the calling function's frame is. */
#define FAST_FRAME_PLACE ((const char*)__builtin_frame_address(0))

/* The word of a frame at place that stays as it is until the function returns. */
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__)
#define FAST_FRAME_HOME(place) (((const volatile uintptr_t*)(place))[1])
#else
#define FAST_FRAME_HOME(place) ((void)(place), (uintptr_t)0)
#endif

/* Notes the frame of the function that has this place. */
static inline void FastFrameNote(struct FastFrame* frame, const char* place)
{
    frame->place = place;
    frame->home = FAST_FRAME_HOME(place);
}

/* Whether a frame is gone, for a function of the same thread whose own frame is at place. true is
 * certain: the caller is no deeper than the frame was, or the frame's place has been used for
 * something else. false: it is there, or nothing can be told; so it is if one of the two is not on
 * the thread's own stack, but on that of a coroutine. */
bool FastFrameIsGone(const struct FastFrame* frame, const char* place);

#endif
