/*
 * Texts of addresses, as ParseFastAddress reads and FormatFastAddress writes them, by the functions
 * below these. Names are not looked up.
 */
#include "address-text.h"

#include "base/address.h"
#include "schedule.h"

#include <Ring/FastSocket.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

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

/* What is written of an address is read as the same one. */
static void checkAddress(const struct FastAddress* address)
{
    static struct FastAddress again;
    char text[FASTSOCKET_ADDRESS_SIZE];

    int result = address->length <= sizeof(address->name)
                     ? FastAddressFormat(FastAddressWord(address->scheme),
                                         (const struct sockaddr*)&address->name, address->length,
                                         text, sizeof(text))
                     : -EMSGSIZE;
    if (result != 0)
        wrong("an address of family %d with %u bytes has no text: %d", address->name.ss_family,
              address->length, result);
    if (FastAddressParse(text, &again) != 0)
        wrong("%s is not read again", text);
    if (again.length != address->length || memcmp(&again.name, &address->name, again.length) != 0)
        wrong("%s is read as another address", text);
}

/* A host with colons stands in brackets, and a path alone. */
static void checkText(const struct Text* address, const struct Text* port)
{
    static struct FastAddress read;
    char text[2 * TEXT_MOST + 4];
    bool path = strncmp(address->bytes, "unix:", 5) == 0;

    if (path)
        snprintf(text, sizeof(text), "%s", address->bytes);
    else if (strchr(address->bytes, ':') == NULL)
        snprintf(text, sizeof(text), "%s:%s", address->bytes, port->bytes);
    else
        snprintf(text, sizeof(text), "[%s]:%s", address->bytes, port->bytes);
    int result = FastAddressParse(text, &read);
    tell("%s gives %d", text, result);
    if (result == 0 && read.length > 0)
        checkAddress(&read);
    else if (result != 0 && result != -EINVAL && result != -ENAMETOOLONG && result != -ENODEV)
        wrong("%s gives %d", text, result);
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
