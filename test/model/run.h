/* Runs of an episode, on each engine in a process of its own, and what of their traces differs. */
#ifndef TEST_MODEL_RUN_H
#define TEST_MODEL_RUN_H

#include "model.h"

/* The engines that are compared: two, or the one there is. */
struct Engines
{
    const char* names[2];
    int count;
};

extern struct Engines engines;

/* What the runs of this process have told last, one for each engine. */
extern struct Report* reports[2];

/* Maps the reports, which a process shares with its runs alone. False: there is no memory. */
bool openReports(void);

/* Runs an episode on each engine; true if all is as it should be. */
bool runBoth(const struct Plan* plan);

/* The same, and again where time may have played a part. */
bool runInTime(const struct Plan* plan);

/* Tells what was wrong, and how to run it again. */
void printFailure(const struct Plan* plan);

/* Makes an episode that fails short, and tells what is left of it. */
void shrink(struct Plan plan);

#endif
