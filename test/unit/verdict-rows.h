/*
 * What the kernel says to a receive or a send, and what that means on each kind of socket: the
 * tables of verdict-test.c.
 */
#ifndef TEST_VERDICT_ROWS_H
#define TEST_VERDICT_ROWS_H

#include "fixture.h"
#include "simulated-system.h"
#include "socket/flight.h"
#include "socket/kind-file.h"

enum
{
    HEADER = sizeof(struct io_uring_recvmsg_out),
    ERESTARTSYS = 512,
    TRIES = 100,                  /* of a message that the kernel has no memory for */
    BUFFER = IORING_CQE_F_BUFFER, /* the first one */
};

/* The provider's buffers when a receive ends with ENOBUFS. */
enum Shortage
{
    NONE_PUT, /* since the receive began: it can't have lacked any */
    MANY_PUT, /* nobody knows */
    NONE_THERE,
};

struct Row
{
    /* What the kernel says, and what that means. */
    int result;
    enum FastVerdict verdict;
    int value;      /* looked at where a verdict has one */
    uint32_t flags; /* of the completion */

    /* The socket, before. */
    uint32_t traits;
    struct SimulatedSystem system;
    uint32_t control; /* bytes of control data with a message, or */
    uint32_t told;    /* MSG_* that come with it */
    bool bytes;       /* there is no header before what is received */
    bool discard;
    enum Shortage shortage;
    uint32_t largest; /* payload of a message */

    /* Sends. */
    uint8_t room; /* FAST_ROOM_* */
    bool loan;
    bool corked;
    bool named;
    uint8_t tries;
    uint8_t doubts;
    int doubt;

    /* Files. */
    uint8_t form;      /* enum FastFileForm */
    uint16_t state;    /* FAST_FILE_* */
    uint16_t stops;    /* FAST_STOP_* */
    const char* input; /* what is in the pipe that stands for a file of our own, or for a relay */
    bool closed;       /* the other end of it is closed */
    bool starved;      /* no memory for what is read */
    ssize_t written;   /* by a call of ours */

    /* What is different afterwards. */
    uint32_t losesTraits;
    uint16_t gains; /* FAST_FILE_* */
    uint16_t loses; /* the same */
};

#define ROW(given, ...) {.result = (given), .verdict = FAST_VERDICT_##__VA_ARGS__}

static const struct Row streamReceives[] = {
    ROW(1, DATA, .flags = BUFFER, .bytes = true),
    ROW(0, END, .bytes = true),
    ROW(HEADER, END, .flags = BUFFER),
    ROW(HEADER + 1, DATA, .flags = BUFFER),
    ROW(-EINTR, NOTHING),
    ROW(-EAGAIN, BACKOFF),
    ROW(-ENOMEM, BACKOFF),
    ROW(-ECANCELED, CANCELED),
    ROW(-ECONNRESET, FAIL, .value = ECONNRESET),
    ROW(-ENOBUFS, NO_BUFFERS),
    ROW(-ENOBUFS, FAIL, .value = ENOBUFS, .traits = FAST_TRAIT_OWN_SHORTAGE),
    ROW(-ENOBUFS, NO_BUFFERS, .traits = FAST_TRAIT_OWN_SHORTAGE, .shortage = NONE_THERE),
    ROW(-ENOBUFS, NO_BUFFERS, .traits = FAST_TRAIT_OWN_SHORTAGE, .shortage = MANY_PUT),
    ROW(-ENOBUFS, FAIL, .value = ENOBUFS, .traits = FAST_TRAIT_OWN_SHORTAGE, .shortage = MANY_PUT,
        .system.error = ENOBUFS),
    /* TLS, which TCP alone can have */
    ROW(-EIO, RECORD, .value = EIO, .traits = FAST_TRAIT_TCP, .system.tls = true),
    ROW(-EKEYEXPIRED, RECORD, .value = EKEYEXPIRED, .traits = FAST_TRAIT_TCP, .system.tls = true),
    ROW(-EPIPE, FAIL, .value = EPIPE, .traits = FAST_TRAIT_TCP, .system.tls = true),
    ROW(-EIO, FAIL, .value = EIO, .system.tls = true),
    ROW(-EIO, FAIL, .value = EIO, .traits = FAST_TRAIT_TCP),
    ROW(-EIO, NOTHING, .traits = FAST_TRAIT_TCP, .discard = true,
        .system = {.tls = true, .received = 1}),
    ROW(-EIO, RECORD, .value = EIO, .traits = FAST_TRAIT_TCP, .discard = true,
        .system = {.tls = true, .received = -EAGAIN}),
    ROW(-EKEYEXPIRED, RECORD, .value = EKEYEXPIRED, .traits = FAST_TRAIT_TCP, .discard = true,
        .system = {.tls = true, .received = 1}),
};

#define LOCAL .traits = FAST_TRAIT_LOCAL

static const struct Row recordReceives[] = {
    ROW(HEADER + 5, DATA, .flags = BUFFER, LOCAL, .system.events = POLLHUP),
    ROW(HEADER, DATA, .flags = BUFFER, LOCAL),
    ROW(HEADER, END, .flags = BUFFER, LOCAL, .system.events = POLLHUP),
    ROW(HEADER, END, .flags = BUFFER, LOCAL, .system.events = POLLRDHUP),
    ROW(HEADER, DATA, .flags = BUFFER, LOCAL, .system.events = POLLHUP, .control = 4),
    ROW(HEADER, DATA, .flags = BUFFER, LOCAL, .system.events = POLLHUP, .told = MSG_CTRUNC),
    /* a record behind it: this one is just an empty one */
    ROW(HEADER, DATA, .flags = BUFFER, LOCAL, .system = {.events = POLLHUP, .received = 1}),
    ROW(HEADER, DATA, .flags = BUFFER, LOCAL, .system = {.events = POLLHUP, .control = 32}),
    ROW(HEADER, END, .flags = BUFFER, LOCAL,
        .system = {.events = POLLHUP, .control = 32, .refuses = true}),
    ROW(HEADER, END, .flags = BUFFER, LOCAL, .system = {.events = POLLHUP, .received = -EAGAIN}),
    ROW(0, NOTHING, LOCAL),
    ROW(0, END, LOCAL, .system.events = POLLHUP),
    /* families without such a mark */
    ROW(HEADER, END, .flags = BUFFER),
    ROW(HEADER, DATA, .flags = BUFFER, .system.received = 1),
    ROW(HEADER, DATA, .flags = BUFFER, .system.received = -EAGAIN),
    ROW(HEADER, END, .flags = BUFFER, .system = {.received = -EAGAIN, .events = POLLRDHUP}),
    ROW(0, NOTHING, .system.received = 1),
    ROW(-EINTR, NOTHING),
    ROW(-EAGAIN, BACKOFF),
    ROW(-ENOMEM, BACKOFF),
    ROW(-ECANCELED, CANCELED),
    ROW(-EIO, FAIL, .value = EIO, .traits = FAST_TRAIT_TCP, .system.tls = true),
    ROW(-ENOBUFS, NO_BUFFERS),
    ROW(-ENOBUFS, FAIL, .value = ENOBUFS, .traits = FAST_TRAIT_OWN_SHORTAGE),
};

#define NETLINK .traits = FAST_TRAIT_NETLINK | FAST_TRAIT_OWN_SHORTAGE

static const struct Row datagramReceives[] = {
    ROW(HEADER + 5, DATA, .flags = BUFFER),
    ROW(HEADER, DATA, .flags = BUFFER, .system.events = POLLHUP),
    ROW(0, NOTHING, .system.events = POLLHUP),
    ROW(-EINTR, NOTHING),
    ROW(-EAGAIN, BACKOFF),
    ROW(-ENOMEM, BACKOFF),
    ROW(-ECANCELED, CANCELED),
    ROW(-ECONNREFUSED, FAIL_ONE, .value = ECONNREFUSED),
    ROW(-EBADF, FAIL, .value = EBADF),
    ROW(-EFAULT, FAIL, .value = EFAULT),
    ROW(-ENOTSOCK, FAIL, .value = ENOTSOCK),
    ROW(-EOPNOTSUPP, FAIL, .value = EOPNOTSUPP),
    ROW(-EOPNOTSUPP, FAIL_ONE, .value = EOPNOTSUPP, LOCAL),
    ROW(-EOPNOTSUPP, FAIL_ONE, .value = EOPNOTSUPP, .largest = 65507),
    ROW(-ENOBUFS, NO_BUFFERS),
    ROW(-ENOBUFS, FAIL_ONE, .value = ENOBUFS, NETLINK),
    ROW(-ENOBUFS, NO_BUFFERS, NETLINK, .shortage = NONE_THERE, .system.drops = 1),
    ROW(-ENOBUFS, NO_BUFFERS, NETLINK, .shortage = MANY_PUT),
    ROW(-ENOBUFS, FAIL_ONE, .value = ENOBUFS, NETLINK, .shortage = MANY_PUT, .system.drops = 1),
    ROW(-ENOBUFS, NO_BUFFERS, NETLINK, .shortage = MANY_PUT, .system = {.drops = 1, .silent = 1}),
    ROW(-ENOBUFS, NO_BUFFERS, .traits = FAST_TRAIT_OWN_SHORTAGE, .shortage = MANY_PUT,
        .system.drops = 1),
};

#define TERMINAL .traits = FAST_TRAIT_TERMINAL
#define ONCE .traits = FAST_TRAIT_PIPE, .state = FAST_FILE_READS_ONCE

static const struct Row fileReceives[] = {
    ROW(5, DATA, .flags = BUFFER),
    ROW(5, FAIL, .value = EIO), /* in no buffer */
    ROW(0, END),
    ROW(0, END, TERMINAL),
    ROW(0, BACKOFF, TERMINAL, .system.raw = true),
    ROW(0, END, TERMINAL, .system = {.raw = true, .events = POLLHUP}),
    ROW(-EAGAIN, NOTHING, .gains = FAST_FILE_POLLS),
    ROW(-EAGAIN, BACKOFF, .state = FAST_FILE_POLLED, .gains = FAST_FILE_POLLS),
    ROW(-EBADFD, NOTHING, .form = FAST_FILE_READ_MULTISHOT, .gains = FAST_FILE_READS_ONCE),
    ROW(-EINVAL, NOTHING, .form = FAST_FILE_READ_MULTISHOT, .gains = FAST_FILE_READS_ONCE),
    ROW(-EOPNOTSUPP, NOTHING, .form = FAST_FILE_READ_MULTISHOT, .gains = FAST_FILE_READS_ONCE),
    ROW(-EINVAL, FAIL, .value = EINVAL),
    ROW(-EINVAL, FAIL, .value = EINVAL, TERMINAL, .form = FAST_FILE_RELAY),
    ROW(-EINVAL, END, TERMINAL, .form = FAST_FILE_RELAY, .system.events = POLLHUP),
    ROW(-ERESTARTSYS, NOTHING, TERMINAL, .form = FAST_FILE_RELAY),
    ROW(-ERESTARTSYS, FAIL, .value = ERESTARTSYS),
    ROW(-EIO, FAIL, .value = EIO),
    ROW(-EIO, FAIL, .value = EIO, TERMINAL),
    ROW(-EIO, END, TERMINAL, .system.events = POLLHUP),
    ROW(-EIO, BACKOFF, TERMINAL, .system.background = true),
    ROW(-EINTR, NOTHING),
    ROW(-ENOMEM, BACKOFF),
    ROW(-ECANCELED, CANCELED),
    ROW(-ENOBUFS, NO_BUFFERS, .traits = FAST_TRAIT_OWN_SHORTAGE),
    ROW(-ENXIO, FAIL, .value = ENXIO),
    /* polls */
    ROW(POLLIN, NOTHING, .form = FAST_FILE_POLL, .gains = FAST_FILE_READY),
    ROW(POLLIN, NOTHING, .form = FAST_FILE_POLL, .stops = FAST_STOP_PAUSED),
    ROW(POLLIN, NOTHING, ONCE, .form = FAST_FILE_POLL, .gains = FAST_FILE_READY),
    ROW(-ECANCELED, NOTHING, ONCE, .form = FAST_FILE_POLL),
    ROW(-EPERM, BACKOFF, ONCE, .form = FAST_FILE_POLL),
    ROW(-EPERM, NOTHING, .form = FAST_FILE_POLL, .state = FAST_FILE_POLLS,
        .loses = FAST_FILE_POLLS),
    /* reads by calls of our own */
    ROW(POLLIN, TAKEN, ONCE, .form = FAST_FILE_POLL_OWN, .input = "bytes",
        .gains = FAST_FILE_POLLED),
    ROW(POLLIN, BACKOFF, ONCE, .form = FAST_FILE_POLL_OWN, .input = "bytes",
        .starved = true, .gains = FAST_FILE_POLLED),
    ROW(POLLIN, BACKOFF, ONCE, .form = FAST_FILE_POLL_OWN, .input = "",
        .gains = FAST_FILE_POLLED | FAST_FILE_POLLS),
    ROW(POLLIN, END, ONCE, .form = FAST_FILE_POLL_OWN, .input = "", .closed = true,
        .gains = FAST_FILE_POLLED),
    ROW(POLLIN, NOTHING, ONCE, .form = FAST_FILE_POLL_OWN, .input = "bytes",
        .stops = FAST_STOP_PAUSED),
    /* and through the relay */
    ROW(5, TAKEN, ONCE, .form = FAST_FILE_RELAY, .input = "bytes"),
    ROW(5, NOTHING, ONCE, .form = FAST_FILE_RELAY, .input = "bytes", .starved = true,
        .gains = FAST_FILE_RELAYED),
    ROW(0, END, ONCE, .form = FAST_FILE_RELAY, .input = ""),
};

static const struct Row streamSends[] = {
    ROW(5, DATA, .value = 5),
    ROW(0, DATA, .value = 0),
    ROW(-EAGAIN, ROOM),
    ROW(-EINTR, NOTHING),
    ROW(-ECANCELED, NOTHING),
    ROW(-ENOMEM, BACKOFF),
    ROW(-ENOBUFS, BACKOFF),
    ROW(-EINPROGRESS, CONNECT),
    ROW(-EALREADY, CONNECT),
    ROW(-EPIPE, FAIL, .value = EPIPE, .traits = FAST_TRAIT_WAITS_FOR_ALL),
    ROW(-EINVAL, FAIL, .value = EINVAL),
    ROW(-EOPNOTSUPP, FAIL, .value = EOPNOTSUPP),
    ROW(-EINVAL, NOTHING, .traits = FAST_TRAIT_WAITS_FOR_ALL,
        .losesTraits = FAST_TRAIT_WAITS_FOR_ALL),
    ROW(-EOPNOTSUPP, NOTHING, .traits = FAST_TRAIT_WAITS_FOR_ALL,
        .losesTraits = FAST_TRAIT_WAITS_FOR_ALL),
    ROW(-EINVAL, NOTHING, .loan = true, .traits = FAST_TRAIT_ZERO_COPIES | FAST_TRAIT_WAITS_FOR_ALL,
        .losesTraits = FAST_TRAIT_ZERO_COPIES),
    ROW(-EOPNOTSUPP, NOTHING, .loan = true, .traits = FAST_TRAIT_ZERO_COPIES,
        .losesTraits = FAST_TRAIT_ZERO_COPIES),
    ROW(-ENOMEM, NOTHING, .loan = true, .traits = FAST_TRAIT_ZERO_COPIES),
    ROW(-ENOBUFS, NOTHING, .loan = true, .traits = FAST_TRAIT_ZERO_COPIES),
    ROW(-ECONNRESET, FAIL, .value = ECONNRESET, .loan = true, .traits = FAST_TRAIT_ZERO_COPIES),
};

static const struct Row recordSends[] = {
    ROW(5, DATA, .value = 5),
    ROW(-EAGAIN, ROOM),
    ROW(-EINTR, NOTHING),
    ROW(-ECANCELED, NOTHING),
    ROW(-ENOMEM, BACKOFF, .tries = TRIES - 1),
    ROW(-ENOBUFS, BACKOFF),
    ROW(-ENOMEM, FAIL, .value = ENOMEM, .tries = TRIES),
    ROW(-ENOBUFS, FAIL, .value = ENOBUFS, .tries = TRIES),
    ROW(-ENOBUFS, NOTHING, .tries = TRIES, .loan = true),
    ROW(-EINVAL, FAIL, .value = EINVAL, .traits = FAST_TRAIT_WAITS_FOR_ALL),
    ROW(-EINVAL, NOTHING, .loan = true, .traits = FAST_TRAIT_ZERO_COPIES,
        .losesTraits = FAST_TRAIT_ZERO_COPIES),
    ROW(-EPIPE, FAIL, .value = EPIPE, .loan = true),
};

/* Behind an error a part of the record may have gone: it is never made again. */
static const struct Row wholeSends[] = {
    ROW(5, DATA, .value = 5),
    ROW(-ECANCELED, NOTHING),
    ROW(-ENOBUFS, BACKOFF), /* there was no thread for it */
    ROW(-ENOBUFS, FAIL, .value = ENOBUFS, .tries = TRIES),
    ROW(-EAGAIN, FAIL, .value = ECONNABORTED),
    ROW(-EINTR, FAIL, .value = ECONNABORTED),
    ROW(-ENOMEM, FAIL, .value = ENOMEM),
    ROW(-EMSGSIZE, FAIL, .value = EMSGSIZE),
    ROW(-EPIPE, FAIL, .value = EPIPE),
};

static const struct Row datagramSends[] = {
    ROW(5, DATA, .value = 5),
    ROW(-EAGAIN, ROOM),
    ROW(-EAGAIN, POLL, LOCAL),
    ROW(-EAGAIN, BACKOFF, LOCAL, .named = true),
    ROW(-EAGAIN, BACKOFF, LOCAL, .room = FAST_ROOM_POLLED),
    ROW(-EINTR, NOTHING),
    ROW(-ECANCELED, NOTHING),
    ROW(-ENOMEM, BACKOFF),
    ROW(-ENOBUFS, BACKOFF, .tries = TRIES - 1),
    ROW(-ENOMEM, FAIL_ONE, .value = ENOMEM, .tries = TRIES),
    ROW(-ENOBUFS, FAIL_ONE, .value = ENOBUFS, .tries = TRIES),
    ROW(-ENOBUFS, NOTHING, .loan = true, .tries = TRIES),
    /* whose it is */
    ROW(-ECONNREFUSED, NOTHING),
    ROW(-ECONNREFUSED, FAIL_ONE, .value = ECONNREFUSED, LOCAL),
    ROW(-ECONNREFUSED, NOTHING, .doubt = ECONNREFUSED, .doubts = 2),
    ROW(-ECONNREFUSED, FAIL_ONE, .value = ECONNREFUSED, .doubt = ECONNREFUSED, .doubts = 3),
    ROW(-ECONNREFUSED, NOTHING, .doubt = EHOSTUNREACH, .doubts = 7),
    ROW(-ECONNREFUSED, FAIL_ONE, .value = ECONNREFUSED, .doubt = EHOSTUNREACH, .doubts = 8),
    ROW(-ECONNREFUSED, FAIL_ONE, .value = ECONNREFUSED, .corked = true),
    ROW(-ECONNREFUSED, FAIL_ONE, .value = ECONNREFUSED, .system.corked = 1),
    ROW(-EINVAL, NOTHING, .loan = true, .traits = FAST_TRAIT_ZERO_COPIES),
    ROW(-EINVAL, NOTHING, .loan = true, .traits = FAST_TRAIT_ZERO_COPIES,
        .doubt = EINVAL, .doubts = 3, .losesTraits = FAST_TRAIT_ZERO_COPIES),
};

static const struct Row fileSends[] = {
    ROW(5, DATA, .value = 5),
    ROW(0, DATA, .value = 5, .state = FAST_FILE_WRITTEN, .written = 5, .loses = FAST_FILE_WRITTEN),
    ROW(0, FAIL, .value = EPIPE, .state = FAST_FILE_WRITTEN, .written = -EPIPE,
        .loses = FAST_FILE_WRITTEN),
    ROW(0, DATA, .value = 0, .written = 5),
    ROW(-EAGAIN, POLL),
    ROW(-EAGAIN, BACKOFF, .room = FAST_ROOM_POLLED),
    ROW(-EINTR, NOTHING),
    ROW(-ECANCELED, NOTHING),
    ROW(-ENOMEM, BACKOFF),
    ROW(-ENOBUFS, BACKOFF),
    ROW(-EOPNOTSUPP, NOTHING, .traits = FAST_TRAIT_PIPE, .gains = FAST_FILE_WRITES_APART),
    ROW(-EOPNOTSUPP, FAIL, .value = EOPNOTSUPP, .traits = FAST_TRAIT_PIPE,
        .state = FAST_FILE_WRITES_APART),
    ROW(-EOPNOTSUPP, FAIL, .value = EOPNOTSUPP),
    ROW(-ENOSPC, FAIL, .value = ENOSPC),
};

#endif
