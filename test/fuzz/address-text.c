/*
 * Addresses as texts: ParseFastAddress and FormatFastAddress.
 *
 * Held: one of the documented results; nothing is written but on success; what is printed of an
 * address is read as the same one, in the room that is documented, and is refused with less.
 */
#include "address-text.h"

#include "schedule.h"

#include <Ring/FastSocket.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

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
        "127.0.0.1", "[::1]", "unix:", "/tmp/", "0", ".", ":", "[::ffff:", "]", "%lo", "255",
        "65535", "0x7f", "[fe80::", "*", "@", "udp:", "mptcp:", "vsock:", "4294967295", "http"};
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

/* What no address begins with, nor has for a length. */
static void blank(struct sockaddr_storage* storage, socklen_t* length)
{
    memset(storage, 0xa5, sizeof(*storage));
    *length = UINT32_MAX;
}

static bool isBlank(const struct sockaddr_storage* storage, socklen_t length)
{
    struct sockaddr_storage other;
    socklen_t otherLength = 0;

    blank(&other, &otherLength);
    return length == otherLength && memcmp(storage, &other, sizeof(other)) == 0;
}

static void checkRefused(const char* text, int result, const struct sockaddr_storage* storage,
                         socklen_t length)
{
    if (result != -EINVAL && result != -ENAMETOOLONG && result != -ENODEV)
        wrong("%s gives %d", text, result);
    if (!isBlank(storage, length))
        wrong("%s is refused, and an address is written", text);
}

/* Printed in too little room it is refused, whatever that is. */
static void checkRoom(const struct sockaddr* address, socklen_t length, const char* printed,
                      struct Chance* chance)
{
    char little[FASTSOCKET_ADDRESS_SIZE];
    size_t size = draw(chance, (uint32_t)strlen(printed) + 1);

    memset(little, 0x5a, sizeof(little));
    if (FormatFastAddress(address, length, little, size) != -ENOSPC)
        wrong("%s finds room in %zu bytes", printed, size);
    for (size_t index = 0; index < sizeof(little); index++) {
        if (little[index] != 0x5a)
            wrong("%s is written in part", printed);
    }
}

static void checkPrinted(const struct sockaddr_storage* storage, socklen_t length,
                         struct Chance* chance)
{
    const struct sockaddr* address = (const struct sockaddr*)storage;
    struct sockaddr_storage again;
    socklen_t lengthAgain = 0;
    char printed[FASTSOCKET_ADDRESS_SIZE];
    int result = 0;

    if (length > sizeof(*storage) || length < sizeof(sa_family_t))
        wrong("an address has %u bytes", length);
    result = FormatFastAddress(address, length, printed, sizeof(printed));
    if (result != 0)
        wrong("an address has no text: %d", result);
    blank(&again, &lengthAgain);
    result = ParseFastAddress(printed, &again, &lengthAgain);
    if (result != 0)
        wrong("%s is not read again: %d", printed, result);
    if (lengthAgain != length || memcmp(&again, storage, length) != 0)
        wrong("%s is read as another address", printed);
    checkRoom(address, length, printed, chance);
}

static void checkText(const struct Text* text, struct Chance* chance)
{
    struct sockaddr_storage storage;
    socklen_t length = 0;
    int result = 0;

    blank(&storage, &length);
    result = ParseFastAddress(text->bytes, &storage, &length);
    tell("%s gives %d", text->bytes, result);
    if (result == 0)
        checkPrinted(&storage, length, chance);
    else
        checkRefused(text->bytes, result, &storage, length);
}

void readTexts(struct Chance* chance)
{
    static struct Text text;

    run->calm = true; /* what the C library asks for is no business of the simulation's */
    for (uint32_t step = 1; step <= TEXTS && !scheduleIsOver(); step++) {
        beginStep(step);
        drawText(&text, chance);
        checkText(&text, chance);
    }
}
