/*
 * Threads of the library's own, that nobody joins.
 *
 * What is inherited is a thread's for its life: it hears of no signal, which are the program's. The
 * C library may put the thread-local memory of the program, and of all that it has loaded, on the
 * thread's stack: so that is added to what the thread itself needs.
 *
 * Failures: there is no thread left, or no memory for its stack.
 */
#include "base/detached.h"

#include <link.h>
#include <pthread.h>
#include <signal.h>

static int addLocal(struct dl_phdr_info* object, size_t size, void* sum)
{
    (void)size;
    for (size_t index = 0; index < object->dlpi_phnum; index++) {
        const ElfW(Phdr)* part = &object->dlpi_phdr[index];
        if (part->p_type == PT_TLS)
            *(size_t*)sum += part->p_memsz + part->p_align;
    }
    return 0;
}

int FastDetachedStart(void* (*function)(void* argument), void* argument, size_t stack)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    (void)dl_iterate_phdr(addLocal, &stack);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, stack);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&thread, &attributes, function, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -result;
}
