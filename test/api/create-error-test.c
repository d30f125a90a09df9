/* GetFastRingCreateError: a sentence for each way in which a ring is not to be had. */
#include "services.h"

#include <sys/resource.h>

enum
{
    TOO_LONG = 32769,
};

static char* wanted; /* FASTSOCKET_ENGINE, as the test was started */

static void keepEngine(void)
{
    const char* name = getenv("FASTSOCKET_ENGINE");
    wanted = name != NULL ? strdup(name) : NULL;
}

static void setEngine(const char* name)
{
    if (name != NULL)
        setenv("FASTSOCKET_ENGINE", name, 1);
    else
        unsetenv("FASTSOCKET_ENGINE");
}

static void restoreEngine(void)
{
    setEngine(wanted);
    free(wanted);
}

AREA(createError, "create-error", .open = keepEngine, .close = restoreEngine);

static void expectWord(const char* word)
{
    const char* text = GetFastRingCreateError();
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(strstr(text, word) != NULL, "no «%s» in: %s", word, text);
}

static void makeRing(void)
{
    struct FastRing* ring = CreateFastRing(0);
    ck_assert_ptr_nonnull(ring);
    ck_assert_ptr_null(GetFastRingCreateError());
    ReleaseFastRing(ring);
}

static void* askElsewhere(void* closure)
{
    (void)closure;
    ck_assert_ptr_null(GetFastRingCreateError());
    refuses(EINVAL, CreateFastRing(UINT32_MAX));
    expectWord("4294967295");
    return NULL;
}

/* §3.2 create error: none before a failure, and behind a success; each thread's own */
CASE(createError, isTheLastOnes)
{
    ck_assert_ptr_null(GetFastRingCreateError());
    makeRing();
    refuses(EINVAL, CreateFastRing(TOO_LONG));
    expectWord("32769");
    expectWord("32768");
    (void)inThread(askElsewhere, NULL);
    expectWord("32769");
    makeRing();
    ck_assert_ptr_null(GetFastRingCreateError());
}

/* §3.2 create error of the engine: a word that names none */
CASE(createError, namesTheWrongEngine)
{
    setEngine("libaio");
    refuses(EINVAL, CreateFastRing(0));
    expectWord("FASTSOCKET_ENGINE");
    expectWord("libaio");
    expectWord("fastsocket-probe");
    setEngine(wanted);
    makeRing();
}

/* §3.2 create error of descriptors: with the limit that binds */
CASE(createError, namesTheLimitOfDescriptors)
{
    struct rlimit limit;
    char number[32];

    makeRing(); /* what is found out once is found out now */
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(STDERR_FILENO);
    ck_assert_int_ge(next, 0);
    close(next);
    struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    refuses(EMFILE, CreateFastRing(0));
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    expectWord("RLIMIT_NOFILE");
    snprintf(number, sizeof(number), "which is %d,", next);
    expectWord(number);
    expectWord("ulimit -n");
    makeRing();
}
