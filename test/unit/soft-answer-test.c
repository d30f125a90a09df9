/*
 * The engine in user space: what operations answer that are seldom asked for, or can't be done.
 */
#include "soft-engine.h"

#include "countdown.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static struct Countdown threads; /* none is made */
static struct Countdown memory_; /* of the engine's threads */
static struct Countdown counters;
static struct Countdown watches;
static struct Countdown copies; /* by the system */
static struct Countdown reads;  /* of sockets, without waiting */
static int clocks;        /* what a wait with a limit in nanoseconds gives; 0: it works */
static unsigned polls;    /* waits in its place */

FAILING_CALL(&threads, EAGAIN, int, pthread_create,
             (pthread_t * thread, const pthread_attr_t* attributes, void* (*function)(void*),
              void* closure),
             (thread, attributes, function, closure))
FAILING_CALL(&memory_, NULL, void*, malloc, (size_t size), (size))
FAILING_CALL(&memory_, NULL, void*, calloc, (size_t count, size_t size), (count, size))
FAILING_CALL(&counters, (errno = EMFILE, -1), int, eventfd, (unsigned value, int flags),
             (value, flags))
FAILING_CALL(&watches, (errno = ENOSPC, -1), int, epoll_ctl,
             (int epoll, int operation, int handle, struct epoll_event* event),
             (epoll, operation, handle, event))

FAILING_CALL(&copies, (errno = ENOSYS, -1), ssize_t, process_vm_readv,
             (pid_t process, const struct iovec* local, unsigned long localCount,
              const struct iovec* remote, unsigned long remoteCount, unsigned long flags),
             (process, local, localCount, remote, remoteCount, flags))

FAILING_CALL(&reads, (errno = EOPNOTSUPP, -1), ssize_t, preadv64v2,
             (int handle, const struct iovec* vector, int count, off_t offset, int flags),
             (handle, vector, count, offset, flags))

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (int index = 0; index < 6; index++)
        arguments[index] = va_arg(list, long);
    va_end(list);
    if (number == SYS_epoll_pwait2 && clocks != 0) {
        errno = clocks;
        return -1;
    }
    return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
                          arguments[4], arguments[5]);
}

int __real_ppoll(struct pollfd* states, nfds_t count, const struct timespec* limit,
                 const sigset_t* mask);
int __wrap_ppoll(struct pollfd* states, nfds_t count, const struct timespec* limit,
                 const sigset_t* mask);
int __wrap_ppoll(struct pollfd* states, nfds_t count, const struct timespec* limit,
                 const sigset_t* mask)
{
    polls++;
    return __real_ppoll(states, count, limit, mask);
}

AREA(answer, "soft-answer", .open = setUp, .close = tearDown);

/* From now on an operation has its place, and memory is needed for what it has to keep alone. */
static void makePlaces(void)
{
    PREPARE(100, nop);
    expect(100, 0, 0);
}

/* ---- entries ---- */

/* There is no table of files: its places are not descriptors. */
CASE(answer, refusesFilesOfATable)
{
    char byte;
    PREPARE(1, recv, pair[1], &byte, 1, 0);
    last()->flags |= IOSQE_FIXED_FILE;
    sendText(pair[0], "x");
    expect(1, -EBADF, 0);
    expectText(pair[1], "x");
}

/* Of what is not asked to wait the caller hears that there is nothing, once or for ever. */
CASE(answer, receivesOnlyWhatIsThere)
{
    char text[8] = "";
    putBuffers(1);
    PREPARE(1, recv, pair[1], text, sizeof(text), MSG_DONTWAIT);
    expect(1, -EAGAIN, 0);
    prepareMany(2, pair[1], 0, 0, 0);
    last()->msg_flags |= MSG_DONTWAIT;
    expect(2, -EAGAIN, 0);
    sendText(pair[0], "part");
    PREPARE(3, recv, pair[1], text, sizeof(text), MSG_DONTWAIT | MSG_WAITALL);
    expect(3, 4, 0);
    ck_assert_str_eq(text, "part");
}

/* A length beyond what one call takes is shortened: what there is room for goes. */
CASE(answer, shortensALongSend)
{
    const size_t there = 32 << 20;
    char* much = mmap(NULL, there, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(much, MAP_FAILED);
    PREPARE(1, send_zc, pair[0], much, 0, MSG_DONTWAIT, 0);
    last()->len = UINT32_C(1) << 31;
    struct Result result = take();
    ck_assert_int_gt(result.result, 0);
    ck_assert_uint_eq(result.flags, IORING_CQE_F_MORE);
    expect(1, 0, IORING_CQE_F_NOTIF);
    PREPARE(2, send_zc, pair[0], much, 0, MSG_DONTWAIT, 0);
    last()->len = UINT32_C(1) << 31;
    last()->ioprio = IORING_RECV_MULTISHOT; /* which a send doesn't know */
    expect(2, -EINVAL, IORING_CQE_F_MORE);
    expect(2, 0, IORING_CQE_F_NOTIF);
    munmap(much, there);
}

/* Without a system that copies what may not be there it is copied all the same, and NULL seen. */
CASE(answer, copiesItself)
{
    char text[8] = "";
    struct iovec vector = {.iov_base = text, .iov_len = 4};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    struct msghdr nowhere = {.msg_iovlen = 1};
    struct msghdr* const headers[] = {&message, NULL, &nowhere};
    failCalls(&copies, 100);
    sendText(pair[0], "word");
    for (int index = 0; index < 3; index++) {
        PREPARE(1, recvmsg, pair[1], headers[index], MSG_WAITALL | MSG_DONTWAIT);
        engine->functions->hold(engine, last());
        expect(1, index == 0 ? 4 : -EFAULT, 0);
    }
    ck_assert_str_eq(text, "word");
    failCalls(&copies, 0);
}

/* Before Linux 6.4 no socket is read by a call of files that doesn't wait. */
CASE(answer, readsOldSockets)
{
    char text[8] = "";
    struct iovec vectors[2] = {{.iov_base = text, .iov_len = 2},
                               {.iov_base = text + 2, .iov_len = 2}};
    failCalls(&reads, INT_MAX);
    for (int round = 0; round < 2; round++) {
        sendText(pair[0], "word");
        PREPARE(1, readv, pair[1], vectors, 2, 0);
        expect(1, 4, 0);
        ck_assert_str_eq(text, "word");
        PREPARE(2, readv, pair[1], NULL, 2, 0);
        engine->functions->hold(engine, last());
        expect(2, -EFAULT, 0);
        vectors[0].iov_len = vectors[1].iov_len = 0;
        PREPARE(3, readv, pair[1], vectors, 2, 0);
        expect(3, 0, 0);
        vectors[0].iov_len = vectors[1].iov_len = 2;
    }
    failCalls(&reads, 0);
}

/* ---- taking back ---- */

/* A poll is removed by what it belongs to; nothing else is, and none is changed. */
CASE(answer, removesPollsAlone)
{
    char text[8] = "";
    PREPARE(1, poll_add, pair[1], POLLIN);
    PREPARE(2, recv, pair[0], text, sizeof(text), 0);
    PREPARE(3, poll_remove, 3);
    expect(3, -ENOENT, 0);
    PREPARE(4, poll_remove, 2);
    expect(4, -ENOENT, 0);
    PREPARE(5, poll_update, 1, 1, POLLOUT, IORING_POLL_UPDATE_EVENTS);
    expect(5, -EOPNOTSUPP, 0);
    PREPARE(6, poll_remove, 1);
    int sum = 0;
    for (int count = 0; count < 2; count++) {
        struct Result result = take();
        ck_assert(result.owner == 6 || result.owner == 1);
        sum += result.owner == 1 ? result.result : 1000 * result.result;
    }
    ck_assert_int_eq(sum, -ECANCELED);
    sendText(pair[1], "still");
    expect(2, 5, 0);
}

/* More connections than an operation accepts in a pass: in between it may be canceled, and others
 * may have their turn. */
CASE(answer, cancelsWhatHasItsTurnLater)
{
    enum
    {
        CONNECTIONS = 40,
        PASS = 32,
    };
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int listener = listenTcp(&address, &length);
    int other = listenTcp(&address, &length);
    int clients[2 * CONNECTIONS];
    for (int index = 0; index < 2 * CONNECTIONS; index++) {
        clients[index] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr* name = (struct sockaddr*)&address;
        socklen_t own = sizeof(address);
        ck_assert_int_eq(getsockname(index % 2 ? other : listener, name, &own), 0);
        ck_assert_int_eq(connect(clients[index], name, own), 0);
    }
    PREPARE(1, multishot_accept, listener, NULL, NULL, SOCK_CLOEXEC);
    PREPARE(2, multishot_accept, other, NULL, NULL, SOCK_CLOEXEC);
    PREPARE(3, cancel64, 1, 0);
    int accepted[3] = {0};
    bool over = false;
    bool told = false;
    while (!over || !told || accepted[2] < CONNECTIONS) {
        struct Result result = take();
        over |= result.owner == 1 && result.result == -ECANCELED && result.flags == 0;
        told |= result.owner == 3 && result.result == 0;
        if (result.result > 0) {
            accepted[result.owner]++;
            close(result.result);
        }
    }
    ck_assert_int_eq(accepted[1], PASS);
    expectQuiet();
    close(listener);
    close(other);
    for (int index = 0; index < 2 * CONNECTIONS; index++)
        close(clients[index]);
}

/* ---- messages ---- */

static void prepareMessage(uint64_t owner, struct msghdr* header)
{
    PREPARE(owner, recvmsg, pair[1], header, 0);
    last()->flags |= IOSQE_BUFFER_SELECT;
    last()->buf_group = GROUP;
}

/* Into a buffer of the ring, with as much as the vector says and the buffer has room for. */
CASE(answer, receivesAMessageIntoABuffer)
{
    struct iovec vector = {.iov_len = 3};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    sendText(pair[0], "abcdef");
    prepareMessage(1, &header);
    expect(1, -ENOBUFS, 0);
    putBuffers(3);
    prepareMessage(2, &header);
    expect(2, 3, bufferFlags(0, false));
    ck_assert_mem_eq(memory[0], "abc", 3);
    vector.iov_len = 2 * LENGTH;
    prepareMessage(3, &header);
    expect(3, 3, bufferFlags(1, false));
    ck_assert_mem_eq(memory[1], "def", 3);
    static char much[2 * LENGTH];
    sendAll(pair[0], much, sizeof(much));
    prepareMessage(4, &header);
    expect(4, LENGTH, bufferFlags(2, false));
}

/* Behind a header for which there is no room in a buffer. */
CASE(answer, refusesBuffersThatAreTooSmall)
{
    struct msghdr header = {.msg_controllen = LENGTH};
    int datagrams[2];
    pairUnix(datagrams, SOCK_DGRAM);
    putBuffers(2);
    PREPARE(1, recvmsg_multishot, datagrams[1], &header, 0);
    last()->flags |= IOSQE_BUFFER_SELECT;
    last()->buf_group = GROUP;
    expect(1, -EFAULT, 0);
    ck_assert_int_eq(engine->functions->countTakenBuffers(engine, GROUP), 0);
    close(datagrams[0]);
    close(datagrams[1]);
}

/* A message that is to be whole, and no memory for what is left: what has come is the result. */
CASE(answer, givesThePartOfAMessageWithoutMemory)
{
    char text[8] = "";
    struct iovec vectors[2] = {{text, 2}, {text + 2, 4}};
    struct msghdr header = {.msg_iov = vectors, .msg_iovlen = 2};
    makePlaces();
    for (int round = 0; round < 2; round++) {
        PREPARE(1, recvmsg, pair[1], &header, MSG_WAITALL);
        sendText(pair[0], "abc");
        failCalls(&memory_, round == 0 ? 1 : 0);
        enterOnce(0);
        failNoCall(&memory_);
        if (round == 1)
            sendText(pair[0], "def");
        expect(1, round == 0 ? 3 : 6, 0);
        ck_assert_mem_eq(text, "abcdef", round == 0 ? 3 : 6);
    }
}

/* Of more vectors than are kept for the next operation. */
CASE(answer, readsIntoManyVectors)
{
    enum
    {
        VECTORS = 100,
    };
    int pipes[2];
    char text[VECTORS] = "";
    struct iovec vectors[VECTORS];
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    for (int index = 0; index < VECTORS; index++)
        vectors[index] = (struct iovec){&text[index], 1};
    makePlaces();
    for (int round = 0; round < 2; round++) {
        PREPARE(1, readv, pipes[0], vectors, VECTORS, 0);
        failCalls(&memory_, round == 0 ? 1 : 0);
        enterOnce(0);
        failNoCall(&memory_);
        if (round == 0) {
            expect(1, -ENOMEM, 0);
            continue;
        }
        expectQuiet();
        ck_assert_int_eq((int)write(pipes[1], "many vectors", 12), 12);
        expect(1, 12, 0);
        ck_assert_str_eq(text, "many vectors");
    }
    PREPARE(2, readv, pipes[0], vectors, 2000, 0); /* more than a call takes */
    expect(2, -EINVAL, 0);
    close(pipes[0]);
    close(pipes[1]);
}

/* ---- files ---- */

/* A named pipe knows nothing of not waiting, and has no positions. */
CASE(answer, readsFromANamedPipe)
{
    char directory[] = "/tmp/fastsocket-answer-XXXXXX";
    char path[64];
    char text[8] = "";
    struct iovec vectors[2] = {{text, 0}, {"named", 5}};
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/pipe", directory);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    int handle = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(handle, 0);
    PREPARE(1, read, handle, text, sizeof(text), 0);
    expectQuiet();
    PREPARE(2, writev, handle, vectors, 2, 0);
    int sum = take().result;
    ck_assert_int_eq(sum + take().result, 10);
    ck_assert_str_eq(text, "named");
    ck_assert(!(fcntl(handle, F_GETFL) & O_NONBLOCK));
    PREPARE(3, read, handle, text, sizeof(text), 0);
    last()->rw_flags = RWF_NOWAIT;
    expect(3, -EOPNOTSUPP, 0);
    close(handle);
    unlink(path);
    rmdir(directory);
}

CASE(answer, readsFromAClosedNumber)
{
    char byte;
    int handle = dup(pair[0]);
    close(handle);
    PREPARE(1, read, handle, &byte, 1, 0);
    expect(1, -EBADF, 0);
    PREPARE(2, write, handle, &byte, 1, 0);
    expect(2, -EBADF, 0);
    PREPARE(3, connect, handle, NULL, 0);
    expect(3, -EBADF, 0);
}

static int openStored(void)
{
    char path[] = "/tmp/fastsocket-answer-XXXXXX";
    int handle = mkstemp(path);
    ck_assert_int_ge(handle, 0);
    unlink(path);
    return handle;
}

static void writeInAThread(uint64_t owner, int handle)
{
    PREPARE(owner, write, handle, "abcdef", 6, 0);
    last()->flags |= IOSQE_ASYNC;
}

/* No thread, no memory, no descriptor, no watch for it: it is done all the same. */
CASE_ROUNDS(answer, writesWithoutAThread, 5)
{
    struct Countdown* const refused[] = {&threads, &memory_, &memory_, &counters, &watches};
    char text[8] = "";
    int handle = openStored();
    makePlaces();
    writeInAThread(2, handle);
    if (round == 2)
        failCall(refused[round], 2);
    else
        failCall(refused[round], 1);
    enterOnce(0);
    ck_assert(!isFailureAwaited(refused[round]));
    failNoCall(refused[round]);
    expect(2, 6, 0);
    ck_assert_int_eq((int)pread(handle, text, sizeof(text), 0), 6);
    ck_assert_str_eq(text, "abcdef");
    writeInAThread(3, handle); /* and the next one has a thread */
    forgetCalls(&threads);
    expect(3, 6, 0);
    ck_assert_int_eq(countCalls(&threads), 1);
    close(handle);
}

/* ---- waiting ---- */

/* Where the system knows no wait with a limit in nanoseconds, or a filter refuses it, a poll waits
 * as long; it is asked for once. */
CASE_ROUNDS(answer, waitsWithoutAFineClock, 2)
{
    char text[8] = "";
    struct timespec begin;
    struct timespec end;
    const int64_t second = 1000000000;
    clocks = round == 0 ? ENOSYS : EPERM;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    enterOnce(WAIT_NS);
    clock_gettime(CLOCK_MONOTONIC, &end);
    int64_t passed = (end.tv_sec - begin.tv_sec) * second + end.tv_nsec - begin.tv_nsec;
    ck_assert_int_ge(passed, WAIT_NS);
    ck_assert_uint_eq(polls, 1);
    PREPARE(1, recv, pair[1], text, sizeof(text), 0);
    expectQuiet();
    sendText(pair[0], "come");
    clocks = 0;
    enterOnce(3600 * second);
    ck_assert_uint_eq(polls, 2); /* it isn't tried again */
    expect(1, 4, 0);
}

/* What was watched tells of itself under a number that has become another file's, while somebody
 * has it: that is nobody's. */
CASE(answer, hearsNothingOfAFormerFile)
{
    int first[2];
    int second[2];
    char text[8] = "";
    pairStream(first);
    int number = first[1];
    int copy = dup(number);
    PREPARE(1, recv, number, text, sizeof(text), 0);
    expectQuiet();
    PREPARE(2, cancel64, 1, 0);
    int sum = take().result;
    ck_assert_int_eq(sum + take().result, -ECANCELED);
    pairStream(second);
    ck_assert_int_eq(dup2(second[1], number), number); /* closes the first */
    PREPARE(3, recv, number, text, sizeof(text), 0);
    expectQuiet();
    sendText(first[0], "old");
    expectQuiet();
    sendText(second[0], "new");
    expect(3, 3, 0);
    ck_assert_str_eq(text, "new");
    close(first[0]);
    close(copy);
    close(number);
    close(second[0]);
    close(second[1]);
}
