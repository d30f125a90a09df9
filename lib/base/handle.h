/*
 * Numbers of descriptors that are the library's own.
 */
#ifndef FASTSOCKET_HANDLE_H
#define FASTSOCKET_HANDLE_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * In a program that was started without one of the standard descriptors, the next to be opened
 * takes its number, and the program then reads, writes or closes ours: so it moves away. handle is
 * what an opening call has just returned; negative, and errno, stay.
 */
static inline int FastHandleMove(int handle)
{
    if (handle < 0 || handle > STDERR_FILENO)
        return handle;
    int moved = fcntl(handle, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int error = errno;
    close(handle);
    errno = error;
    return moved;
}

/*
 * Adds to an eventfd that has room for it, in any thread. Not by write(3), in which pthread_cancel
 * ends the calling thread: whoever was to be woken would sleep on, and nobody else would wake him,
 * since one wake is on its way.
 */
static inline void FastHandleCount(int handle, uint64_t count)
{
    long result = syscall(SYS_write, (long)handle, &count, sizeof(count));
    (void)result;
}

#endif
