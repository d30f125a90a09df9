/*
 * SIGPIPE, or SIGXFSZ, kept from the calling thread while the kernel may raise it there.
 */
#ifndef FASTSOCKET_PIPE_SIGNAL_H
#define FASTSOCKET_PIPE_SIGNAL_H

#include <signal.h>
#include <stdbool.h>

struct FastPipeSignal
{
    sigset_t before; /* the thread's mask */
    int number;
    bool pending;    /* one was waiting already, and is not ours */
};

/* From here to the restore, by the same thread, a write to a broken pipe gives EPIPE and kills
 * nobody. guard is the caller's memory. */
void FastPipeSignalBlock(struct FastPipeSignal* guard);

/* The same of a write beyond the size that files may have, which gives EFBIG. */
void FastSizeSignalBlock(struct FastPipeSignal* guard);

/* Takes off what was raised since, and gives the thread its mask back. Returns whether there was
 * any. */
bool FastPipeSignalRestore(const struct FastPipeSignal* guard);

#endif
