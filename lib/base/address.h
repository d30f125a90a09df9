/*
 * Addresses as text: "host:port" and its relatives, taken apart and put together.
 */
#ifndef FASTSOCKET_BASE_ADDRESS_H
#define FASTSOCKET_BASE_ADDRESS_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum FastAddressScheme
{
    FAST_ADDRESS_TCP, /* without a word in front */
    FAST_ADDRESS_UDP,
    FAST_ADDRESS_MPTCP,
    FAST_ADDRESS_UNIX,
    FAST_ADDRESS_VSOCK,
};

enum
{
    FAST_ADDRESS_HOST = 256,   /* a name of the DNS has 253 at most */
    FAST_ADDRESS_SERVICE = 64, /* a name of /etc/services */
};

/* What a text says. */
struct FastAddress
{
    enum FastAddressScheme scheme;
    bool any;         /* nobody in particular: to listen at, not to connect to */
    bool numericHost; /* the host is no name: only its service has to be looked up, if that */
    socklen_t length; /* of name; 0: it has to be looked up */
    struct sockaddr_storage name;
    char host[FAST_ADDRESS_HOST]; /* of the internet's, without brackets; "": any */
    char service[FAST_ADDRESS_SERVICE];
};

/* Takes a text apart, without waiting for anything: 0, -EINVAL, -ENAMETOOLONG (of a part), or
 * -ENODEV (no interface of that name). What is written counts on success only. */
int FastAddressParse(const char* text, struct FastAddress* address);

/* The text of an address, behind a word for its scheme ("udp:", or ""): 0, -ENOSPC (size),
 * -EAFNOSUPPORT, or -EINVAL (cut short, or a name that has no text). Nothing is written but on
 * success. */
int FastAddressFormat(const char* scheme, const struct sockaddr* name, socklen_t length, char* text,
                      size_t size);

/* The word in front of what has this scheme: "udp:", say; "" of TCP. */
const char* FastAddressWord(enum FastAddressScheme scheme);

/* What getaddrinfo is asked for. */
struct addrinfo FastAddressHints(const struct FastAddress* address);

/* Opens a socket for such an address of a family, with close-on-exec: a descriptor, or a negative
 * errno. flags: of its type, too. */
int FastAddressOpen(enum FastAddressScheme scheme, int family, int flags);

#endif
