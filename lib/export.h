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
#include <stdio.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#pragma GCC visibility push(default)

#include <Ring/FastBuffer.h>
#include <Ring/FastRing.h>
#include <Ring/FastSocket.h>

#pragma GCC visibility pop

/*
 * A function whose behaviour has changed exists twice, under the same name in two version nodes:
 * programs that were linked before keep the old one (abi/README.md, «To change behaviour»). The
 * functions behind the name have names of their own:
 *
 *     FAST_SYMBOL_OLD(FastBufferFill_1_0, FillFastBuffer, "FASTSOCKET_1.0")
 *     int FastBufferFill_1_0(struct FastBuffer* buffer) { ... as it was ... }
 *
 *     FAST_SYMBOL_DEFAULT(FastBufferFill_1_1, FillFastBuffer, "FASTSOCKET_1.1")
 *     int FastBufferFill_1_1(struct FastBuffer* buffer) { ... as it is now ... }
 *
 * Their source is one of versioned_sources in lib/meson.build. The archive has no versions: there
 * the public name is an alias of the newest. Clang lacks GCC's attribute, and would drop a function
 * that only assembly names.
 *
 * NOLINTBEGIN(bugprone-macro-parentheses): a name that is declared can't stand in parentheses.
 */
#if defined(FASTSOCKET_COMMON)
#define FAST_SYMBOL_OLD(function, name, node)     FAST_SYMBOL_DEFAULT(function, name, node)
#define FAST_SYMBOL_DEFAULT(function, name, node) \
    _Static_assert(0, #function " needs its source in versioned_sources of lib/meson.build");
#elif !defined(FASTSOCKET_SHARED)
#define FAST_SYMBOL_OLD(function, name, node) extern __typeof__(name) function;
#define FAST_SYMBOL_DEFAULT(function, name, node) \
    extern __typeof__(name) function;             \
    extern __typeof__(name) name __attribute__((alias(#function)));
#else
#define FAST_SYMBOL_OLD(function, name, node)     FAST_SYMBOL_BIND(function, name, #name "@" node)
#define FAST_SYMBOL_DEFAULT(function, name, node) FAST_SYMBOL_BIND(function, name, #name "@@" node)
#ifdef __clang__
#define FAST_SYMBOL_BIND(function, name, symbol) \
    __asm__(".symver " #function ", " symbol);   \
    extern __typeof__(name) function __attribute__((used, visibility("default")));
#else
#define FAST_SYMBOL_BIND(function, name, symbol) \
    extern __typeof__(name) function __attribute__((symver(symbol), visibility("default")));
#endif
#endif
/* NOLINTEND(bugprone-macro-parentheses): no more of them. */

#endif
