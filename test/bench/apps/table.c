/*
 * A table of a fixed number of chains: a bench has as many keys as its load asks for, and the same
 * table is under every contender.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

enum
{
    CHAINS = 1 << 16
};

static struct Entry* chains[CHAINS];

/* Returns where the key's entry hangs, or where it would: the end of its chain. */
static struct Entry** findPlace(const char* key, size_t size)
{
    struct Entry** place;
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (size_t index = 0; index < size; index++)
        hash = (hash ^ (uint8_t)key[index]) * 16777619u;
    for (place = &chains[hash % CHAINS]; *place != NULL; place = &(*place)->next)
        if (((*place)->keySize == size) && (memcmp((*place)->key, key, size) == 0))
            break;
    return place;
}

const struct Entry* findEntry(const char* key, size_t size)
{
    return *findPlace(key, size);
}

static char* makeReply(const char* value, size_t size, size_t* replySize)
{
    char head[32];
    size_t headSize = (size_t)snprintf(head, sizeof(head), "$%zu\r\n", size);
    char* reply = malloc(headSize + size + 2);

    if (reply == NULL)
        return NULL;
    memcpy(reply, head, headSize);
    memcpy(reply + headSize, value, size);
    memcpy(reply + headSize + size, "\r\n", 2);
    *replySize = headSize + size + 2;
    return reply;
}

bool setEntry(const char* key, size_t keySize, const char* value, size_t size)
{
    struct Entry** place = findPlace(key, keySize);
    struct Entry* entry = *place;
    size_t replySize;
    char* reply = makeReply(value, size, &replySize);

    if (reply == NULL)
        return false;
    if (entry == NULL) {
        entry = calloc(1, sizeof(*entry) + keySize);
        if (entry == NULL) {
            free(reply);
            return false;
        }
        entry->keySize = keySize;
        memcpy(entry->key, key, keySize);
        *place = entry;
    }
    free(entry->reply);
    entry->reply = reply;
    entry->replySize = replySize;
    return true;
}

bool removeEntry(const char* key, size_t size)
{
    struct Entry** place = findPlace(key, size);
    struct Entry* entry = *place;

    if (entry == NULL)
        return false;
    *place = entry->next;
    free(entry->reply);
    free(entry);
    return true;
}
