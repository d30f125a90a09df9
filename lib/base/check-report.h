/*
 * What check mode knows of an object, and how a misuse is told.
 */
#ifndef FASTSOCKET_CHECK_REPORT_H
#define FASTSOCKET_CHECK_REPORT_H

#include "base/place.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* All but those that are left, which FastCheckReportLeft tells. */
enum FastMisuse
{
    FAST_MISUSE_DOUBLE,   /* released twice */
    FAST_MISUSE_USE,      /* used after its release */
    FAST_MISUSE_THREAD,   /* released in a thread that must not */
    FAST_MISUSE_CLOSED,   /* its descriptor was closed by somebody else */
    FAST_MISUSE_REPLACED, /* likewise, and its number is another file's now */
    FAST_MISUSE_WRITTEN,  /* its memory was written to after its release */
};

struct FastCheckRecord
{
    struct FastCheckRecord* next; /* of its row in the table */
    uintptr_t object;             /* inverted */
    uintptr_t owner;              /* inverted, too: ~0 is nobody */
    const char* kind;
    struct FastPlace made;
    struct FastPlace release;
    bool released;
    bool kept;  /* by somebody other than its user */
    int handle; /* that it has; -1: none that is known */
    dev_t device;
    ino_t node;
    void* memory; /* buried; NULL: not yet */
    size_t size;
    uint64_t sum;
    bool sealed;
    struct FastCheckRecord* later; /* grave */
};

/* One line on the standard error, and the end of the program. place: the call that does it, or
 * NULL. */
_Noreturn void FastCheckReport(enum FastMisuse misuse, const struct FastCheckRecord* record,
                               const struct FastPlace* place);

/* Likewise, of a number of objects, of which this is one. */
_Noreturn void FastCheckReportLeft(const struct FastCheckRecord* record, size_t count);

#endif
