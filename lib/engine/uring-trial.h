/*
 * One operation at a time on a small ring, to see what the kernel makes of it: what it is tried on,
 * its submission, its completions and its end.
 */
#ifndef FASTSOCKET_ENGINE_URING_TRIAL_H
#define FASTSOCKET_ENGINE_URING_TRIAL_H

#include "engine/engine.h"

enum
{
    TRIAL_GROUP = 1,
    TRIAL_BUFFERS = 8,
    TRIAL_LENGTH = 16, /* bytes in a buffer */
};

struct FastTrial
{
    struct FastEngine* engine;
    struct io_uring_buf_ring* buffers;
    uint8_t memory[TRIAL_BUFFERS][TRIAL_LENGTH];
    int pair[2];
    int error;         /* why something could not be tried: says nothing of the kernel */
    uint16_t next;     /* id of the buffer that the kernel takes next, if it keeps the order */
    uint16_t priority; /* flags of the receives that work, for the trials of what goes with them */
    bool inFlight;     /* the operation's last completion is still to come */
};

/* What it is tried on, in place of what was there. false: there is none, the error says why. */
bool FastTrialOpenPair(struct FastTrial* trial);
bool FastTrialOpenPipe(struct FastTrial* trial);

/* One of them, or both; harmless where that is closed. */
void FastTrialCloseEnd(struct FastTrial* trial, int end);
void FastTrialCloseEnds(struct FastTrial* trial);

/* A submission to be filled. */
struct io_uring_sqe* FastTrialStart(struct FastTrial* trial);

/* Submits what is reserved, and sees that nothing comes of it. */
bool FastTrialFindsNothing(struct FastTrial* trial);

/* One completion of the operation; false when none comes although asked for long enough. */
bool FastTrialNext(struct FastTrial* trial, struct io_uring_cqe* completion);

/* Reads completions until the operation is final: its sockets are shut down, or its pipe has no
 * writer any more, so it ends by itself. */
void FastTrialEnd(struct FastTrial* trial);

#endif
