#define _GNU_SOURCE
#include "pairs.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

const char* nameKind(enum Kind kind)
{
    static const char* const names[KIND_COUNT] = {
        "none",
        "TCP",
        "TCP6",
        "UDP",
        "UDP6",
        "UNIX stream",
        "UNIX datagram",
        "UNIX seqpacket",
    };

    return names[kind];
}

int typeKind(enum Kind kind)
{
    switch (kind) {
    case KIND_UDP:
    case KIND_UDP6:
    case KIND_UNIX_DATAGRAM:
        return SOCK_DGRAM;
    case KIND_UNIX_SEQPACKET:
        return SOCK_SEQPACKET;
    default:
        return SOCK_STREAM;
    }
}

static int domainKind(enum Kind kind)
{
    switch (kind) {
    case KIND_TCP:
    case KIND_UDP:
        return AF_INET;
    case KIND_TCP6:
    case KIND_UDP6:
        return AF_INET6;
    default:
        return AF_UNIX;
    }
}

/* Many connections in a minute must not use up the ports by those that linger in TIME_WAIT. */
static void reuseAddress(int handle)
{
    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
}

/* From 127.64.0.0 on: identifiers of processes have 22 bits. */
uint32_t ownLoopback(void)
{
    return htonl(0x7f400000 | ((uint32_t)getpid() & 0x3fffff));
}

static int openLoopback(int domain, int type, struct sockaddr_storage* address, socklen_t* length)
{
    struct sockaddr_in* four = (struct sockaddr_in*)address;
    struct sockaddr_in6* six = (struct sockaddr_in6*)address;
    int handle = socket(domain, type | SOCK_CLOEXEC, 0);

    if (handle < 0)
        return -1;
    if (type == SOCK_STREAM)
        reuseAddress(handle);
    memset(address, 0, sizeof(*address));
    address->ss_family = (sa_family_t)domain;
    if (domain == AF_INET) {
        four->sin_addr.s_addr = ownLoopback();
        *length = sizeof(*four);
    } else {
        six->sin6_addr = in6addr_loopback;
        *length = sizeof(*six);
    }
    if (bind(handle, (struct sockaddr*)address, *length) < 0) {
        close(handle);
        return -1;
    }
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)address, length), 0);
    return handle;
}

bool hasKind(enum Kind kind)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int handle = -1;

    if (domainKind(kind) != AF_INET6)
        return true;
    handle = openLoopback(AF_INET6, SOCK_DGRAM, &address, &length);
    if (handle >= 0)
        close(handle);
    return handle >= 0;
}

static void pairListening(int domain, int pair[2])
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int listener = openLoopback(domain, SOCK_STREAM, &address, &length);

    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    pair[0] = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(pair[0], 0);
    reuseAddress(pair[0]);
    /* Segments as of an Ethernet. With loopback's own of 64 KiB and a small send buffer, each
     * waits for a delayed acknowledgement: some 2 MB/s. */
    ck_assert_int_eq(setsockopt(pair[0], IPPROTO_TCP, TCP_MAXSEG, &(int){1440}, sizeof(int)), 0);
    ck_assert_int_eq(connect(pair[0], (struct sockaddr*)&address, length), 0);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(pair[1], 0);
    close(listener);
}

static void pairLoopbackDatagrams(int domain, int pair[2])
{
    struct sockaddr_storage addresses[2];
    socklen_t length = 0;

    for (int index = 0; index < 2; index++) {
        pair[index] = openLoopback(domain, SOCK_DGRAM, &addresses[index], &length);
        ck_assert_int_ge(pair[index], 0);
    }
    for (int index = 0; index < 2; index++)
        ck_assert_int_eq(connect(pair[index], (struct sockaddr*)&addresses[1 - index], length), 0);
}

void pairUnix(int pair[2], int type)
{
    ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
}

void pairStream(int pair[2])
{
    pairUnix(pair, SOCK_STREAM);
}

void pairTcp(int pair[2])
{
    pairListening(AF_INET, pair);
}

void pairUdp(int pair[2])
{
    pairLoopbackDatagrams(AF_INET, pair);
}

void pairKind(enum Kind kind, int pair[2])
{
    if (domainKind(kind) == AF_UNIX) {
        pairUnix(pair, typeKind(kind));
    } else if (typeKind(kind) == SOCK_STREAM) {
        pairListening(domainKind(kind), pair);
    } else {
        pairLoopbackDatagrams(domainKind(kind), pair);
    }
}

void pairTerminal(int pair[2], int flags)
{
    char name[64];

    pair[1] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | flags);
    ck_assert_int_ge(pair[1], 0);
    ck_assert_int_eq(grantpt(pair[1]), 0);
    ck_assert_int_eq(unlockpt(pair[1]), 0);
    ck_assert_int_eq(ptsname_r(pair[1], name, sizeof(name)), 0);
    pair[0] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(pair[0], 0);
}

int listenTcp(struct sockaddr_storage* address, socklen_t* length)
{
    int handle = openLoopback(AF_INET, SOCK_STREAM, address, length);

    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(listen(handle, 128), 0);
    return handle;
}

void sendAll(int handle, const void* data, size_t size)
{
    const uint8_t* bytes = data;

    while (size > 0) {
        ssize_t result = send(handle, bytes, size, MSG_NOSIGNAL);
        if ((result < 0) && (errno == EINTR))
            continue;
        ck_assert_msg(result > 0, "send: %s", strerror(errno));
        bytes += result;
        size -= (size_t)result;
    }
}

void receiveAll(int handle, void* data, size_t size)
{
    uint8_t* bytes = data;

    while (size > 0) {
        ssize_t result = recv(handle, bytes, size, 0);
        if ((result < 0) && (errno == EINTR))
            continue;
        ck_assert_msg(result > 0, "recv: %s", (result == 0) ? "end of input" : strerror(errno));
        bytes += result;
        size -= (size_t)result;
    }
}

void closeReset(int handle)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(handle);
}

void sendText(int handle, const char* text)
{
    ck_assert_int_eq(send(handle, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

void expectText(int handle, const char* text)
{
    char data[256] = "";

    ck_assert_uint_lt(strlen(text), sizeof(data));
    receiveAll(handle, data, strlen(text));
    ck_assert_str_eq(data, text);
}

void expectNothing(int handle)
{
    char byte = 0;

    ck_assert_int_eq(recv(handle, &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
    ck_assert_int_eq(errno, EAGAIN);
}

void expectEnd(int handle)
{
    char byte = 0;

    ck_assert_int_eq(recv(handle, &byte, 1, 0), 0);
}
