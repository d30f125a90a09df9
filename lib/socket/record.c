/*
 * TLS by the kernel (TCP_ULP "tls"): connections of bytes that know records.
 *
 * Good path: data goes in and out as on any TCP socket. With a message header each chunk has its records' type in
 * its control data (TLS_GET_RECORD_TYPE), and records that are no data are chunks like others.
 *
 * Failures: a record that is no data can't be received without room for its type (EIO), and nothing can
 * behind a KeyUpdate before its key was set (EKEYEXPIRED). The errno is told by POLLERR, once, and receiving rests
 * until ResumeFastSocket: only the program can read the record. It is not fatal: the connection works on.
 * What a released socket discards is discarded here. A send with MSG_WAITALL is refused: it is made again
 * without, and short counts are resumed.
 */
#include "socket/state.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

static bool hasTls(const struct FastSocket* socket)
{
    char name[16] = "";
    socklen_t length = sizeof(name) - 1;
    return socket->tcp && getsockopt(socket->handle, IPPROTO_TCP, TCP_ULP, name, &length) == 0 &&
           strcmp(name, "tls") == 0;
}

/* ---- receiving ---- */

/* Takes the record that a discarding receive has met; false if it can't be taken. */
static bool discardRecord(const struct FastSocket* socket)
{
    char control[CMSG_SPACE(sizeof(uint8_t))];
    char data[256];
    struct iovec vector = {.iov_base = data, .iov_len = sizeof(data)};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    return recvmsg(socket->handle, &message, MSG_DONTWAIT) > 0;
}

bool FastSocketStopsAtRecord(struct FastSocket* socket, int error)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    if ((error != EIO && error != EKEYEXPIRED) || !hasTls(socket))
        return false;
    if (inbound->discard && error == EIO && discardRecord(socket))
        return true;
    inbound->record = error; /* of a released socket: until its time is up */
    inbound->recordTold = false;
    FastSocketNotify(socket);
    return true;
}

bool FastSocketRecordIsDue(struct FastSocket* socket)
{
    struct FastSocketInbound* inbound = &socket->inbound;
    if (inbound->record == 0 || inbound->recordTold || inbound->paused)
        return false;
    inbound->recordTold = true;
    return true;
}

/* ---- sending ---- */

bool FastSocketDropsWaitAll(struct FastSocket* socket, int error)
{
    bool drops = socket->waitsForAll && (error == EOPNOTSUPP || error == EINVAL);
    if (drops)
        socket->waitsForAll = false;
    return drops;
}

bool FastControlIsRecord(const void* control, size_t length)
{
    struct cmsghdr first;
    if (length < sizeof(first))
        return false;
    memcpy(&first, control, sizeof(first));
    return first.cmsg_level == SOL_TLS;
}
