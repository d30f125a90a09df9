/*
 * TLS by the kernel (TCP_ULP "tls"): connections of bytes that know records.
 *
 * Good path: data goes in and out as on any TCP socket. With a message header each chunk has its
 * records' type in its control data (TLS_GET_RECORD_TYPE), and records that are no data are chunks
 * like others.
 *
 * Failures: a record that is no data can't be received without room for its type (EIO), and nothing
 * can behind a KeyUpdate before its key was set (EKEYEXPIRED). The errno is reported by POLLERR,
 * once, and receiving stops until ResumeFastSocket: only the program can read the record. It is not
 * fatal: the connection works on. What a released socket discards is discarded here.
 */
#include "socket/kind-tls.h"

#include "socket/system.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

static bool hasTls(const struct FastSocket* socket)
{
    char name[16] = "";
    socklen_t length = sizeof(name) - 1;
    return FastSocketHas(socket, FAST_TRAIT_TCP) &&
           FastSystemGetOption(socket->handle, IPPROTO_TCP, TCP_ULP, name, &length) == 0 &&
           strcmp(name, "tls") == 0;
}

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
    return FastSystemReceive(socket->handle, &message, 0) > 0;
}

struct FastAnswer FastTlsReceiveError(struct FastSocket* socket, int error)
{
    if ((error != EIO && error != EKEYEXPIRED) || !hasTls(socket))
        return FastAnswer(FAST_VERDICT_FAIL, error);
    if (socket->inbound.discard && error == EIO && discardRecord(socket))
        return FastAnswer(FAST_VERDICT_NOTHING, 0);
    /* Once the socket is released nobody can take it: this lasts until the draining is over. */
    return FastAnswer(FAST_VERDICT_RECORD, error);
}
