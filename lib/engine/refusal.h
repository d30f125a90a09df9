/*
 * Why an engine could not be opened, in words.
 */
#ifndef FASTSOCKET_ENGINE_REFUSAL_H
#define FASTSOCKET_ENGINE_REFUSAL_H

#include <stdbool.h>

/* Looks for the cause of a negative errno, and says it with what helps, for FastCauseGet. uring:
 * the engine on io_uring was asked for alone; otherwise it was that on epoll. */
void FastRefusalSay(int error, bool uring);

#endif
