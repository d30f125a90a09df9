/* Control data: made of what is drawn, and read as the kernel reads it. */
#ifndef TEST_FUZZ_CONTROL_DATA_H
#define TEST_FUZZ_CONTROL_DATA_H

#include "chance.h"

enum
{
    CONTROL_MOST = 640, /* bytes */
};

struct Control
{
    size_t size;
    uint8_t bytes[CONTROL_MOST];
};

/* Entries of all sorts, right ones, such as are cut, and such as can't be, up to most bytes. */
void drawControl(struct Control* control, size_t most, struct Chance* chance);

/* An entry, whose data may lie anywhere. */
struct ControlEntry
{
    int level;
    int type;
    size_t size; /* of the data */
    uint8_t* data;
};

/* Where a reader is: what is left. */
struct ControlRest
{
    uint8_t* data;
    size_t size;
    bool broken; /* what follows is no entry, and so is nothing behind it */
};

/* As the kernel goes through what it is given (net/core/scm.c), and as it fills what it gives:
 * behind an entry the next one is aligned, and the last need not be. false: there is none. */
bool takeControlEntry(struct ControlRest* rest, struct ControlEntry* entry);

/* Descriptors that an entry has, none unless it is of one of these types of SOL_SOCKET; 0: no
 * other. */
size_t controlHandles(const struct ControlEntry* entry, int type, int other);
int controlHandle(const struct ControlEntry* entry, size_t index);
void setControlHandle(const struct ControlEntry* entry, size_t index, int handle);

#endif
