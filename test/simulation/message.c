/* Messages that tell who they are: each byte follows from the link, the number and the place. */
#include "world.h"

#include "pattern.h"

/* Far from each other, so that none begins like another. */
static uint64_t placeOf(uint32_t number, uint32_t id)
{
    return ((uint64_t)number << 40) + ((uint64_t)id << 14);
}

size_t makeMessage(uint8_t* data, struct Messages* messages, uint32_t number, size_t size)
{
    uint32_t id = messages->sent++;

    messages->sizes[id % MESSAGE_IDS] = (uint16_t)size;
    fillPattern(data, size, placeOf(number, id));
    return size;
}

void dropMessage(struct Messages* messages)
{
    messages->sent--;
}

static bool isMessage(const struct Messages* messages, uint32_t number, uint32_t id,
                      const uint8_t* data, size_t size, size_t room)
{
    size_t length = messages->sizes[id % MESSAGE_IDS];

    return size == (length < room ? length : room) && checkPattern(data, size, placeOf(number, id));
}

void checkMessage(struct Messages* messages, uint32_t number, const uint8_t* data, size_t size,
                  size_t room, bool loses)
{
    uint32_t id = messages->expected;

    if (messages->sent - id > MESSAGE_IDS)
        id = messages->sent - MESSAGE_IDS;
    while (id != messages->sent && !isMessage(messages, number, id, data, size, room)) {
        if (!loses)
            wrong("link %u: message %u of %u bytes is not what came (%zu bytes)", number, id,
                  messages->sizes[id % MESSAGE_IDS], size);
        id++;
    }
    if (id == messages->sent)
        wrong("link %u: a message of %zu bytes came that was never sent, or before", number, size);
    messages->lost += id - messages->expected;
    messages->expected = id + 1;
}
