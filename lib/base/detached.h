/*
 * Threads of the library's own, that nobody joins.
 */
#ifndef FASTSOCKET_BASE_DETACHED_H
#define FASTSOCKET_BASE_DETACHED_H

#include <stddef.h>

/* Runs a function on a thread with so many bytes of stack, that blocks all signals and frees itself
 * when it returns: 0, or a negative errno. */
int FastDetachedStart(void* (*function)(void* argument), void* argument, size_t stack);

#endif
