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
    ENOMEM,
    ENOBUFS,
    ECANCELED,
    ECONNREFUSED,
    EHOSTUNREACH,
    ENETUNREACH,
    EHOSTDOWN,
    ENETDOWN,
    EPERM,
    EACCES,
    EMSGSIZE,
    EPROTO,
};
static const int arrivals[] = {EAGAIN, EINTR, ENOMEM, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH};
static const int polls[] = {ENOMEM, EAGAIN, ECANCELED};
static const int accepts[] = {EAGAIN, EINTR, EMFILE, ENFILE, ENOMEM, ENOBUFS,
                              ECONNABORTED, EPERM, EPROTO, ENETDOWN, EHOSTUNREACH};
static const int files[] = {EAGAIN, EINTR, ENOMEM, EIO};
static const int pipes[] = {EAGAIN, EINTR, ENOMEM};

static int drawOf(const int* errors, size_t count)
{
    return errors[choose((uint32_t)count)];
}

/* Some pipes know none of the flags that keep a write from waiting, and from a signal. */
static int drawPipe(const struct io_uring_sqe* entry)
{
    if (entry->rw_flags != 0 && choose(4) == 0)
        return EOPNOTSUPP;
    return drawOf(pipes, COUNT(pipes));
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
        return drawOf(files, COUNT(files));
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
        return file->kind != MEMORY_PIPE ? drawOf(files, COUNT(files)) : drawPipe(entry);
    default:
        return 0;
    }
}

/* ---- the table ---- */

enum Column
{
    COLUMN_WHOLE, /* all that was asked for, or what gives no number */
    COLUMN_SHORT,
    COLUMN_NOTHING, /* 0 bytes */
    COLUMN_MORE,    /* and more comes */
    COLUMN_LAST,    /* of what might go on */
    COLUMN_NOTICE,
    COLUMN_ERRORS, /* the first errno */
};

static const char* const columns[] = {"whole", "short", "nothing", "more", "last", "notice"};

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
    {EIO, "IO"},
    {0, "other"},
};

#define BIT(column) (UINT64_C(1) << (column))
#define WHOLE       BIT(COLUMN_WHOLE)
#define BYTES       (WHOLE | BIT(COLUMN_SHORT))
#define MANY        (BIT(COLUMN_MORE) | BIT(COLUMN_LAST))
#define NOTHING     BIT(COLUMN_NOTHING)
#define NOTICE      BIT(COLUMN_NOTICE)
#define E(place)    BIT(COLUMN_ERRORS + (place))
#define TRANSIENT   (E(0) | E(1) | E(2))
#define SHORTAGE    E(3)
#define CANCELED    E(4)
#define CONNECTION  (E(5) | E(7) | E(9) | E(12))
#define PIPES       E(6)
#define DATAGRAMS   (E(8) | E(9) | E(10) | E(11) | E(12) | E(13) | E(14) | E(15) | E(16))
#define UNREACHABLE (E(8) | E(9) | E(10))
#define REFUSED     (E(17) | E(18))
#define NO_NUMBER   E(21)
#define ACCEPTS     (E(3) | E(9) | E(12) | E(13) | E(16) | E(18) | E(21) | E(22) | E(23))
#define SIZE        E(15)
#define OTHER       E(25) /* of a number that is closed, or another file's */

/* A row has what an operation may come to here, and why it comes to nothing else. */
static const struct
{
    const char* name;
    uint8_t opcode;
    bool multishot;
    uint64_t possible;
    const char* reason;
    uint64_t rare; /* may come, and does so too seldom to be demanded */
} rows[] = {
    {"nop", IORING_OP_NOP, false, WHOLE, "it does nothing that could fail, and is over at once",
     CANCELED},
    {"send", IORING_OP_SEND, false,
     BYTES | TRANSIENT | SHORTAGE | CANCELED | CONNECTION | PIPES | DATAGRAMS | NO_NUMBER,
     "what it is asked for is checked before", 0},
    {"sendmsg", IORING_OP_SENDMSG, false,
     BYTES | TRANSIENT | SHORTAGE | CANCELED | CONNECTION | PIPES | DATAGRAMS,
     "the same; no program's own, which alone needs a number (MFILE)", 0},
    {"send_zc", IORING_OP_SEND_ZC, false,
     BYTES | NOTICE | TRANSIENT | SHORTAGE | CANCELED | E(5) | E(7) | PIPES | UNREACHABLE |
         REFUSED | SIZE | E(12),
     "what a firewall, or a neighbour, says to a datagram (HOSTDOWN, PERM, ACCES, PROTO) is given "
     "to those that are copied",
     0},
    {"sendmsg_zc", IORING_OP_SENDMSG_ZC, false,
     BYTES | NOTICE | TRANSIENT | SHORTAGE | CANCELED | E(5) | E(7) | PIPES | UNREACHABLE |
         REFUSED | SIZE | E(12),
     "as send_zc", 0},
    {"recv", IORING_OP_RECV, false,
     BYTES | NOTHING | TRANSIENT | SHORTAGE | CANCELED | E(5) | NO_NUMBER,
     "connections of the program's own end by a reset alone", E(7) | E(9) | E(12)},
    {"recv of many", IORING_OP_RECV, true,
     MANY | NOTHING | TRANSIENT | SHORTAGE | CANCELED | CONNECTION | E(8) | NO_NUMBER,
     "a receive of a connection gives no other errno", 0},
    {"recvmsg of many", IORING_OP_RECVMSG, true,
     MANY | TRANSIENT | SHORTAGE | CANCELED | CONNECTION | UNREACHABLE | SIZE,
     "a message is never nothing, since its header is there", 0},
    {"read", IORING_OP_READ, false,
     BYTES | NOTHING | TRANSIENT | CANCELED | E(5) | NO_NUMBER | E(24),
     "it has no group of buffers here: only files use one", OTHER},
    {"write", IORING_OP_WRITE, false,
     BYTES | TRANSIENT | CANCELED | PIPES | NO_NUMBER | E(17) | E(24),
     "the same connections as of recv", E(5)},
    {"writev", IORING_OP_WRITEV, false, BYTES | TRANSIENT | CANCELED | E(17) | PIPES,
     "pipes have no other errno", 0},
    {"poll", IORING_OP_POLL_ADD, false, WHOLE | E(0) | E(2) | CANCELED | NO_NUMBER,
     "a poll has no other errno where its descriptor is open", OTHER},
    {"poll of many", IORING_OP_POLL_ADD, true, MANY | E(0) | E(2) | CANCELED | NO_NUMBER,
     "the same", OTHER},
    {"cancel", IORING_OP_ASYNC_CANCEL, false, WHOLE | E(19) | E(20),
     "what it is asked for is right; a link, which cancels it, has none", OTHER},
    {"accept", IORING_OP_ACCEPT, false, WHOLE | TRANSIENT | CANCELED | ACCEPTS,
     "other errnos of a network are as those", 0},
    {"accept of many", IORING_OP_ACCEPT, true, MANY | TRANSIENT | CANCELED | ACCEPTS,
     "the same; its last says so by an errno, or is ended by the queue", 0},
    {"connect", IORING_OP_CONNECT, false, WHOLE | CANCELED | E(8) | E(2) | NO_NUMBER,
     "other errnos of a connect are the same to a program", 0},
    {"shutdown", IORING_OP_SHUTDOWN, false, WHOLE | NO_NUMBER,
     "a connection that has ended is shut down already", CANCELED},
    {"close", IORING_OP_CLOSE, false, WHOLE, "its descriptor is open", CANCELED},
};

/* Operations that are not simulated, and why. */
static const char* const others[] = {
    "recvmsg of one message: no part of the library makes it; test/unit/soft-* has it",
    "readv: as read, but for vectors, which test/unit/soft-file has",
    "reads of FASTSOCKET_MODE_FILE_IO: pipes are opened once more, by the real system",
    "splice: files that are memory have no pages to move",
    "poll_remove: names an operation by what only the library knows, and it makes none",
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

_Static_assert(COUNT_OF(rows) <= OUTCOME_ROWS, "rows");
_Static_assert(COLUMN_ERRORS + COUNT_OF(errors) <= OUTCOME_COLUMNS, "columns");

enum
{
    COLUMNS = COLUMN_ERRORS + COUNT_OF(errors),
};

static int rowOf(uint8_t opcode, bool multishot)
{
    for (size_t row = 0; row < COUNT_OF(rows); row++)
        if (rows[row].opcode == opcode && rows[row].multishot == multishot)
            return (int)row;
    return -1;
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
    case IORING_OP_WRITEV:
        return true;
    default:
        return false;
    }
}

static int columnOfError(int error)
{
    size_t place = 0;

    while (place < COUNT_OF(errors) - 1 && errors[place].error != error)
        place++;
    return COLUMN_ERRORS + (int)place;
}

static int columnOf(uint8_t opcode, bool multishot, uint64_t wanted, int32_t result, uint32_t flags)
{
    if (flags & IORING_CQE_F_NOTIF)
        return COLUMN_NOTICE;
    if (result < 0)
        return columnOfError(-result);
    if (multishot && flags & IORING_CQE_F_MORE)
        return COLUMN_MORE;
    if (multishot)
        return result == 0 && opcode == IORING_OP_RECV ? COLUMN_NOTHING : COLUMN_LAST;
    if (!movesBytes(opcode))
        return COLUMN_WHOLE;
    if (result == 0 && wanted > 0)
        return COLUMN_NOTHING;
    return (uint64_t)result < wanted ? COLUMN_SHORT : COLUMN_WHOLE;
}

void outcomeNote(uint8_t opcode, bool multishot, uint64_t wanted, int32_t result, uint32_t flags)
{
    int row = rowOf(opcode, multishot);

    if (row < 0)
        wrong("the simulation's table has no row for operation %u", opcode);
    int column = columnOf(opcode, multishot, wanted, result, flags);
    outcomes->counts[row][column]++;
    if (column == COLUMNS - 1)
        outcomes->others[row] = -result;
}

static const char* nameOf(size_t column)
{
    return column < COLUMN_ERRORS ? columns[column] : errors[column - COLUMN_ERRORS].name;
}

/* Returns whether what can be has been, and nothing else. */
static bool printRow(size_t row, bool whole)
{
    bool right = true;

    printf("# %-16s", rows[row].name);
    for (size_t column = 0; column < COLUMNS; column++) {
        uint64_t count = outcomes->counts[row][column];
        bool possible = rows[row].possible & BIT(column);
        bool rare = rows[row].rare & BIT(column);
        bool isWrong = possible ? whole && count == 0 : count > 0 && !rare;
        if (possible || count > 0)
            printf(" %s %llu%s", nameOf(column), (unsigned long long)count,
                   isWrong ? (possible ? " (never)" : " (unexpected)") : "");
        right &= !isWrong;
    }
    if (outcomes->others[row] != 0)
        printf(" (%s)", strerrorname_np(outcomes->others[row]));
    printf("\n#                  else: %s\n", rows[row].reason);
    return right;
}

bool outcomePrint(bool whole)
{
    bool right = true;

    for (size_t row = 0; row < COUNT_OF(rows); row++)
        right &= printRow(row, whole);
    for (size_t index = 0; index < COUNT_OF(others); index++)
        printf("# not simulated: %s\n", others[index]);
    return right;
}
