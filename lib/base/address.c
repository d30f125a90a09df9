/*
 * Addresses as text.
 *
 * Good path: a word in front says which kind it is ("udp:", "unix:" …); without one it is TCP's.
 * What is numeric becomes an address at once; a name of a host or a service stays text, for
 * whoever may wait for an answer. The way back gives the shortest text that means the same.
 *
 * Failures: everything is refused that could be meant otherwise. Numbers are digits alone, IPv6
 * stands in brackets, and nothing has a blank in it, so that "80 " or "+80" is no port. What has no
 * text that would be read as itself (a name of AF_UNIX with a zero inside) has none at all.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <linux/vm_sockets.h> /* needs what stands above */

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

enum
{
    ADDRESS_TEXT = 160, /* more than any of them has */
    ADDRESS_PORTS = 65535,
    ADDRESS_PATH = sizeof(((struct sockaddr_un*)NULL)->sun_path),
};

static const char* const words[] = {
    [FAST_ADDRESS_TCP] = "",
    [FAST_ADDRESS_UDP] = "udp:",
    [FAST_ADDRESS_MPTCP] = "mptcp:",
    [FAST_ADDRESS_UNIX] = "unix:",
    [FAST_ADDRESS_VSOCK] = "vsock:",
};

/* ---- numbers and names ---- */

static bool isDigit(char character)
{
    return character >= '0' && character <= '9';
}

static bool isNumber(const char* text)
{
    size_t length = 0;
    while (isDigit(text[length]))
        length++;
    return length > 0 && text[length] == '\0';
}

/* Digits alone. false: it is none, or too large. */
static bool readNumber(const char* text, uint32_t most, uint32_t* number)
{
    uint64_t value = 0;
    if (!isNumber(text))
        return false;
    for (; *text != '\0' && value <= most; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    *number = (uint32_t)value;
    return value <= most;
}

/* Letters, digits and what stands in between; bytes beyond ASCII are letters of somebody's. */
static bool isNameCharacter(char character)
{
    unsigned char byte = (unsigned char)character;
    return byte > ' ' && byte != 0x7f && strchr("[]:/@*", character) == NULL;
}

static bool isName(const char* text)
{
    size_t length = 0;
    while (text[length] != '\0' && isNameCharacter(text[length]))
        length++;
    return length > 0 && text[length] == '\0';
}

static bool isService(const char* text)
{
    unsigned char first = (unsigned char)*text;
    return isName(text) && (isDigit(*text) || (first | 0x20) >= 'a');
}

/* Copies so many characters. */
static int keep(char* place, size_t room, const char* text, size_t length)
{
    if (length >= room)
        return -ENAMETOOLONG;
    memcpy(place, text, length);
    place[length] = '\0';
    return 0;
}

/* ---- the internet's ---- */

/* An interface by its name, or by its number where none has that name. */
static int readScope(const char* text, uint32_t* scope)
{
    *scope = if_nametoindex(text);
    if (*scope != 0)
        return 0;
    if (*text == '\0' || (isNumber(text) && !readNumber(text, UINT32_MAX, scope)))
        return -EINVAL;
    return *scope != 0 ? 0 : -ENODEV;
}

static int readSix(char* host, struct sockaddr_in6* name)
{
    int result = 0;
    uint32_t scope = 0;
    char* percent = strchr(host, '%');
    if (percent != NULL) {
        *percent = '\0';
        result = readScope(percent + 1, &scope);
    }
    *name = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_scope_id = scope};
    if (inet_pton(AF_INET6, host, &name->sin6_addr) != 1)
        result = -EINVAL;
    if (percent != NULL)
        *percent = '%';
    return result;
}

/* Where it is numeric, the length of the name; 0: it is a host's. */
static int readHost(struct FastAddress* address, bool brackets)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    int result = brackets ? readSix(address->host, &six) : 0;
    if (result < 0)
        return result;
    if (!brackets && strcmp(address->host, "*") == 0)
        address->host[0] = '\0';
    address->any = address->host[0] == '\0';
    if (brackets || address->any) {
        memcpy(&address->name, &six, sizeof(six));
        return sizeof(six);
    }
    if (inet_pton(AF_INET, address->host, &four.sin_addr) != 1)
        return isName(address->host) ? 0 : -EINVAL;
    memcpy(&address->name, &four, sizeof(four));
    return sizeof(four);
}

static void setPort(struct FastAddress* address, uint32_t port)
{
    in_port_t value = htons((uint16_t)port);
    if (address->name.ss_family == AF_INET6)
        ((struct sockaddr_in6*)&address->name)->sin6_port = value;
    else
        ((struct sockaddr_in*)&address->name)->sin_port = value;
}

/* Where the host ends, and ":" with the service begins; NULL: it doesn't. */
static const char* endOfHost(const char* text, bool brackets)
{
    const char* end = strchr(text, brackets ? ']' : ':');
    if (end == NULL || (brackets && end[1] != ':'))
        return NULL;
    return end;
}

static int parseInternet(const char* text, struct FastAddress* address)
{
    uint32_t port = 0;
    bool brackets = *text == '[';
    text += brackets;
    const char* end = endOfHost(text, brackets);
    if (end == NULL || (brackets && end == text))
        return -EINVAL;
    const char* service = end + 1 + brackets;
    int result = keep(address->host, sizeof(address->host), text, (size_t)(end - text));
    if (result == 0)
        result = keep(address->service, sizeof(address->service), service, strlen(service));
    if (result < 0)
        return result;
    bool numeric = readNumber(service, ADDRESS_PORTS, &port);
    if (!numeric && (isNumber(service) || !isService(service)))
        return -EINVAL;
    int length = readHost(address, brackets);
    if (length < 0)
        return length;
    address->numericHost = length > 0;
    if (!numeric || length == 0)
        return 0;
    setPort(address, port);
    address->length = (socklen_t)length;
    return 0;
}

/* ---- the others ---- */

/* "@name" is abstract: a zero in front, and no zero behind. A path may fill all there is. */
static int parseUnix(const char* text, struct FastAddress* address)
{
    struct sockaddr_un* name = (struct sockaddr_un*)&address->name;
    size_t length = strlen(text);
    if (length > ADDRESS_PATH)
        return -ENAMETOOLONG;
    if (strcmp(text, "@") == 0)
        return -EINVAL;
    name->sun_family = AF_UNIX;
    memcpy(name->sun_path, text, length);
    address->any = length == 0;
    if (*text == '@')
        name->sun_path[0] = '\0';
    else if (length > 0 && length < ADDRESS_PATH)
        length++;
    address->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return 0;
}

static bool readVsockNumber(const char* text, uint32_t* number)
{
    if (strcmp(text, "*") != 0)
        return readNumber(text, UINT32_MAX, number);
    *number = VMADDR_CID_ANY; /* the same number as that of any port */
    return true;
}

static int parseVsock(const char* text, struct FastAddress* address)
{
    struct sockaddr_vm name = {.svm_family = AF_VSOCK};
    const char* colon = strchr(text, ':');
    if (colon == NULL)
        return -EINVAL;
    int result = keep(address->host, sizeof(address->host), text, (size_t)(colon - text));
    if (result < 0)
        return result;
    if (!readVsockNumber(address->host, &name.svm_cid) ||
        !readVsockNumber(colon + 1, &name.svm_port))
        return -EINVAL;
    address->any = name.svm_cid == VMADDR_CID_ANY;
    address->length = sizeof(name);
    memcpy(&address->name, &name, sizeof(name));
    return 0;
}

int FastAddressParse(const char* text, struct FastAddress* address)
{
    enum FastAddressScheme scheme = FAST_ADDRESS_VSOCK;
    *address = (struct FastAddress){.length = 0};
    /* TCP, whose word is none, is the last. */
    while (strncmp(text, words[scheme], strlen(words[scheme])) != 0)
        scheme--;
    address->scheme = scheme;
    text += strlen(words[scheme]);
    switch (scheme) {
    case FAST_ADDRESS_UNIX:
        return parseUnix(text, address);
    case FAST_ADDRESS_VSOCK:
        return parseVsock(text, address);
    default:
        return parseInternet(text, address);
    }
}

const char* FastAddressWord(enum FastAddressScheme scheme)
{
    return words[scheme];
}

/* ---- the way back ---- */

static int formatFour(const struct sockaddr_in* name, char* text)
{
    char host[INET_ADDRSTRLEN];
    (void)inet_ntop(AF_INET, &name->sin_addr, host, sizeof(host));
    return snprintf(text, ADDRESS_TEXT, "%s:%u", host, ntohs(name->sin_port));
}

/* The name of an interface is what it has now; without one, or with one that reads as another's,
 * its number. */
static void formatScope(uint32_t scope, char* text)
{
    char name[IF_NAMESIZE];
    if (scope == 0)
        *text = '\0';
    else if (if_indextoname(scope, name) != NULL && strpbrk(name, "%]") == NULL)
        snprintf(text, IF_NAMESIZE + 1, "%%%s", name);
    else
        snprintf(text, IF_NAMESIZE + 1, "%%%u", scope);
}

static int formatSix(const struct sockaddr_in6* name, char* text)
{
    char host[INET6_ADDRSTRLEN];
    char scope[IF_NAMESIZE + 1];
    (void)inet_ntop(AF_INET6, &name->sin6_addr, host, sizeof(host));
    formatScope(name->sin6_scope_id, scope);
    return snprintf(text, ADDRESS_TEXT, "[%s%s]:%u", host, scope, ntohs(name->sin6_port));
}

static int formatAbstract(const char* path, size_t length, char* text)
{
    if (length < 2 || memchr(path + 1, '\0', length - 1) != NULL)
        return -EINVAL;
    return snprintf(text, ADDRESS_TEXT, "unix:@%.*s", (int)length - 1, path + 1);
}

/* A path of the full length has no zero behind it, but the kernel counts one. One that begins with
 * "@" is written so that it is no abstract name. */
static int formatUnix(const struct sockaddr_un* name, socklen_t length, char* text)
{
    size_t room = length - offsetof(struct sockaddr_un, sun_path);
    if (room > ADDRESS_PATH)
        room = ADDRESS_PATH;
    if (room > 0 && name->sun_path[0] == '\0')
        return formatAbstract(name->sun_path, room, text);
    return snprintf(text, ADDRESS_TEXT, "unix:%s%.*s",
                    room > 0 && name->sun_path[0] == '@' ? "./" : "",
                    (int)strnlen(name->sun_path, room), name->sun_path);
}

static void formatVsockNumber(uint32_t number, char* text, size_t size)
{
    snprintf(text, size, number == VMADDR_CID_ANY ? "*" : "%u", number);
}

static int formatVsock(const struct sockaddr_vm* name, char* text)
{
    char cid[16];
    char port[16];
    formatVsockNumber(name->svm_cid, cid, sizeof(cid));
    formatVsockNumber(name->svm_port, port, sizeof(port));
    return snprintf(text, ADDRESS_TEXT, "vsock:%s:%s", cid, port);
}

/* What a family's has at least; 0: it is none of ours. */
static socklen_t leastLength(sa_family_t family)
{
    switch (family) {
    case AF_INET:
        return sizeof(struct sockaddr_in);
    case AF_INET6:
        return sizeof(struct sockaddr_in6);
    case AF_UNIX:
        return offsetof(struct sockaddr_un, sun_path);
    case AF_VSOCK:
        return sizeof(struct sockaddr_vm);
    default:
        return 0;
    }
}

/* Copied, since the caller's may lie anywhere. The length is not less than the family's. */
static int format(const struct sockaddr* name, socklen_t length, char* text)
{
    struct sockaddr_storage copy = {0};
    memcpy(&copy, name, length);
    switch (copy.ss_family) {
    case AF_INET:
        return formatFour((const struct sockaddr_in*)&copy, text);
    case AF_INET6:
        return formatSix((const struct sockaddr_in6*)&copy, text);
    case AF_UNIX:
        return formatUnix((const struct sockaddr_un*)&copy, length, text);
    default:
        return formatVsock((const struct sockaddr_vm*)&copy, text);
    }
}

int FastAddressFormat(const char* scheme, const struct sockaddr* name, socklen_t length, char* text,
                      size_t size)
{
    char own[ADDRESS_TEXT];
    sa_family_t family;
    if (length < sizeof(family) || length > sizeof(struct sockaddr_storage))
        return -EINVAL;
    memcpy(&family, name, sizeof(family));
    socklen_t least = leastLength(family);
    if (least == 0 || length < least)
        return least == 0 ? -EAFNOSUPPORT : -EINVAL;
    int count = format(name, length, own);
    if (count < 0)
        return count;
    if ((size_t)count + strlen(scheme) >= size)
        return -ENOSPC;
    (void)snprintf(text, size, "%s%s", scheme, own);
    return 0;
}

/* ---- for who uses them ---- */

static int typeOf(enum FastAddressScheme scheme)
{
    return scheme == FAST_ADDRESS_UDP ? SOCK_DGRAM : SOCK_STREAM;
}

struct addrinfo FastAddressHints(const struct FastAddress* address)
{
    return (struct addrinfo){
        .ai_family = AF_UNSPEC,
        .ai_socktype = typeOf(address->scheme),
        .ai_flags = address->numericHost ? AI_NUMERICHOST : 0,
    };
}

int FastAddressOpen(enum FastAddressScheme scheme, int family, int flags)
{
    int protocol = scheme == FAST_ADDRESS_MPTCP ? IPPROTO_MPTCP : 0;
    int handle = socket(family, typeOf(scheme) | SOCK_CLOEXEC | flags, protocol);
    return handle < 0 ? -errno : handle;
}
