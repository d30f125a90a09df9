/*
 * Lines of what is known of an object, for people and for awk: its kind, its address, and then
 * pairs of a key and a value, none of which has a blank in it.
 *
 * A line is put together in memory of the caller's and written by one call: so nothing is
 * allocated, and a stream whose functions are the program's own is not inside of anything.
 */
#ifndef FASTSOCKET_BASE_DUMP_H
#define FASTSOCKET_BASE_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum
{
    FAST_DUMP_LINE = 4096, /* bytes of a line; pairs that don't fit are left out */
};

struct FastDump
{
    FILE* stream;
    int error; /* 0, or the first negative errno of the stream */
    size_t length;
    char line[FAST_DUMP_LINE];
};

/* One bit of a set, and its word. */
struct FastDumpWord
{
    uint64_t bit;
    const char* word;
};

/* Begins; nothing is written yet. */
void FastDumpOpen(struct FastDump* dump, FILE* stream);

/* Has the stream write what it keeps. 0, or the first negative errno that there was. */
int FastDumpClose(struct FastDump* dump);

/* Begins a line about an object. */
void FastDumpBegin(struct FastDump* dump, const char* kind, const void* object);

/* Writes the line. */
void FastDumpEnd(struct FastDump* dump);

/* A pair. Of a text NULL and "" are a dash; blanks and what can't be printed become \xHH. */
void FastDumpText(struct FastDump* dump, const char* key, const char* text);
void FastDumpYes(struct FastDump* dump, const char* key, bool yes);

/* A pair with a number. */
void FastDumpNumber(struct FastDump* dump, const char* key, uint64_t number);
void FastDumpSigned(struct FastDump* dump, const char* key, int64_t number);

/* A pair with an address; a dash for NULL. */
void FastDumpObject(struct FastDump* dump, const char* key, const void* object);

/* The words of the bits that are set, with commas between them; otherwise: when none is. */
void FastDumpWords(struct FastDump* dump, const char* key, uint64_t bits,
                   const struct FastDumpWord* words, size_t count, const char* otherwise);

#endif
