/*
 * What the examples need and what has nothing to do with the library: opening a socket, printing
 * its address, receiving signals through a descriptor.
 *
 * An address is a numeric or a host name, or "unix:PATH" (the port is then ignored).
 */
#ifndef PLAIN_SOCKET_H
#define PLAIN_SOCKET_H

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Returns the path in "unix:PATH", or NULL for any other address. */
static inline const char* getUnixPath(const char* address)
{
    return (strncmp(address, "unix:", 5) == 0) ? address + 5 : NULL;
}

/*
 * Looks an address up, which may be NULL for "any". type is SOCK_STREAM or SOCK_DGRAM.
 * Returns 0 and fills in storage and length; or -1 with the reason on stderr.
 */
static inline int findAddress(const char* address, const char* port, int type,
                              struct sockaddr_storage* storage, socklen_t* length)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = type};
    struct sockaddr_un* local = (struct sockaddr_un*)storage;
    struct addrinfo* list = NULL;
    const char* path = getUnixPath(address);
    int result;

    memset(storage, 0, sizeof(*storage));
    if (path != NULL) {
        if ((*path == '\0') || (strlen(path) >= sizeof(local->sun_path))) {
            fprintf(stderr, "%s: too short or too long\n", address);
            return -1;
        }
        local->sun_family = AF_UNIX;
        memcpy(local->sun_path, path, strlen(path));
        *length = sizeof(*local);
        return 0;
    }

    result = getaddrinfo(address, port, &hints, &list);
    if (result != 0) {
        fprintf(stderr, "%s port %s: %s\n", address, port, gai_strerror(result));
        return -1;
    }
    memcpy(storage, list->ai_addr, list->ai_addrlen);
    *length = list->ai_addrlen;
    freeaddrinfo(list);
    return 0;
}

/* Opens a socket on an address; a stream socket listens. Returns it, or -1 with the reason on
 * stderr. */
static inline int openSocket(const char* address, const char* port, int type)
{
    struct sockaddr_storage storage;
    socklen_t length;
    int handle;
    int yes = 1;

    if (findAddress(address, port, type, &storage, &length) < 0)
        return -1;

    handle = socket(storage.ss_family, type | SOCK_CLOEXEC, 0);
    if (handle < 0) {
        perror("socket");
        return -1;
    }

    if (((type == SOCK_STREAM) &&
         (setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0)) ||
        (bind(handle, (struct sockaddr*)&storage, length) < 0) ||
        ((type == SOCK_STREAM) && (listen(handle, SOMAXCONN) < 0))) {
        fprintf(stderr, "%s port %s: %s\n", address, port, strerror(errno));
        close(handle);
        return -1;
    }
    return handle;
}

/* Tells the user, or a program that started us with port 0, where we listen. */
static inline void printListening(int handle, const char* address)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof(storage);
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];

    if (getUnixPath(address) != NULL)
        printf("listening on %s\n", address);
    else if ((getsockname(handle, (struct sockaddr*)&storage, &length) == 0) &&
             (getnameinfo((struct sockaddr*)&storage, length, host, sizeof(host), port,
                          sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) == 0))
        printf((storage.ss_family == AF_INET6) ? "listening on [%s]:%s\n" : "listening on %s:%s\n",
               host, port);
    fflush(stdout);
}

/* Removes what a bound unix socket leaves in the file system. */
static inline void removeAddress(const char* address)
{
    if (getUnixPath(address) != NULL)
        unlink(getUnixPath(address));
}

/* Does accept(2) fail for want of something that others may give back? */
static inline bool isShortage(int reason)
{
    return (reason == EMFILE) || (reason == ENFILE) || (reason == ENOMEM) || (reason == ENOBUFS);
}

/* Small writes should leave at once: the library gathers what belongs together. TCP only, and a
 * mere hint: the error on other sockets doesn't matter. */
static inline void setNoDelay(int handle)
{
    int yes = 1;

    (void)!setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

/* From now on SIGINT and SIGTERM can be read from the descriptor that this returns (-1: errno). */
static inline int openSignals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Takes one signal from the descriptor. Returns its number, or 0 when there is none. */
static inline int readSignal(int handle)
{
    struct signalfd_siginfo information;

    if (read(handle, &information, sizeof(information)) != sizeof(information))
        return 0;
    return (int)information.ssi_signo;
}

#endif
