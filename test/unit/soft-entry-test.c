/*
 * The engine in user space and stored files: their numbers are all that it has of them, since the
 * close of a duplicate would take the locks (F_SETLK) that the process has on the file.
 */
#include "soft-engine.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum
{
    MANY = 700, /* more than there is room for completions of */
};

static int file;  /* has a lock */
static int other; /* another descriptor of it, by which the lock is seen */

static int openStored(int* second)
{
    char path[] = "/tmp/fastsocket-entry-XXXXXX";
    int handle = mkstemp(path);
    ck_assert_int_ge(handle, 0);
    if (second != NULL)
        *second = open(path, O_RDWR | O_CLOEXEC);
    unlink(path);
    return handle;
}

static void openFiles(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    setUp();
    file = openStored(&other);
    ck_assert_int_eq(fcntl(file, F_SETLK, &lock), 0);
}

/* One of an open file description's own would be in its way. */
static void expectLocked(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    ck_assert_int_eq(fcntl(other, F_OFD_GETLK, &lock), 0);
    ck_assert_int_eq(lock.l_type, F_WRLCK);
}

static void closeFiles(void)
{
    expectLocked();
    tearDown();
    expectLocked();
    close(file);
    close(other);
}

AREA(entry, "soft-entry", .open = openFiles, .close = closeFiles);

static void hold(void)
{
    engine->functions->hold(engine, last());
}

static char text[4] = "abc";

/* So many that some wait for room. */
static void writeMany(int flags)
{
    for (uint64_t owner = 0; owner < MANY; owner++) {
        PREPARE(owner, write, file, text, 1, owner);
        last()->flags |= (uint8_t)flags;
        hold();
        if (owner % ENTRIES == ENTRIES - 1)
            enterOnce(0);
    }
    enterOnce(0);
}

CASE(entry, writesWithoutRoomKeepLocks)
{
    writeMany(0);
    for (uint64_t owner = 0; owner < MANY; owner++)
        expect(owner, 1, 0);
}

/* Its number is another file's when there is room. */
CASE(entry, writesWithoutRoomKeepTheirFile)
{
    int stranger = openStored(NULL);
    int saved = fcntl(file, F_DUPFD_CLOEXEC, 0);
    struct stat status;
    writeMany(0);
    ck_assert_int_eq(dup2(stranger, file), file);
    for (uint64_t owner = 0; owner < MANY; owner++)
        expect(owner, 1, 0);
    ck_assert_int_eq(fstat(stranger, &status), 0);
    ck_assert_int_eq(status.st_size, 0);
    ck_assert_int_eq(fstat(saved, &status), 0);
    ck_assert_int_eq(status.st_size, MANY);
    close(stranger);
    dup2(saved, file);
    close(saved);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    ck_assert_int_eq(fcntl(file, F_SETLK, &lock), 0); /* dup2 has closed it */
}

CASE(entry, threadsWithoutRoomKeepLocks)
{
    bool seen[MANY] = {false};
    writeMany(IOSQE_ASYNC);
    for (int count = 0; count < MANY; count++) {
        struct Result result = take();
        ck_assert_int_eq(result.result, 1);
        ck_assert(!seen[result.owner]);
        seen[result.owner] = true;
    }
}

/* What can't be done is told with the others. */
CASE(entry, failuresWithoutRoomAreTold)
{
    char byte;
    writeMany(0);
    PREPARE(MANY, write, other, text, 1, 0);
    hold();
    PREPARE(MANY + 1, read, other, &byte, 1, 0);
    last()->flags |= IOSQE_BUFFER_SELECT; /* of no group */
    hold();
    PREPARE(MANY + 2, read, other, &byte, 1, 0);
    last()->rw_flags = 1 << 30; /* unknown */
    hold();
    enterOnce(0);
    for (uint64_t owner = 0; owner <= MANY; owner++)
        expect(owner, 1, 0);
    expect(MANY + 1, -ENOBUFS, 0);
    expect(MANY + 2, -EOPNOTSUPP, 0);
}

CASE(entry, pollsKeepLocks)
{
    PREPARE(1, poll_add, file, POLLIN);
    hold();
    expect(1, POLLIN, 0);
    PREPARE(2, poll_multishot, file, POLLIN);
    hold();
    expect(2, POLLIN, 0);
}

CASE(entry, cancellationsKeepLocks)
{
    PREPARE(1, cancel_fd, file, IORING_ASYNC_CANCEL_ALL);
    hold();
    expect(1, 0, 0);
}

CASE(entry, splicesThatWaitKeepLocks)
{
    int pipes[2];
    ck_assert_int_eq((int)write(file, text, 3), 3);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    static char much[1 << 16];
    while (write(pipes[1], much, sizeof(much)) > 0)
        continue;
    PREPARE(1, splice, file, 0, pipes[1], -1, 3, 0);
    hold();
    expectQuiet();
    expectLocked();
    while (read(pipes[0], much, sizeof(much)) > 0)
        continue;
    expect(1, 3, 0);
    close(pipes[0]);
    close(pipes[1]);
}
