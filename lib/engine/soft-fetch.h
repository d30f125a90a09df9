/*
 * What an entry points to beside data, read where that is needed: a raw operation's may not be
 * there. Of the library's own entries it is.
 */
#ifndef FASTSOCKET_ENGINE_SOFT_FETCH_H
#define FASTSOCKET_ENGINE_SOFT_FETCH_H

#include "engine/soft-operation.h"

/* So many bytes from an address of the user's. Returns 0 or -EFAULT. */
int FastSoftFetch(struct FastSoft* soft, const struct FastSoftOperation* operation, void* to,
                  uint64_t address, size_t size);

/* The header of a message, with the errno that the kernel has for it: -EFAULT, -EINVAL,
 * -EMSGSIZE. */
int FastSoftFetchHeader(struct FastSoft* soft, const struct FastSoftOperation* operation,
                        uint64_t address, struct msghdr* header);

/* Vectors, with the errno that the kernel has for them: -EFAULT, -EINVAL. */
int FastSoftFetchVector(struct FastSoft* soft, const struct FastSoftOperation* operation,
                        const struct iovec* vector, size_t count, struct iovec* to);

/* The result of one that was tried. Where its descriptor or its request is to blame, and what it
 * points to is not there, io_uring has seen that first. */
int FastSoftBlame(struct FastSoft* soft, const struct FastSoftOperation* operation, int result);

#endif
