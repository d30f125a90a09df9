/*
 * Whom a pool asks for what only its own thread can do.
 */
#ifndef FASTSOCKET_POOL_OWNER_H
#define FASTSOCKET_POOL_OWNER_H

#include <stdbool.h>

struct FastTask;

/* Who has a pool do its work in one thread; called in any. */
struct FastPoolOwner
{
    /* Memory came back after an allocation had failed. */
    void (*home)(struct FastPoolOwner* owner);

    /* The pool is closed, dropped and empty; the owner calls FastPoolFree, now or later. */
    void (*gone)(struct FastPoolOwner* owner);

    /* FastPoolDecay is to be called in the owner's thread, soon. */
    void (*surplus)(struct FastPoolOwner* owner);

    /* Runs a task soon, in this thread, where functions of users may be called. false: this is not
     * the owner's thread, or it runs nothing any more. */
    bool (*later)(struct FastPoolOwner* owner, struct FastTask* task);
};

#endif
