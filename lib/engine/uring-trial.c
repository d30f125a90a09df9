/*
 * One operation at a time on a small ring, to see what the kernel makes of it.
 */
#include "engine/uring-trial.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum
{
    TRIAL_TURNS = 64, /* enters before a trial gives up */
};

void FastTrialCloseEnd(struct FastTrial* trial, int end)
{
    if (trial->pair[end] >= 0)
        close(trial->pair[end]);
    trial->pair[end] = -1;
}

void FastTrialCloseEnds(struct FastTrial* trial)
{
    FastTrialCloseEnd(trial, 0);
    FastTrialCloseEnd(trial, 1);
}

static bool keepPair(struct FastTrial* trial, int result)
{
    if (result == 0)
        return true;
    trial->error = errno;
    trial->pair[0] = -1;
    trial->pair[1] = -1;
    return false;
}

bool FastTrialNext(struct FastTrial* trial, struct io_uring_cqe* completion)
{
    for (int turn = 0; turn < TRIAL_TURNS; turn++) {
        const struct io_uring_cqe* entry = FastEnginePeek(trial->engine);
        if (entry != NULL) {
            *completion = *entry;
            FastEngineAdvance(trial->engine);
            trial->inFlight = completion->flags & IORING_CQE_F_MORE;
            return true;
        }
        if (trial->engine->functions->enter(trial->engine, 0, NULL) == -EEXIST)
            return false;
    }
    return false;
}

bool FastTrialFindsNothing(struct FastTrial* trial)
{
    (void)trial->engine->functions->enter(trial->engine, 0, NULL);
    return FastEnginePeek(trial->engine) == NULL;
}

void FastTrialEnd(struct FastTrial* trial)
{
    struct io_uring_cqe completion;
    if (!trial->inFlight)
        return;
    shutdown(trial->pair[0], SHUT_RDWR);
    FastTrialCloseEnd(trial, 1);
    while (trial->inFlight && FastTrialNext(trial, &completion))
        continue;
}

struct io_uring_sqe* FastTrialStart(struct FastTrial* trial)
{
    trial->inFlight = true;
    return FastEngineReserve(trial->engine);
}

bool FastTrialOpenPair(struct FastTrial* trial)
{
    FastTrialCloseEnds(trial);
    return keepPair(trial, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, trial->pair));
}

bool FastTrialOpenPipe(struct FastTrial* trial)
{
    FastTrialCloseEnds(trial);
    return keepPair(trial, pipe2(trial->pair, O_CLOEXEC));
}
