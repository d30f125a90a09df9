/*
 * A sentence for each thread: the memory is the thread's own, so that nothing is allocated where
 * the lack of memory may be what is to be told.
 */
#include "base/cause.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

enum
{
    CAUSE_SIZE = 512,
};

static _Thread_local char sentence[CAUSE_SIZE];

void FastCauseSay(const char* format, ...)
{
    va_list arguments;
    int error = errno;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    errno = error;
}

void FastCauseForget(void)
{
    sentence[0] = '\0';
}

const char* FastCauseGet(void)
{
    return sentence[0] != '\0' ? sentence : NULL;
}
