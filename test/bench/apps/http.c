/*
 * A web server that has one thing in many sizes: «GET /65536» gives a body of that many bytes, a
 * pattern that the client can check. Connections are kept, and requests may come before the replies
 * to those in front of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "service.h"

enum
{
    SIZE_LIMIT = 16 * 1024 * 1024,
    HEAD_LIMIT = 16 * 1024,
    BODIES = 16 /* sizes that are asked for at all; more than any load has */
};

struct Page
{
    struct Body body;
    char head[128]; /* of the reply */
    size_t headSize;
};

static struct Page pages[BODIES];
static size_t pageCount;

static struct Page* makePage(size_t size)
{
    struct Page* page = &pages[pageCount];

    if (pageCount == BODIES)
        return NULL;
    page->body = (struct Body){size, makeBody(size)};
    if (page->body.data == NULL)
        return NULL;
    for (size_t index = 0; index < size; index++)
        page->body.data[index] = (uint8_t)(index * 7 + 3);
    page->headSize = (size_t)snprintf(page->head, sizeof(page->head),
                                      "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
    pageCount++;
    return page;
}

static struct Page* findPage(size_t size)
{
    for (size_t index = 0; index < pageCount; index++)
        if (pages[index].body.size == size)
            return &pages[index];
    return makePage(size);
}

/* Returns the page that a request's first line asks for, or NULL. */
static struct Page* parseTarget(const char* head, size_t size)
{
    size_t length = 0;
    size_t index = 5;

    if ((size < 6) || (memcmp(head, "GET /", 5) != 0) || (head[5] == ' '))
        return NULL;
    for (; (index < size) && (head[index] >= '0') && (head[index] <= '9'); index++) {
        length = length * 10 + (size_t)(head[index] - '0');
        if (length > SIZE_LIMIT)
            return NULL;
    }
    return ((index < size) && (head[index] == ' ')) ? findPage(length) : NULL;
}

/* Does a field of the head ask for the connection's end? A load never does, curl may. */
static bool asksForEnd(const char* head, size_t size)
{
    static const char field[] = "\nConnection: close";

    for (const char* next = head; (next = memchr(next, '\n', (size_t)(head + size - next))) != NULL;
         next++)
        if (((size_t)(head + size - next) >= sizeof(field) - 1) &&
            (strncasecmp(next, field, sizeof(field) - 1) == 0))
            return true;
    return false;
}

static void answer(struct Session* session, const char* head, size_t size)
{
    static const char missing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    const struct Page* page = parseTarget(head, size);

    if (page == NULL)
        say(session, missing, sizeof(missing) - 1);
    else {
        say(session, page->head, page->headSize);
        sayBody(session, &page->body);
    }
    if (asksForEnd(head, size))
        endSession(session);
}

static size_t take(struct Session* session, const uint8_t* data, size_t size)
{
    size_t used = 0;
    const char* end;

    while (!session->ended && (used < size)) {
        const char* head = (const char*)data + used;

        end = memmem(head, size - used, "\r\n\r\n", 4);
        if (end == NULL)
            break;
        answer(session, head, (size_t)(end + 4 - head));
        used += (size_t)(end + 4 - head);
    }
    if (size - used > HEAD_LIMIT)
        endSession(session); /* a head without an end */
    return used;
}

const struct Service httpService = {.name = "http", .take = take};
