/*
 * Addresses as text, as users have them.
 */
#include "base/address.h"
#include "socket/core.h"
#include "socket/system.h"

#include <errno.h>
#include <netinet/in.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

int ParseFastAddress(const char* text, struct sockaddr_storage* address, socklen_t* length)
{
    struct FastAddress found;
    if (text == NULL || address == NULL || length == NULL)
        return -EINVAL;
    int result = FastAddressParse(text, &found);
    if (result == 0 && found.length == 0)
        result = -EINVAL; /* a name */
    if (result < 0)
        return result;
    *address = found.name;
    *length = found.length;
    return 0;
}

int FormatFastAddress(const struct sockaddr* address, socklen_t length, char* text, size_t size)
{
    if (address == NULL || text == NULL)
        return -EINVAL;
    return FastAddressFormat("", address, length, text, size);
}

/* What the address itself doesn't tell of its socket. */
static const char* wordOf(int handle, sa_family_t family)
{
    int protocol = 0;
    if (family != AF_INET && family != AF_INET6)
        return "";
    if (FastSystemGetNumber(handle, SOL_SOCKET, SO_PROTOCOL, &protocol) < 0)
        return "";
    if (protocol == IPPROTO_UDP)
        return FastAddressWord(FAST_ADDRESS_UDP);
    return protocol == IPPROTO_MPTCP ? FastAddressWord(FAST_ADDRESS_MPTCP) : "";
}

int GetFastSocketAddress(struct FastSocket* socket, int peer, char* text, size_t size)
{
    struct sockaddr_storage name = {0};
    socklen_t length = sizeof(name);
    int result = text != NULL ? FastSocketCheck(socket) : -EINVAL;
    if (result < 0)
        return result;
    if (socket->handle < 0)
        return -ENOTCONN;
    result = FastSystemGetName(socket->handle, peer != 0, &name, &length);
    if (result < 0)
        return result;
    if (length > sizeof(name))
        length = sizeof(name);
    return FastAddressFormat(wordOf(socket->handle, name.ss_family), (const struct sockaddr*)&name,
                             length, text, size);
}
