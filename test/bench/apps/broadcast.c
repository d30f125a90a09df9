/* A room: what one says, a line, everyone hears. Lines of different speakers don't mix. */
#include <string.h>

#include "service.h"

static void tellEveryone(const uint8_t* line, size_t size)
{
    struct Session* session;

    LIST_FOREACH(session, &sessions, link)
        if (!session->ended)
            say(session, line, size);
}

static size_t take(struct Session* session, const uint8_t* data, size_t size)
{
    size_t used = 0;
    const uint8_t* end;

    (void)session;
    while ((end = memchr(data + used, '\n', size - used)) != NULL) {
        tellEveryone(data + used, (size_t)(end + 1 - data) - used);
        used = (size_t)(end + 1 - data);
    }
    return used;
}

const struct Service broadcastService = {.name = "broadcast", .take = take};
