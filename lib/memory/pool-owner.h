/*
 * Whom a pool asks for what only its own thread can do.
 */
#ifndef FASTSOCKET_POOL_OWNER_H
#define FASTSOCKET_POOL_OWNER_H

/* Who has a pool do its work in one thread; called in any. */
struct FastPoolOwner
{
    /* Memory came back after an allocation had failed. */
    void (*home)(struct FastPoolOwner* owner);

    /* The pool is closed, dropped and empty; the owner calls FastPoolFree, now or later. */
    void (*gone)(struct FastPoolOwner* owner);

    /* FastPoolDecay is to be called in the owner's thread, soon. */
    void (*surplus)(struct FastPoolOwner* owner);
};

#endif
