/*
 * Texts of addresses, as doc/examples/plain-socket.h reads and prints them. Names are not looked
 * up: whatever is no number is refused.
 */
#include "address-text.h"

#include "schedule.h"

#include <netdb.h>
#include <stdio.h>

/* The program's own memory is not what lacks, and it says nothing. */
static int findNumbers(const char* address, const char* port, const struct addrinfo* hints,
                       struct addrinfo** list)
{
    struct addrinfo numeric = *hints;

    numeric.ai_flags |= AI_NUMERICHOST | AI_NUMERICSERV;
    return getaddrinfo(address, port, &numeric, list);
}

#define getaddrinfo  findNumbers
#define fprintf(...) (void)0
#include "../../doc/examples/plain-socket.h"
#undef getaddrinfo
#undef fprintf

enum
{
    TEXT_MOST = 160,
    TEXTS = 8,
};

struct Text
{
    char bytes[TEXT_MOST + 1];
};

/* Of a few parts, or any bytes. */
static void drawText(struct Text* text, struct Chance* chance)
{
    static const char* const parts[] = {
        "127.0.0.1", "::1", "unix:", "/tmp/", "0", ".", ":", "::ffff:", "%", "255", "0x7f",
        "fe80::"};
    const uint32_t count = sizeof(parts) / sizeof(parts[0]);
    size_t length = 0;
    uint32_t most = draw(chance, 40);

    for (uint32_t left = most; left > 0; left--) {
        uint32_t which = draw(chance, 2 * count);
        char own[2] = {which < count ? 0 : (char)draw(chance, UINT8_MAX + 1), 0};
        const char* part = which < count ? parts[which] : own;
        size_t size = strlen(part);
        if (length + size > TEXT_MOST)
            break;
        memcpy(text->bytes + length, part, size);
        length += size;
    }
    /* A path may be as long as a text. */
    uint32_t more = draw(chance, 4) == 0 ? draw(chance, TEXT_MOST + 1) : 0;
    for (; more > 0 && length < TEXT_MOST; more--)
        text->bytes[length++] = 'x';
    text->bytes[length] = '\0';
}

static void checkPath(const char* path, const struct sockaddr_storage* storage, socklen_t length)
{
    struct sockaddr_un local;

    memcpy(&local, storage, sizeof(local));
    if (length != sizeof(local) || local.sun_family != AF_UNIX ||
        strnlen(local.sun_path, sizeof(local.sun_path)) == sizeof(local.sun_path) ||
        strcmp(local.sun_path, path) != 0)
        wrong("the path %s has become %s", path, local.sun_path);
}

/* What is printed of an address is read as the same one. */
static void checkNumbers(const struct sockaddr_storage* storage, socklen_t length)
{
    struct sockaddr_storage again;
    socklen_t lengthAgain = 0;
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];

    if (length > sizeof(*storage) ||
        (storage->ss_family != AF_INET && storage->ss_family != AF_INET6))
        wrong("an address of family %d with %u bytes", storage->ss_family, length);
    if (getnameinfo((const struct sockaddr*)storage, length, host, sizeof(host), port,
                    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        wrong("an address has no text");
    if (findAddress(host, port, SOCK_STREAM, &again, &lengthAgain) != 0)
        wrong("%s port %s is not read again", host, port);
    if (lengthAgain != length || memcmp(&again, storage, length) != 0)
        wrong("%s port %s is read as another address", host, port);
}

static void checkText(const struct Text* address, const struct Text* port)
{
    struct sockaddr_storage storage;
    socklen_t length = 0;
    const char* path = getUnixPath(address->bytes);
    int result = findAddress(address->bytes, port->bytes, SOCK_STREAM, &storage, &length);
    bool fits = path != NULL && *path != '\0' &&
                strlen(path) < sizeof(((struct sockaddr_un*)NULL)->sun_path);

    tell("%s port %s gives %d", address->bytes, port->bytes, result);
    if (path != NULL && (result == 0) != fits)
        wrong("the path %s gives %d", path, result);
    if (result == 0 && path != NULL)
        checkPath(path, &storage, length);
    else if (result == 0)
        checkNumbers(&storage, length);
}

void readTexts(struct Chance* chance)
{
    static struct Text address;
    static struct Text port;

    run->calm = true; /* what the C library asks for is no business of the simulation's */
    for (uint32_t step = 1; step <= TEXTS && !scheduleIsOver(); step++) {
        beginStep(step);
        drawText(&address, chance);
        drawText(&port, chance);
        checkText(&address, &port);
    }
}
