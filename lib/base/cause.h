/*
 * Why the last creation of a ring has failed, in words: of each thread its own.
 */
#ifndef FASTSOCKET_BASE_CAUSE_H
#define FASTSOCKET_BASE_CAUSE_H

/* Says it, in the place of what was said before, and leaves errno alone. */
__attribute__((format(printf, 1, 2))) void FastCauseSay(const char* format, ...);

/* A creation begins: nothing was said. */
void FastCauseForget(void);

/* What was said; NULL: nothing. Until the next of these calls in this thread. */
const char* FastCauseGet(void);

#endif
