/*
 * What else lives on a ring: timeouts, flush handlers, events, watches, listeners, raw operations.
 *
 * Each part opens with the world, has a step, says what is missing when nothing goes wrong any
 * more, lets go of what it has, and closes behind the ring's end.
 */
#ifndef TEST_SIMULATION_PARTS_H
#define TEST_SIMULATION_PARTS_H

#include "chance.h"

struct Part
{
    void (*open)(void);
    void (*step)(struct Chance* chance);
    /* Once a turn, while all that is to come is waited for; what still is, or NULL. */
    const char* (*missing)(void);
    /* Before the ring's end: all of it, or a part of it, may be left. */
    void (*release)(struct Chance* chance);
    /* Behind it. */
    void (*close)(void);
};

extern const struct Part timePart;
extern const struct Part watchPart;
extern const struct Part listenerPart;
extern const struct Part rawPart;
extern const struct Part connectionPart;

#endif
