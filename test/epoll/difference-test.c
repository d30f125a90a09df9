/*
 * Raw operations on every kind of descriptor, on both engines: what becomes of them is the same,
 * but for a list of differences that are told, each with its reason.
 *
 * Each entry runs in a process of its own for each engine, on files that it opens anew. Nothing is
 * timed: what has no result yet is canceled, and waits, as far as one knows. Where the engines then
 * differ, both are asked once more, with patience, before it is a difference. What a thread of the
 * kernel's does is given a moment from the first.
 */
#include "services.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <liburing.h>
#include <netinet/in.h>
#include <pty.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum
{
    PLACES = 64,       /* rows of places, at most */
    SIZE = 100,        /* of a transfer */
    MANY = 2000,       /* vectors, more than a call takes */
    MOMENT = 40,       /* milliseconds without a result */
    PATIENCE = 1000,   /* the same, where it matters */
    SECONDS = 100,     /* after which a process has hung */
    BEFORE = 100,      /* operations that fill a small ring */
    NOSIGNAL = 0x100,  /* RWF_NOSIGNAL */
    NOWHERE = 0x10,    /* an address of nothing */
    UNKNOWN_GROUP = 54321,
};

/* ---- descriptors ---- */

static int other; /* the far end of what was opened last; -1: there is none */

static int pipeEnd(int end, bool alone)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    other = ends[1 - end];
    if (alone) {
        close(other);
        other = -1;
    }
    return ends[end];
}

static int openPipeIn(void)
{
    return pipeEnd(0, false);
}

static int openPipeOut(void)
{
    return pipeEnd(1, false);
}

static int openPipeEnded(void)
{
    return pipeEnd(0, true);
}

static int openPipeUnread(void)
{
    return pipeEnd(1, true);
}

static int openPairOf(enum Kind kind)
{
    int pair[2];
    pairKind(kind, pair);
    other = pair[1];
    return pair[0];
}

static int openTcp(void)
{
    return openPairOf(KIND_TCP);
}

static int openTcpEnded(void)
{
    int handle = openPairOf(KIND_TCP);
    struct pollfd state = {.fd = handle, .events = POLLRDHUP};
    shutdown(other, SHUT_WR);
    ck_assert_int_eq(poll(&state, 1, -1), 1);
    return handle;
}

static int openTcpReset(void)
{
    int handle = openPairOf(KIND_TCP);
    struct pollfd state = {.fd = handle, .events = POLLRDHUP};
    closeReset(other);
    other = -1;
    ck_assert_int_eq(poll(&state, 1, -1), 1);
    return handle;
}

static int openTcpNew(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int openListener(void)
{
    struct sockaddr_storage address;
    socklen_t length;
    return listenTcp(&address, &length);
}

static int openUdp(void)
{
    return openPairOf(KIND_UDP);
}

static int openUdpNew(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int openUnix(void)
{
    return openPairOf(KIND_UNIX_STREAM);
}

static int openUnixDatagram(void)
{
    return openPairOf(KIND_UNIX_DATAGRAM);
}

static int openUnixRecords(void)
{
    return openPairOf(KIND_UNIX_SEQPACKET);
}

static int openUnixNew(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int openNetlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static int openStored(void)
{
    char path[] = "/tmp/fastsocket-difference-XXXXXX";
    int handle = mkstemp(path);
    ck_assert_int_ge(handle, 0);
    unlink(path);
    ck_assert_int_eq(pwrite(handle, "hello", 5, 0), 5);
    return handle;
}

static int openFolder(void)
{
    return open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int openPath(void)
{
    return open("/tmp", O_PATH | O_CLOEXEC);
}

static int openNull(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int openZero(void)
{
    return open("/dev/zero", O_RDWR | O_CLOEXEC);
}

static int openFull(void)
{
    return open("/dev/full", O_RDWR | O_CLOEXEC);
}

static int openMaster(void)
{
    int pair[2];
    ck_assert_int_eq(openpty(&pair[0], &pair[1], NULL, NULL, NULL), 0);
    other = pair[1];
    return pair[0];
}

static int openTerminal(void)
{
    int master = openMaster();
    int terminal = other;
    other = master;
    return terminal;
}

static int openEvent(void)
{
    return eventfd(0, EFD_CLOEXEC);
}

static int openEventFull(void)
{
    int handle = eventfd(0, EFD_CLOEXEC);
    uint64_t most = UINT64_MAX - 1;
    ck_assert_int_eq(write(handle, &most, sizeof(most)), sizeof(most));
    return handle;
}

static int openTimer(void)
{
    return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
}

static int openSignal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static int openInotify(void)
{
    return inotify_init1(IN_CLOEXEC);
}

static int openEpoll(void)
{
    return epoll_create1(EPOLL_CLOEXEC);
}

static int openProcess(void)
{
    return (int)syscall(SYS_pidfd_open, getpid(), 0);
}

static int openMade(void)
{
    return open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
}

static const struct Place
{
    const char* name;
    int (*open)(void); /* NULL: number is no descriptor */
    int number;
} places[] = {
    {"closed", NULL, 900},
    {"negative", NULL, -1},
    {"lowest", NULL, INT32_MIN},
    {"pipe-in", openPipeIn, 0},
    {"pipe-out", openPipeOut, 0},
    {"pipe-ended", openPipeEnded, 0},
    {"pipe-unread", openPipeUnread, 0},
    {"tcp", openTcp, 0},
    {"tcp-ended", openTcpEnded, 0},
    {"tcp-reset", openTcpReset, 0},
    {"tcp-new", openTcpNew, 0},
    {"listener", openListener, 0},
    {"udp", openUdp, 0},
    {"udp-new", openUdpNew, 0},
    {"unix", openUnix, 0},
    {"unix-datagram", openUnixDatagram, 0},
    {"unix-records", openUnixRecords, 0},
    {"unix-new", openUnixNew, 0},
    {"netlink", openNetlink, 0},
    {"file", openStored, 0},
    {"folder", openFolder, 0},
    {"path", openPath, 0},
    {"null", openNull, 0},
    {"zero", openZero, 0},
    {"full", openFull, 0},
    {"master", openMaster, 0},
    {"terminal", openTerminal, 0},
    {"eventfd", openEvent, 0},
    {"eventfd-full", openEventFull, 0},
    {"timerfd", openTimer, 0},
    {"signalfd", openSignal, 0},
    {"inotify", openInotify, 0},
    {"epoll", openEpoll, 0},
    {"pidfd", openProcess, 0},
    {"made", openMade, 0},
};

enum
{
    PLACE_COUNT = sizeof(places) / sizeof(places[0]),
};

/* ---- entries ---- */

/* What an entry's address is. */
enum What
{
    NONE,
    NO_GROUP,      /* nor are there buffers */
    BYTES,
    BAD,           /* is nowhere */
    PIECES,        /* vectors: two pieces */
    PIECES_EMPTY,
    PIECES_LONG,   /* of a negative length */
    PIECES_MANY,   /* as many as the entry's length says, of a byte */
    MESSAGE,       /* a header of one vector */
    MESSAGE_BAD,   /* whose vectors are nowhere */
    MESSAGE_MANY,
    MESSAGE_TWO,
    MESSAGE_NAME,  /* with an address of a negative length */
    MESSAGE_LONG,  /* of lengths that are too much together */
    NAME,          /* an address of the loopback interface, where nobody listens */
    FROM,          /* a splice out of the descriptor */
    INTO,          /* into it */
};

enum
{
    SELECTS = IOSQE_BUFFER_SELECT,
    MULTISHOT = IORING_RECV_MULTISHOT,
    CANCEL_FD = 1 << 1,
    CANCEL_FIXED = 1 << 3,
    CANCEL_OWNER = 1 << 4,
    CANCEL_OPCODE = 1 << 5,
};

#define HERE UINT64_MAX

/* Beside what is said: offset, and the second address of a send and the length of a connect's. */
static const struct Entry
{
    const char* name;
    uint8_t opcode;
    uint8_t what;
    uint32_t length;
    uint64_t offset;
    uint32_t options;
    uint16_t priority; /* of a send the length of its second address */
    uint8_t flags;
} entries[] = {
    {"read", IORING_OP_READ, BYTES, SIZE, HERE, 0, 0, 0},
    {"read-nothing", IORING_OP_READ, BYTES, 0, HERE, 0, 0, 0},
    {"read-at-2", IORING_OP_READ, BYTES, SIZE, 2, 0, 0, 0},
    {"read-below", IORING_OP_READ, BYTES, SIZE, UINT64_C(1) << 63, 0, 0, 0},
    {"read-bad", IORING_OP_READ, BAD, SIZE, HERE, 0, 0, 0},
    {"read-async", IORING_OP_READ, BYTES, SIZE, HERE, 0, 0, IOSQE_ASYNC},
    {"read-at-once", IORING_OP_READ, BYTES, SIZE, HERE, RWF_NOWAIT, 0, 0},
    {"read-selected", IORING_OP_READ, NONE, 0, HERE, 0, 0, SELECTS},
    {"readv", IORING_OP_READV, PIECES, 2, HERE, 0, 0, 0},
    {"readv-none", IORING_OP_READV, PIECES, 0, HERE, 0, 0, 0},
    {"readv-null", IORING_OP_READV, NONE, 1, HERE, 0, 0, 0},
    {"readv-bad", IORING_OP_READV, BAD, 1, HERE, 0, 0, 0},
    {"readv-empty", IORING_OP_READV, PIECES_EMPTY, 2, HERE, 0, 0, 0},
    {"readv-long", IORING_OP_READV, PIECES_LONG, 1, HERE, 0, 0, 0},
    {"readv-many", IORING_OP_READV, PIECES_MANY, MANY, HERE, 0, 0, 0},
    {"readv-bad-async", IORING_OP_READV, BAD, 1, HERE, 0, 0, IOSQE_ASYNC},
    {"readv-selected", IORING_OP_READV, PIECES, 1, HERE, 0, 0, SELECTS},
    {"readv-selected-bad", IORING_OP_READV, BAD, 1, HERE, 0, 0, SELECTS},
    {"write", IORING_OP_WRITE, BYTES, 8, HERE, 0, 0, 0},
    {"write-nothing", IORING_OP_WRITE, BYTES, 0, HERE, 0, 0, 0},
    {"write-at-3", IORING_OP_WRITE, BYTES, 8, 3, 0, 0, 0},
    {"write-bad", IORING_OP_WRITE, BAD, 8, HERE, 0, 0, 0},
    {"write-silent", IORING_OP_WRITE, BYTES, 8, HERE, NOSIGNAL, 0, 0},
    {"write-at-once", IORING_OP_WRITE, BYTES, 8, HERE, RWF_NOWAIT, 0, 0},
    {"write-behind", IORING_OP_WRITE, BYTES, 8, HERE, RWF_APPEND | RWF_DSYNC, 0, 0},
    {"writev", IORING_OP_WRITEV, PIECES, 2, HERE, 0, 0, 0},
    {"writev-null", IORING_OP_WRITEV, NONE, 1, HERE, 0, 0, 0},
    {"writev-bad", IORING_OP_WRITEV, BAD, 1, HERE, 0, 0, 0},
    {"writev-long", IORING_OP_WRITEV, PIECES_LONG, 1, HERE, 0, 0, 0},
    {"writev-many", IORING_OP_WRITEV, PIECES_MANY, MANY, HERE, 0, 0, 0},
    {"recv", IORING_OP_RECV, BYTES, SIZE, 0, 0, 0, 0},
    {"recv-bad", IORING_OP_RECV, BAD, SIZE, 0, 0, 0, 0},
    {"recv-at-once", IORING_OP_RECV, BYTES, SIZE, 0, MSG_DONTWAIT, 0, 0},
    {"recv-polls", IORING_OP_RECV, BYTES, SIZE, 0, 0, IORING_RECVSEND_POLL_FIRST, 0},
    {"recv-errors", IORING_OP_RECV, BYTES, SIZE, 0, MSG_ERRQUEUE, 0, 0},
    {"recv-urgent", IORING_OP_RECV, BYTES, 1, 0, MSG_OOB, 0, 0},
    {"recv-selected", IORING_OP_RECV, NONE, 0, 0, 0, 0, SELECTS},
    {"recv-unknown-group", IORING_OP_RECV, NO_GROUP, 0, 0, 0, 0, SELECTS},
    {"recv-multishot", IORING_OP_RECV, NONE, 0, 0, 0, MULTISHOT, SELECTS},
    {"recvmsg", IORING_OP_RECVMSG, MESSAGE, 1, 0, 0, 0, 0},
    {"recvmsg-null", IORING_OP_RECVMSG, NONE, 1, 0, 0, 0, 0},
    {"recvmsg-bad", IORING_OP_RECVMSG, BAD, 1, 0, 0, 0, 0},
    {"recvmsg-bad-vector", IORING_OP_RECVMSG, MESSAGE_BAD, 1, 0, 0, 0, 0},
    {"recvmsg-many", IORING_OP_RECVMSG, MESSAGE_MANY, 1, 0, 0, 0, 0},
    {"recvmsg-name", IORING_OP_RECVMSG, MESSAGE_NAME, 1, 0, 0, 0, 0},
    {"recvmsg-whole", IORING_OP_RECVMSG, MESSAGE, 1, 0, MSG_WAITALL, 0, 0},
    {"recvmsg-whole-bad", IORING_OP_RECVMSG, BAD, 1, 0, MSG_WAITALL, 0, 0},
    {"recvmsg-selected", IORING_OP_RECVMSG, MESSAGE, 1, 0, 0, 0, SELECTS},
    {"recvmsg-selected-bad", IORING_OP_RECVMSG, BAD, 1, 0, 0, 0, SELECTS},
    {"recvmsg-selected-bad-vector", IORING_OP_RECVMSG, MESSAGE_BAD, 1, 0, 0, 0, SELECTS},
    {"recvmsg-selected-two", IORING_OP_RECVMSG, MESSAGE_TWO, 1, 0, 0, 0, SELECTS},
    {"recvmsg-multishot", IORING_OP_RECVMSG, MESSAGE, 1, 0, 0, MULTISHOT, SELECTS},
    {"recvmsg-multishot-null", IORING_OP_RECVMSG, NONE, 1, 0, 0, MULTISHOT, SELECTS},
    {"recvmsg-multishot-bad", IORING_OP_RECVMSG, BAD, 1, 0, 0, MULTISHOT, SELECTS},
    {"recvmsg-multishot-long", IORING_OP_RECVMSG, MESSAGE_LONG, 1, 0, 0, MULTISHOT, SELECTS},
    {"send", IORING_OP_SEND, BYTES, 10, 0, 0, 0, 0},
    {"send-nothing", IORING_OP_SEND, BYTES, 0, 0, 0, 0, 0},
    {"send-bad", IORING_OP_SEND, BAD, 10, 0, 0, 0, 0},
    {"send-to-bad", IORING_OP_SEND, BYTES, 10, NOWHERE, 0, 16, 0},
    {"send-to-long", IORING_OP_SEND, BYTES, 10, NOWHERE, 0, 1000, 0},
    {"send-zc", IORING_OP_SEND_ZC, BYTES, 10, 0, 0, 0, 0},
    {"sendmsg", IORING_OP_SENDMSG, MESSAGE, 1, 0, 0, 0, 0},
    {"sendmsg-null", IORING_OP_SENDMSG, NONE, 1, 0, 0, 0, 0},
    {"sendmsg-bad", IORING_OP_SENDMSG, BAD, 1, 0, 0, 0, 0},
    {"sendmsg-bad-async", IORING_OP_SENDMSG, BAD, 1, 0, 0, 0, IOSQE_ASYNC},
    {"sendmsg-bad-vector", IORING_OP_SENDMSG, MESSAGE_BAD, 1, 0, 0, 0, 0},
    {"sendmsg-many", IORING_OP_SENDMSG, MESSAGE_MANY, 1, 0, 0, 0, 0},
    {"sendmsg-zc-null", IORING_OP_SENDMSG_ZC, NONE, 1, 0, 0, 0, 0},
    {"poll-in", IORING_OP_POLL_ADD, NONE, 0, 0, POLLIN, 0, 0},
    {"poll-out", IORING_OP_POLL_ADD, NONE, 0, 0, POLLOUT, 0, 0},
    {"accept", IORING_OP_ACCEPT, NONE, 0, 0, 0, 0, 0},
    {"accept-flags", IORING_OP_ACCEPT, NONE, 0, 0, 0x12345, 0, 0},
    {"accept-multishot", IORING_OP_ACCEPT, NONE, 0, 0, 0, IORING_ACCEPT_MULTISHOT, 0},
    {"connect", IORING_OP_CONNECT, NAME, 0, sizeof(struct sockaddr_in), 0, 0, 0},
    {"connect-bad", IORING_OP_CONNECT, BAD, 0, 16, 0, 0, 0},
    {"connect-long", IORING_OP_CONNECT, NAME, 0, 5000, 0, 0, 0},
    {"shutdown", IORING_OP_SHUTDOWN, NONE, SHUT_WR, 0, 0, 0, 0},
    {"shutdown-unknown", IORING_OP_SHUTDOWN, NONE, 9, 0, 0, 0, 0},
    {"close", IORING_OP_CLOSE, NONE, 0, 0, 0, 0, 0},
    {"splice-from", IORING_OP_SPLICE, FROM, SIZE, HERE, 0, 0, 0},
    {"splice-from-nothing", IORING_OP_SPLICE, FROM, 0, HERE, 0, 0, 0},
    {"splice-from-flags", IORING_OP_SPLICE, FROM, SIZE, HERE, 0x7f, 0, 0},
    {"splice-from-fixed", IORING_OP_SPLICE, FROM, SIZE, HERE, 1U << 31, 0, 0},
    {"splice-from-at-1", IORING_OP_SPLICE, FROM, SIZE, 1, 0, 0, 0},
    {"splice-into", IORING_OP_SPLICE, INTO, 8, HERE, 0, 0, 0},
    {"cancel-fd", IORING_OP_ASYNC_CANCEL, NONE, 0, 0, CANCEL_FD, 0, 0},
    {"cancel-fixed", IORING_OP_ASYNC_CANCEL, NONE, 0, 0, CANCEL_FD | CANCEL_FIXED, 0, 0},
    {"cancel-owner", IORING_OP_ASYNC_CANCEL, NONE, 0, 0, CANCEL_FD | CANCEL_OWNER, 0, 0},
    {"cancel-opcode", IORING_OP_ASYNC_CANCEL, NONE, IORING_OP_SEND, 0, CANCEL_OPCODE, 0, 0},
};

enum
{
    ENTRY_COUNT = sizeof(entries) / sizeof(entries[0]),
};

static char bytes[4096];
static struct iovec vectors[MANY];
static struct msghdr header;
static struct sockaddr_in name;
static int ends[2]; /* of the pipe that a splice has */

static void fillVectors(enum What what)
{
    memset(vectors, 0, sizeof(vectors));
    for (int index = 0; index < MANY && what != PIECES_EMPTY; index++)
        vectors[index] = (struct iovec){bytes + index, 1};
    if (what == PIECES || what == MESSAGE_TWO) {
        vectors[0] = (struct iovec){bytes, 4};
        vectors[1] = (struct iovec){bytes + 4, 4};
    }
    if (what == PIECES_LONG)
        vectors[0] = (struct iovec){bytes, (size_t)-5};
    if (what == MESSAGE)
        vectors[0] = (struct iovec){bytes, SIZE};
}

static void fillHeader(enum What what)
{
    header = (struct msghdr){.msg_iov = vectors, .msg_iovlen = 1};
    if (what == MESSAGE_BAD)
        header.msg_iov = (struct iovec*)NOWHERE;
    if (what == MESSAGE_MANY)
        header.msg_iovlen = MANY;
    if (what == MESSAGE_TWO)
        header.msg_iovlen = 2;
    if (what == MESSAGE_NAME)
        header = (struct msghdr){.msg_iov = vectors, .msg_iovlen = 1, .msg_name = bytes,
                                 .msg_namelen = (socklen_t)-1};
    if (what == MESSAGE_LONG)
        header = (struct msghdr){.msg_namelen = 128, .msg_controllen = SIZE_MAX};
}

static uint64_t addressOf(enum What what)
{
    switch (what) {
    case BYTES:
        return (uintptr_t)bytes;
    case BAD:
        return NOWHERE;
    case NAME:
        return (uintptr_t)&name;
    case PIECES:
    case PIECES_EMPTY:
    case PIECES_LONG:
    case PIECES_MANY:
        return (uintptr_t)vectors;
    case NONE:
    case NO_GROUP:
        return 0;
    default:
        return (uintptr_t)&header;
    }
}

static void fillSplice(struct io_uring_sqe* submission, const struct Entry* entry, int handle)
{
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    submission->off = HERE;
    submission->addr = entry->what == FROM ? entry->offset : HERE;
    submission->splice_fd_in = entry->what == FROM ? handle : ends[0];
    submission->fd = entry->what == FROM ? ends[1] : handle;
    if (entry->what == INTO)
        ck_assert_int_eq(write(ends[1], bytes, 8), 8);
}

static void fill(struct io_uring_sqe* submission, const struct Entry* entry, int handle)
{
    memset(bytes, 0, sizeof(bytes));
    bytes[0] = 1;
    name = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(9),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    fillVectors(entry->what);
    fillHeader(entry->what);
    ends[0] = ends[1] = -1;
    submission->opcode = entry->opcode;
    submission->fd = handle;
    submission->addr = addressOf(entry->what);
    submission->off = entry->offset;
    submission->len = entry->length;
    submission->rw_flags = (int)entry->options;
    submission->flags = entry->flags;
    if (entry->opcode == IORING_OP_SEND)
        submission->addr_len = entry->priority;
    else
        submission->ioprio = entry->priority;
    if (entry->flags & SELECTS)
        submission->buf_group = entry->what == NO_GROUP
                                    ? UNKNOWN_GROUP
                                    : GetFastRingBufferGroup(scene.provider);
    if (entry->what == FROM || entry->what == INTO)
        fillSplice(submission, entry, handle);
}

/* ---- one operation ---- */

/* What has become of it. */
struct Outcome
{
    int count; /* completions; 0: none was made here */
    int first;
    bool waits; /* until it is canceled */
    bool nonblocking; /* the descriptor has become so, for good */
};

static struct
{
    struct Outcome outcome;
    bool over;
} seen;

static int note(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    if (completion == NULL)
        return 0;
    if (seen.outcome.count++ == 0)
        seen.outcome.first = completion->res;
    seen.over = reason == FASTRING_REASON_COMPLETE;
    return reason != FASTRING_REASON_COMPLETE;
}

static bool isOver(void* closure)
{
    (void)closure;
    return seen.over;
}

/* The kernel may do it by another thread. */
static bool isSlow(const struct Entry* entry)
{
    return entry->opcode == IORING_OP_SPLICE || entry->flags & IOSQE_ASYNC ||
           (entry->opcode == IORING_OP_RECV && entry->options & MSG_ERRQUEUE);
}

static void awaitResult(const struct Entry* entry, bool patient)
{
    int limit = isSlow(entry) ? MOMENT : 0;
    if (patient)
        limit = PATIENCE;
    int64_t end = nowNs() + limit * INT64_C(1000000);
    runIdle(scene.ring);
    while (limit > 0 && !seen.over && seen.outcome.count == 0 && nowNs() < end)
        WaitForFastRing(scene.ring, (uint32_t)limit / 4, NULL);
}

/* So many completions that the next one has no room. */
static void fillRing(void)
{
    for (int index = 0; index < BEFORE; index++) {
        struct FastRingDescriptor* idle = AllocateFastRingDescriptor(scene.ring, NULL, NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(idle));
        ck_assert_int_eq(SubmitFastRingDescriptor(idle), 0);
    }
}

static struct Outcome run(const struct Entry* entry, const struct Place* place, bool late,
                          bool patient)
{
    other = -1;
    int handle = place->open != NULL ? place->open() : place->number;
    int before = handle >= 0 ? fcntl(handle, F_GETFL) : 0;
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, note, NULL);
    memset(&seen, 0, sizeof(seen));
    fill(GetFastRingDescriptorSubmission(descriptor), entry, handle);
    if (late)
        fillRing();
    int submitted = SubmitFastRingDescriptor(descriptor);
    ck_assert_int_eq(submitted, 0);
    awaitResult(entry, patient);
    bool waits = !seen.over && seen.outcome.count == 0;
    int after = handle >= 0 ? fcntl(handle, F_GETFL) : 0;
    if (!seen.over) {
        ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
        waitFor(scene.ring, isOver, NULL);
    }
    if (waits)
        seen.outcome = (struct Outcome){.waits = true};
    seen.outcome.nonblocking = after >= 0 && (before ^ after) & O_NONBLOCK;
    if (place->open != NULL && entry->opcode != IORING_OP_CLOSE)
        close(handle);
    for (int end = 0; end < 2; end++)
        if (ends[end] >= 0)
            close(ends[end]);
    if (other >= 0)
        close(other);
    return seen.outcome;
}

/* ---- both engines ---- */

/* Where the processes write: [engine][place]. */
struct Outcomes
{
    struct Outcome of[2][PLACES];
    int done[2];
};

static const char* const engines[2] = {"io_uring", "epoll"};

/* Of the places from first to last. */
static void runAll(struct Outcomes* outcomes, int engine, const struct Entry* entry, int first,
                   int last, bool late, bool patient)
{
    signal(SIGPIPE, SIG_IGN);
    setenv("FASTSOCKET_ENGINE", engines[engine], 1);
    alarm(SECONDS);
    sceneOpen(&scene, (struct SceneOptions){.ringLength = late ? 1 : 0});
    for (int place = first; place <= last; place++) {
        outcomes->of[engine][place] = run(entry, &places[place], late, patient);
        outcomes->done[engine] = place + 1;
    }
    _exit(0);
}

static void runInProcess(struct Outcomes* outcomes, int engine, const struct Entry* entry,
                         int first, int last, bool late, bool patient)
{
    int status;
    outcomes->done[engine] = first;
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        runAll(outcomes, engine, entry, first, last, late, patient);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(status == 0, "%s%s on %s: %s dies, status %x", entry->name, late ? " late" : "",
                  engines[engine], places[outcomes->done[engine] % PLACE_COUNT].name, status);
}

/* ---- what is told ---- */

/* As places and entries are named, patterns, several of them separated by spaces. */
static const struct Told
{
    const char* entries;
    const char* places;
    const char* reason;
} told[] = {
    {"read* write*", "epoll pidfd", "io_uring polls what can't be read, and waits for ever"},
    {"read-below", "inotify", "the same, of an offset that is none"},
    {"write-nothing", "eventfd-full", "io_uring polls before it writes nothing"},
    {"write-at-once", "file eventfd*", "io_uring has EAGAIN where the call has EOPNOTSUPP"},
    {"read-at-once", "master terminal", "the other way round, of what has nothing"},
    {"recv-polls", "pipe-* file folder null zero full master terminal made",
     "io_uring polls before it sees that there is no socket"},
    {"recv-polls", "eventfd* *fd inotify epoll", "the same"},
    {"recv-polls", "listener", "the same, of no connection"},
    {"send-zc", "unix* netlink", "io_uring knows of few that send without a copy; here all copy"},
    {"accept*", "listener", "O_NONBLOCK keeps an accept from waiting, and stays"},
    {"splice-from splice-into", "tcp* listener udp* unix* netlink", "the same, of a splice"},
    {"splice-from-at-1", "pipe-out pipe-unread", "of two faults the call sees the other first"},
};

static bool isAmong(const char* patterns, const char* word)
{
    char text[512];
    char* rest = text;
    char* pattern;
    ck_assert_int_lt(snprintf(text, sizeof(text), "%s", patterns), sizeof(text));
    while ((pattern = strsep(&rest, " ")) != NULL)
        if (fnmatch(pattern, word, 0) == 0)
            return true;
    return false;
}

static bool isTold(const struct Entry* entry, const struct Place* place)
{
    for (size_t index = 0; index < sizeof(told) / sizeof(told[0]); index++)
        if (isAmong(told[index].entries, entry->name) && isAmong(told[index].places, place->name))
            return true;
    return false;
}

static bool isSame(const struct Outcomes* outcomes, int place)
{
    const struct Outcome* uring = &outcomes->of[0][place];
    const struct Outcome* soft = &outcomes->of[1][place];
    return uring->waits == soft->waits && uring->count == soft->count &&
           uring->first == soft->first && uring->nonblocking == soft->nonblocking;
}

static void describe(const struct Outcome* outcome, char* text, size_t size)
{
    if (outcome->waits)
        snprintf(text, size, "waits%s", outcome->nonblocking ? ", nonblocking" : "");
    else
        snprintf(text, size, "%d x %d%s%s%s", outcome->count, outcome->first,
                 outcome->first < 0 ? " " : "",
                 outcome->first < 0 ? strerrorname_np(-outcome->first) : "",
                 outcome->nonblocking ? ", nonblocking" : "");
}

/* Returns whether it is a difference that nobody tells of. */
static bool isWrong(struct Outcomes* outcomes, const struct Entry* entry, int place, bool late)
{
    char uring[64];
    char soft[64];
    if (isSame(outcomes, place) || isTold(entry, &places[place]))
        return false;
    for (int engine = 0; engine < 2; engine++)
        runInProcess(outcomes, engine, entry, place, place, late, true);
    if (isSame(outcomes, place))
        return false;
    describe(&outcomes->of[0][place], uring, sizeof(uring));
    describe(&outcomes->of[1][place], soft, sizeof(soft));
    printf("# %s%s, %s: io_uring: %s; epoll: %s\n", entry->name, late ? " late" : "",
           places[place].name, uring, soft);
    return true;
}

static void compare(bool late)
{
    struct Outcomes* outcomes = mmap(NULL, sizeof(*outcomes), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int wrong = 0;
    ck_assert_ptr_ne(outcomes, MAP_FAILED);
    for (int index = 0; index < ENTRY_COUNT; index++) {
        const struct Entry* entry = &entries[index];
        for (int engine = 0; engine < 2; engine++)
            runInProcess(outcomes, engine, entry, 0, PLACE_COUNT - 1, late, false);
        for (int place = 0; place < PLACE_COUNT; place++)
            wrong += isWrong(outcomes, entry, place, late);
    }
    munmap(outcomes, sizeof(*outcomes));
    ck_assert_int_eq(wrong, 0);
}

AREA(difference, "difference", .timeout = 600);

/* The results are those of Linux 6.18, as the epoll engine has them anywhere. */
static bool isRecent(void)
{
    struct FastRing* ring = CreateFastRing(0);
    ck_assert_ptr_nonnull(ring);
    uint64_t features = GetFastRingFeatures(ring);
    ReleaseFastRing(ring);
    return features & FASTRING_FEATURE_WRITE_NO_SIGNAL;
}

/* §2.8 raw operation, §2.8 bad addresses: each entry, on each kind of descriptor */
CASE(difference, operations)
{
    needUring();
    if (!isRecent())
        skipTest("kernels before 6.18 have other results");
    compare(false);
}

/* §2.8 raw operation, §2.8 bad addresses: what is submitted behind so many completions that it has
 * to wait for room is kept, and means what it did */
CASE(difference, lateOperations)
{
    needUring();
    if (!isRecent())
        skipTest("kernels before 6.18 have other results");
    compare(true);
}
