/*
 * What a raw operation remembers, for the files of its service alone.
 */
#ifndef FASTSOCKET_OPERATION_STATE_H
#define FASTSOCKET_OPERATION_STATE_H

#include "ring/armed.h"
#include "service/operation-claim.h"

#include <stdalign.h>

enum
{
    DESCRIPTOR_DATA = 256,
};

/* IDLE → SUBMITTED → IDLE; SUBMITTED → CANCELED or ABANDONED → IDLE; IDLE → TAKEN → IDLE. */
enum DescriptorState
{
    DESCRIPTOR_IDLE,
    DESCRIPTOR_SUBMITTED, /* in flight, or about to be */
    DESCRIPTOR_CANCELED,  /* in flight, and not wanted any more */
    DESCRIPTOR_ABANDONED, /* canceled before it was in flight: still to be reported */
    DESCRIPTOR_TAKEN,     /* by a socket */
};

struct FastRingDescriptor
{
    alignas(16) uint8_t data[DESCRIPTOR_DATA];
    struct io_uring_sqe submission; /* the user's */
    struct io_uring_sqe prepared;   /* as of the submit */
    struct FastRing* ring;
    HandleFastRingCompletionFunction function;
    void* closure;
    struct FastRingMember member;
    struct FastArmed armed;
    struct
    {
        struct FastTask prepare;
        struct FastTask abandon;
    } tasks;
    unsigned references;
    enum DescriptorState state;
    struct FastRingGroup* lender; /* in flight: whose buffers it may have, or NULL */
    uint8_t misses;               /* of the cancellation that was asked for last */
    bool withdrawn;               /* canceled before it has entered the kernel */
    bool released;                /* the user has let go */
    bool leaked;                  /* the kernel may still write into the data */
    struct
    {
        struct FastOperationClaim claim;
        struct FastRingGroup* lender; /* of a next submit's it may be another */
        bool bytes;                   /* the user has heard of some, and may take them later */
        bool ending;                  /* FASTRING_REASON_RELEASED is to follow */
        bool last;                    /* a reference goes with it */
    } report; /* what follows a call of the function */
};

#endif
