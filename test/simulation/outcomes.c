#include "outcomes.h"

#include "schedule.h"
#include "scheduler-state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct Outcomes* outcomes;

/* ---- errors that are given ---- */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Of every socket, and every send or receive: they say nothing of the connection. */
static const int transient[] = {EAGAIN, EINTR, ENOMEM, ENOBUFS, ECANCELED};
static const int receives[] = {EAGAIN, EINTR, ENOMEM};
/* Kinds of sockets that know no zero copy, or memory that is not to be had for it. */
static const int zeroCopies[] = {EAGAIN, EINTR, ENOMEM, ENOBUFS, ECANCELED, EOPNOTSUPP, EINVAL};
/* Of a datagram, or of one before. */
static const int datagrams[] = {
    ENOMEM,      ENOBUFS,     ECANCELED, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH,
    EHOSTDOWN,   ENETDOWN,    EPERM,     EACCES,       EMSGSIZE,     EPROTO,
};
static const int arrivals[] = {EAGAIN, EINTR, ENOMEM, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH};
static const int polls[] = {ENOMEM, EAGAIN, ECANCELED};
static const int accepts[] = {EAGAIN, EINTR, EMFILE, ENFILE, ENOMEM, ENOBUFS,
                              ECONNABORTED, EPERM, EPROTO, ENETDOWN, EHOSTUNREACH};
static const int files[] = {EAGAIN, EINTR, ENOMEM, EIO};

static int drawOf(const int* errors, size_t count)
{
    return errors[choose((uint32_t)count)];
}

int outcomeDrawError(const struct io_uring_sqe* entry, const struct MemoryFile* file)
{
    bool isUdp = file->kind == MEMORY_UDP;

    switch (entry->opcode) {
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
        return isUdp ? drawOf(datagrams, COUNT(datagrams)) : drawOf(transient, COUNT(transient));
    case IORING_OP_SEND_ZC:
    case IORING_OP_SENDMSG_ZC:
        return drawOf(zeroCopies, COUNT(zeroCopies));
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
        return isUdp ? drawOf(arrivals, COUNT(arrivals)) : drawOf(receives, COUNT(receives));
    case IORING_OP_POLL_ADD:
        return drawOf(polls, COUNT(polls));
    case IORING_OP_ACCEPT:
        return drawOf(accepts, COUNT(accepts));
    case IORING_OP_READ:
    case IORING_OP_WRITE:
        return drawOf(files, COUNT(files));
    default:
        return 0;
    }
}

/* ---- the table ---- */

enum Column
{
    COLUMN_WHOLE, /* all that was asked for, or 0 of what gives no number */
    COLUMN_SHORT,
    COLUMN_NOTHING, /* 0 bytes */
    COLUMN_MORE,    /* and more comes */
    COLUMN_LAST,    /* of what might go on */
    COLUMN_NOTICE,
    COLUMN_ERRORS, /* the first errno */
};

static const struct
{
    int error;
    const char* name;
} errors[] = {
    {EAGAIN, "AGAIN"},
    {EINTR, "INTR"},
    {ENOMEM, "NOMEM"},
    {ENOBUFS, "NOBUFS"},
    {ECANCELED, "CANCELED"},
    {ECONNRESET, "CONNRESET"},
    {EPIPE, "PIPE"},
    {ETIMEDOUT, "TIMEDOUT"},
    {ECONNREFUSED, "CONNREFUSED"},
    {EHOSTUNREACH, "HOSTUNREACH"},
    {ENETUNREACH, "NETUNREACH"},
    {EHOSTDOWN, "HOSTDOWN"},
    {ENETDOWN, "NETDOWN"},
    {EPERM, "PERM"},
    {EACCES, "ACCES"},
    {EMSGSIZE, "MSGSIZE"},
    {EPROTO, "PROTO"},
    {EOPNOTSUPP, "OPNOTSUPP"},
    {EINVAL, "INVAL"},
    {ENOENT, "NOENT"},
    {EALREADY, "ALREADY"},
    {EMFILE, "MFILE"},
    {ENFILE, "NFILE"},
    {ECONNABORTED, "CONNABORTED"},
    {ENOTCONN, "NOTCONN"},
    {EISCONN, "ISCONN"},
    {EIO, "IO"},
    {EBADF, "BADF"},
    {0, "other"},
};

static const char* const columns[] = {"whole", "short", "nothing", "more", "last", "notice"};

static const struct
{
    const char* name;
    uint8_t opcode;
    bool multishot;
} rows[] = {
    {"nop", IORING_OP_NOP, false},
    {"send", IORING_OP_SEND, false},
    {"sendmsg", IORING_OP_SENDMSG, false},
    {"send_zc", IORING_OP_SEND_ZC, false},
    {"sendmsg_zc", IORING_OP_SENDMSG_ZC, false},
    {"recv", IORING_OP_RECV, false},
    {"recv of many", IORING_OP_RECV, true},
    {"recvmsg", IORING_OP_RECVMSG, false},
    {"recvmsg of many", IORING_OP_RECVMSG, true},
    {"read", IORING_OP_READ, false},
    {"write", IORING_OP_WRITE, false},
    {"poll", IORING_OP_POLL_ADD, false},
    {"poll of many", IORING_OP_POLL_ADD, true},
    {"poll_remove", IORING_OP_POLL_REMOVE, false},
    {"cancel", IORING_OP_ASYNC_CANCEL, false},
    {"accept", IORING_OP_ACCEPT, false},
    {"accept of many", IORING_OP_ACCEPT, true},
    {"connect", IORING_OP_CONNECT, false},
    {"shutdown", IORING_OP_SHUTDOWN, false},
    {"close", IORING_OP_CLOSE, false},
};

_Static_assert(COUNT(rows) <= OUTCOME_ROWS, "rows");
_Static_assert(COLUMN_ERRORS + COUNT(errors) <= OUTCOME_COLUMNS, "columns");

static int rowOf(uint8_t opcode, bool multishot)
{
    for (size_t row = 0; row < COUNT(rows); row++)
        if (rows[row].opcode == opcode && rows[row].multishot == multishot)
            return (int)row;
    return -1;
}

static int columnOf(bool multishot, bool bytes, uint64_t wanted, int32_t result, uint32_t flags)
{
    size_t error = 0;

    if (flags & IORING_CQE_F_NOTIF)
        return COLUMN_NOTICE;
    if (result < 0) {
        while (error < COUNT(errors) - 1 && errors[error].error != -result)
            error++;
        return COLUMN_ERRORS + (int)error;
    }
    if (multishot)
        return flags & IORING_CQE_F_MORE ? COLUMN_MORE
                                         : (result == 0 ? COLUMN_NOTHING : COLUMN_LAST);
    if (!bytes)
        return COLUMN_WHOLE;
    if (result == 0 && wanted > 0)
        return COLUMN_NOTHING;
    return (uint64_t)result < wanted ? COLUMN_SHORT : COLUMN_WHOLE;
}

static bool movesBytes(uint8_t opcode)
{
    switch (opcode) {
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_SEND_ZC:
    case IORING_OP_SENDMSG_ZC:
    case IORING_OP_RECV:
    case IORING_OP_READ:
    case IORING_OP_WRITE:
        return true;
    default:
        return false;
    }
}

void outcomeNote(uint8_t opcode, bool multishot, uint64_t wanted, int32_t result, uint32_t flags)
{
    int row = rowOf(opcode, multishot);

    if (row >= 0)
        outcomes->counts[row][columnOf(multishot, movesBytes(opcode), wanted, result, flags)]++;
}

static const char* nameOf(size_t column)
{
    return column < COLUMN_ERRORS ? columns[column] : errors[column - COLUMN_ERRORS].name;
}

bool outcomePrint(bool whole)
{
    (void)whole;
    for (size_t row = 0; row < COUNT(rows); row++) {
        printf("# %-16s", rows[row].name);
        for (size_t column = 0; column < COLUMN_ERRORS + COUNT(errors); column++)
            if (outcomes->counts[row][column] > 0)
                printf(" %s %llu", nameOf(column),
                       (unsigned long long)outcomes->counts[row][column]);
        printf("\n");
    }
    return true;
}
