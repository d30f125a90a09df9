/* The store of the redis-like server: a table of keys, whose values are kept as they are sent. */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct Entry
{
    struct Entry* next;
    size_t keySize;
    size_t replySize; /* «$length\r\nvalue\r\n» */
    char* reply;
    char key[];
};

/* Returns the entry of a key, or NULL. */
const struct Entry* findEntry(const char* key, size_t size);

/* Sets a key's value. Returns false without memory; the old value stays then. */
bool setEntry(const char* key, size_t keySize, const char* value, size_t size);

/* Removes a key. Returns whether it was there. */
bool removeEntry(const char* key, size_t size);

#endif
