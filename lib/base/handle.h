/*
 * Numbers of descriptors that are the library's own.
 */
#ifndef FASTSOCKET_HANDLE_H
#define FASTSOCKET_HANDLE_H

#include <errno.h>
#include <fcntl.h>
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

#endif
