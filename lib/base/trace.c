/*
 * A line, or a probe, for each thing that happens.
 *
 * Lines are written whole, each by one write(2) to the end of the file: so those of several
 * threads, and of forked children, which share the file, don't mix. What can't be written is lost,
 * and nobody is kept waiting. A program that closes descriptors that it doesn't know, as daemons
 * do, ends its trace: what has the number then is not written to.
 */
#include "base/trace.h"
#include "base/handle.h"
#include "base/pipe-signal.h"
#include "base/probe.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum
{
    TRACE_LENGTH = 512,   /* of a line */
    TRACE_NAME = 4096,    /* of the file */
    TRACE_DECIMAL = 1000, /* nanoseconds of the last digit */
};

volatile unsigned short FastTraceListeners FAST_PROBE_SECTION;

FAST_PROBE_SEMAPHORE(turn);
FAST_PROBE_SEMAPHORE(submit);
FAST_PROBE_SEMAPHORE(complete);
FAST_PROBE_SEMAPHORE(event);
FAST_PROBE_SEMAPHORE(transmit);
FAST_PROBE_SEMAPHORE(decide);

static atomic_int file = -1;
static dev_t device; /* it is this one */
static ino_t inode;
static bool isPipe;    /* a write may raise SIGPIPE */
static bool isRegular; /* or SIGXFSZ */

/* ---- the file ---- */

/* «%p» is the number of the process. false: the name is too long. */
static bool makeName(const char* pattern, char* name, size_t size)
{
    const char* place = strstr(pattern, "%p");
    int length = place == NULL ? snprintf(name, size, "%s", pattern)
                               : snprintf(name, size, "%.*s%d%s", (int)(place - pattern), pattern,
                                          (int)getpid(), place + 2);
    return length > 0 && (size_t)length < size;
}

static void askEnvironment(void)
{
    char name[TRACE_NAME];
    struct stat status;
    const char* pattern = secure_getenv("FASTSOCKET_TRACE");
    if (pattern == NULL || !makeName(pattern, name, sizeof(name)))
        return;
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int handle = FastHandleMove(open(name, flags, 0600));
    if (handle < 0)
        return;
    if (fstat(handle, &status) < 0) /* UNTESTED: it is open */
        return;
    device = status.st_dev;
    inode = status.st_ino;
    isPipe = S_ISFIFO(status.st_mode);
    isRegular = S_ISREG(status.st_mode);
    file = handle;
    FastTraceListeners++;
}

void FastTraceBegin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, askEnvironment);
}

static bool isStillOpen(void)
{
    struct stat status;
    return fstat(file, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

static bool isBounded(void)
{
    struct rlimit limit;
    return isRegular && getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

static void writeWhole(const char* line, size_t length)
{
    struct FastPipeSignal guard;
    bool bounded = isBounded();
    if (!isStillOpen()) {
        file = -1;
        return;
    }
    if (isPipe)
        FastPipeSignalBlock(&guard);
    else if (bounded)
        FastSizeSignalBlock(&guard);
    ssize_t written = write(file, line, length);
    if (isPipe || bounded)
        (void)FastPipeSignalRestore(&guard);
    (void)written; /* a full disk is not the program's business */
}

__attribute__((format(printf, 1, 2))) static void writeLine(const char* format, ...)
{
    char line[TRACE_LENGTH];
    struct timespec now;
    va_list arguments;
    if (file < 0)
        return;
    int error = errno;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    int length = snprintf(line, sizeof(line), "%lld.%06ld %d ", (long long)now.tv_sec,
                          now.tv_nsec / TRACE_DECIMAL, (int)getpid());
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof(line) - (size_t)length, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof(line) - 1)
        length = sizeof(line) - 1;
    line[length++] = '\n';
    writeWhole(line, (size_t)length);
    errno = error;
}

/* ---- what happens ---- */

void FastTraceTurn(const void* ring, uint64_t number)
{
    FAST_PROBE2(turn, ring, number);
    writeLine("turn ring=%p number=%llu", ring, (unsigned long long)number);
}

void FastTraceSubmit(const void* ring, int handle, const char* name, uint64_t id)
{
    FAST_PROBE4(submit, ring, handle, name, id);
    writeLine("submit ring=%p fd=%d op=%s id=%llx", ring, handle, name, (unsigned long long)id);
}

void FastTraceComplete(const void* ring, int handle, const char* name, uint64_t id, int result,
                       bool more)
{
    FAST_PROBE6(complete, ring, handle, name, id, result, more);
    writeLine("complete ring=%p fd=%d op=%s id=%llx result=%d more=%d", ring, handle, name,
              (unsigned long long)id, result, more);
}

void FastTraceEvent(const void* object, int handle, const char* name, int parameter)
{
    FAST_PROBE4(event, object, handle, name, parameter);
    writeLine("event object=%p fd=%d what=%s parameter=%d", object, handle, name, parameter);
}

void FastTraceTransmit(const void* socket, int handle, size_t size, int result)
{
    FAST_PROBE4(transmit, socket, handle, size, result);
    writeLine("transmit object=%p fd=%d bytes=%zu result=%d", socket, handle, size, result);
}

void FastTraceDecide(const void* object, int handle, const char* name, bool on)
{
    FAST_PROBE4(decide, object, handle, name, on);
    writeLine("decide object=%p fd=%d what=%s on=%d", object, handle, name, on);
}
