/*
 * What a C library may lack: musl has neither strerrordesc_np nor strerrorname_np, and before 1.2.5
 * neither preadv2 nor pwritev2.
 */
#ifndef FASTSOCKET_MISSING_H
#define FASTSOCKET_MISSING_H

#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#ifndef FASTSOCKET_HAS_PREADV2
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel takes an offset in two longs, and puts them together where one has 32 bits. */
#define FAST_MISSING_OFFSET(offset) (long)(offset), (long)((uint64_t)(offset) >> 32)

#define preadv2(handle, vector, count, offset, flags) \
    syscall(SYS_preadv2, handle, vector, (long)(count), FAST_MISSING_OFFSET(offset), (long)(flags))
#define pwritev2(handle, vector, count, offset, flags) \
    syscall(SYS_pwritev2, handle, vector, (long)(count), FAST_MISSING_OFFSET(offset), (long)(flags))
#endif

/*
 * Elsewhere strerror() may translate, and write into memory that the next call writes into. Both
 * came with glibc 2.32; without them a message has an error's words where its name would stand.
 */
#ifndef FASTSOCKET_HAS_STRERRORDESC
#define strerrordesc_np(error) strerror(error)
#define strerrorname_np(error) strerror(error)
#endif

#endif
