/*
 * Looks for a frame on the thread's stack, which grows downwards.
 *
 * The stack's bounds are asked of the system, which may have to read a file for those of the first
 * thread: this is for what happens rarely.
 */
#include "base/frame.h"

#include "base/checker.h"

#include <pthread.h>
#include <stddef.h>

static bool isInside(const char* place, const char* stack, size_t size)
{
    return place >= stack && place < stack + size;
}

/* Both are on the stack of the calling thread. Without an answer they are not. */
static bool areOnStack(const char* one, const char* other)
{
    pthread_attr_t attributes;
    void* stack = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return false;
    bool known = pthread_attr_getstack(&attributes, &stack, &size) == 0;
    (void)pthread_attr_destroy(&attributes);
    return known && isInside(one, stack, size) && isInside(other, stack, size);
}

/* A sanitizer would say of the memory what we want to know. */
__attribute__((no_sanitize_address)) static bool isOverwritten(const struct FastFrame* frame)
{
    FastCheckerDefine(frame->place, 2 * sizeof(uintptr_t));
    return FAST_FRAME_HOME(frame->place) != frame->home;
}

bool FastFrameIsGone(const struct FastFrame* frame, const char* place)
{
    if (!areOnStack(frame->place, place))
        return false;
    return place >= frame->place || isOverwritten(frame);
}
