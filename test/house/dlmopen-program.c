/*
 * Loads the library into a namespace of its own (dlmopen), forks outside of it, where no handler of
 * the namespace's C library runs, and looks whether the child is a stranger to its parent's ring.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void* (*create)(uint32_t length);
static int (*waitFor)(void* ring, uint32_t interval, void* mask);
static void (*release)(void* ring);

static void require(int condition, const char* text)
{
    if (condition)
        return;
    fprintf(stderr, "not so: %s\n", text);
    exit(1);
}
#define REQUIRE(condition) require(condition, #condition)

static void inChild(void* parents)
{
    alarm(120);
    REQUIRE(waitFor(parents, 0, NULL) == -EPERM);
    release(parents);
    void* own = create(0);
    REQUIRE(own != NULL && waitFor(own, 0, NULL) == 0);
    REQUIRE(waitFor(parents, 0, NULL) == -EPERM);
    release(own);
}

int main(int count, char** words)
{
    (void)count;
    void* library = dlmopen(LM_ID_NEWLM, words[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 77;
    }
    *(void**)&create = dlsym(library, "CreateFastRing");
    *(void**)&waitFor = dlsym(library, "WaitForFastRing");
    *(void**)&release = dlsym(library, "ReleaseFastRing");
    void* ring = create(0);
    REQUIRE(ring != NULL && waitFor(ring, 0, NULL) == 0);

    for (int silent = 0; silent < 2; silent++) {
        int status = -1;
        pid_t child = silent ? _Fork() : fork();
        if (child == 0) {
            inChild(ring);
            _exit(0);
        }
        REQUIRE(waitpid(child, &status, 0) == child && status == 0);
        REQUIRE(waitFor(ring, 0, NULL) == 0);
    }
    release(ring);
    return 0;
}
