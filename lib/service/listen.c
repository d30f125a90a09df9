/*
 * A listening socket, made of an address.
 *
 * Good path: a socket of the address's family, with SO_REUSEADDR and what the flags say, bound, and
 * listening. Any address is that of IPv6, which serves IPv4, too; a system without IPv6 has that of
 * IPv4. Of the addresses of a name the first that can be had is taken.
 *
 * Failures: negative errno, nothing is left. A path that is taken is tried once more, if it may be
 * replaced and nobody listens at it.
 */
#include "service/listen.h"

#include "service/resolver.h"

#include <Ring/FastSocket.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

static bool isInternet(const struct sockaddr* name)
{
    return name->sa_family == AF_INET || name->sa_family == AF_INET6;
}

static int setOption(int handle, int level, int option, int value)
{
    return setsockopt(handle, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* IPV6_V6ONLY is said in either case: what it is by default the administrator decides. */
static int setOptions(int handle, const struct sockaddr* name, int flags)
{
    if (!isInternet(name))
        return 0;
    int result = setOption(handle, SOL_SOCKET, SO_REUSEADDR, 1);
    if (result == 0 && flags & FASTLISTENER_REUSE_PORT)
        result = setOption(handle, SOL_SOCKET, SO_REUSEPORT, 1);
    if (result == 0 && name->sa_family == AF_INET6)
        result = setOption(handle, IPPROTO_IPV6, IPV6_V6ONLY, (flags & FASTLISTENER_ONLY_V6) != 0);
    return result;
}

/* A path of this family; neither an abstract name nor none. */
static bool isPath(const struct sockaddr* name)
{
    return name->sa_family == AF_UNIX && ((const struct sockaddr_un*)name)->sun_path[0] != '\0';
}

static int bindTo(int handle, const struct sockaddr* name, socklen_t length, int flags,
                  struct FastLocalPath* path)
{
    const struct sockaddr_un* local = (const struct sockaddr_un*)name;
    int result = bind(handle, name, length);
    if (result < 0 && errno == EADDRINUSE && isPath(name) && flags & FASTLISTENER_REPLACE) {
        if (!FastLocalPathReplace(local, length))
            return -EADDRINUSE;
        result = bind(handle, name, length);
    }
    if (result < 0)
        return -errno;
    if (isPath(name))
        FastLocalPathNote(path, local);
    return 0;
}

static int openAt(enum FastAddressScheme scheme, const struct sockaddr* name, socklen_t length,
                  int flags, struct FastLocalPath* path)
{
    int handle = FastAddressOpen(scheme, name->sa_family, 0);
    if (handle < 0)
        return handle;
    int result = setOptions(handle, name, flags);
    if (result == 0)
        result = bindTo(handle, name, length, flags, path);
    if (result == 0 && listen(handle, SOMAXCONN) < 0)
        result = -errno;
    if (result == 0)
        return handle;
    FastLocalPathRemove(path);
    close(handle);
    return result;
}

static int openAny(const struct FastAddress* address, int flags, struct FastLocalPath* path)
{
    struct sockaddr_in four = {
        .sin_family = AF_INET,
        .sin_port = ((const struct sockaddr_in6*)&address->name)->sin6_port,
    };
    int result = openAt(address->scheme, (const struct sockaddr*)&address->name, address->length,
                        flags, path);
    if (result != -EAFNOSUPPORT || flags & FASTLISTENER_ONLY_V6)
        return result;
    return openAt(address->scheme, (const struct sockaddr*)&four, sizeof(four), flags, path);
}

static int openFirst(const struct FastAddress* address, const struct addrinfo* list, int flags,
                     struct FastLocalPath* path)
{
    int result = -EADDRNOTAVAIL;
    for (; list != NULL && result < 0; list = list->ai_next)
        result = openAt(address->scheme, list->ai_addr, list->ai_addrlen, flags, path);
    return result;
}

/* The port of a service, which is all that was asked for. IPv4 and IPv6 have it in one place. */
static int openPort(const struct FastAddress* address, const struct addrinfo* list, int flags,
                    struct FastLocalPath* path)
{
    struct FastAddress any = *address;
    struct sockaddr_in6* name = (struct sockaddr_in6*)&any.name;
    memcpy(&name->sin6_port,
           (const char*)list->ai_addr + offsetof(struct sockaddr_in6, sin6_port),
           sizeof(name->sin6_port));
    any.length = sizeof(*name);
    return openAny(&any, flags, path);
}

static int openName(const struct FastAddress* address, int flags, struct FastLocalPath* path)
{
    struct addrinfo hints = FastAddressHints(address);
    struct addrinfo* list = NULL;
    hints.ai_flags |= AI_PASSIVE;
    int result = getaddrinfo(address->any ? NULL : address->host, address->service, &hints, &list);
    if (result != 0)
        return -FastResolverErrno(result, errno);
    result = address->any ? openPort(address, list, flags, path)
                          : openFirst(address, list, flags, path);
    freeaddrinfo(list);
    return result;
}

int FastListenOpen(const struct FastAddress* address, int flags, struct FastLocalPath* path)
{
    const struct sockaddr* name = (const struct sockaddr*)&address->name;
    if (address->length == 0)
        return openName(address, flags, path);
    if (address->any && name->sa_family == AF_INET6)
        return openAny(address, flags, path);
    if (address->any && name->sa_family == AF_UNIX)
        return -EINVAL;
    return openAt(address->scheme, name, address->length, flags, path);
}
