/*
 * What the library exports: everything that the public headers declare, and nothing else.
 *
 * The library is compiled with hidden visibility, and this header is included ahead of every source
 * (see meson.build). The public headers carry no attribute, since they are the customer's; they are
 * read here first, with default visibility, and a declaration's first visibility stays.
 */
#ifndef FASTSOCKET_EXPORT_H
#define FASTSOCKET_EXPORT_H

/* The system's headers, ahead of the pragma: it must not reach their declarations. */
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#pragma GCC visibility push(default)

#include <Ring/FastBuffer.h>
#include <Ring/FastRing.h>
#include <Ring/FastSocket.h>

#pragma GCC visibility pop

#endif
