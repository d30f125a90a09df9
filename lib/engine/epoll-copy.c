/*
 * Memory of the user's that may not be there.
 *
 * Good path: the kernel copies it from the process to the process, and says where it could not.
 *
 * Failures: a kernel or a filter that has no such call: it is copied here, and a pointer to nowhere
 * is a fault, but for NULL and its neighbours, where nothing is ever mapped.
 */
#include "engine/epoll-copy.h"

#include "engine/epoll-nonblock.h"

#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum
{
    COPY_LOWEST = 4096, /* vm.mmap_min_addr is no lower where it matters */
};

static unsigned copyHere(const struct iovec* to, const struct iovec* from, unsigned count)
{
    unsigned done = 0;
    for (; done < count && (uintptr_t)from[done].iov_base >= COPY_LOWEST; done++)
        memcpy(to[done].iov_base, from[done].iov_base, from[done].iov_len);
    return done;
}

unsigned FastEpollCopy(struct FastSystem* system, const struct iovec* to, const struct iovec* from,
                       unsigned count)
{
    ssize_t bytes = FastEpollCount(system, process_vm_readv(getpid(), to, count, from, count, 0));
    unsigned done = 0;
    if (bytes == -EFAULT)
        return 0;
    if (bytes < 0)
        return copyHere(to, from, count);
    while (done < count && (size_t)bytes >= from[done].iov_len)
        bytes -= (ssize_t)from[done++].iov_len;
    return done;
}
