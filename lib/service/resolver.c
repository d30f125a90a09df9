/*
 * Names of hosts and services, looked up by getaddrinfo on threads of the library's.
 *
 * Good path: a query waits in a line that all rings have in common. A thread takes it, asks, and
 * hands the answer to the query's ring as a call of another thread; the ring calls the function.
 * There are so many threads at most, made when somebody waits and none is there to come, and a
 * thread ends when nobody waits: a program that looks up no more names has none.
 *
 * Failures: a server that doesn't answer keeps a thread for as long as the C library lets it, and
 * nothing else. Whoever waits no more (forgotten, or the ring ends) leaves the query to the thread,
 * which then frees the answer and knows the ring no more; nobody waits for it, nor does the end of
 * the process. A forked child has none of the threads, and a lock that one of them may have held:
 * it begins with a line of its own.
 *
 * A query is a member of its ring until it is over, so that the ring's end reaches it in each
 * state. Its state is read and changed under the lock, and the answer handed over under it: so a
 * ring that has closed its members is never called.
 */
#include "service/resolver.h"

#include "base/detached.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum
{
    RESOLVER_THREADS = 4,
    RESOLVER_STACK = 256 << 10, /* the C library's modules for names have buffers on it */
};

enum queryState
{
    QUERY_WAITS,
    QUERY_ASKS,      /* a thread has it */
    QUERY_ABANDONED, /* the same, and it is the thread's alone */
    QUERY_ANSWERED,  /* the ring is about to call */
};

struct FastQuery
{
    struct FastRing* ring;
    struct FastRingMember member;
    struct FastRingCall call;
    struct FastQuery* next; /* in the line */
    FastResolverFunction function;
    void* closure;
    struct FastQuery** place; /* NULL: forgotten */
    enum queryState state;
    struct FastAnswerOfNames answer;
    struct addrinfo* list; /* what it tells of, to be freed */
    struct FastAddress address;
};

struct resolver
{
    pthread_mutex_t lock;
    uint64_t forks; /* FastForkCount() when it was made */
    struct FastQuery* first;
    struct FastQuery* last;
    unsigned threads;
};

/* Of this process, and before that of those that it was forked from. */
static struct resolver* _Atomic current;

/* ---- the line ---- */

/* What a parent had is left as it is: nobody can tell who holds its lock. */
static struct resolver* getResolver(void)
{
    struct resolver* found = atomic_load(&current);
    while (found == NULL || found->forks != FastForkCount()) {
        struct resolver* made = calloc(1, sizeof(*made));
        if (made == NULL)
            return NULL;
        pthread_mutex_init(&made->lock, NULL);
        made->forks = FastForkCount();
        if (atomic_compare_exchange_strong(&current, &found, made))
            return made;
        pthread_mutex_destroy(&made->lock); /* another thread was faster */
        free(made);
    }
    return found;
}

static void append(struct resolver* resolver, struct FastQuery* query)
{
    query->next = NULL;
    if (resolver->first == NULL)
        resolver->first = query;
    else
        resolver->last->next = query;
    resolver->last = query;
}

static struct FastQuery* takeFirst(struct resolver* resolver)
{
    struct FastQuery* query = resolver->first;
    if (query != NULL)
        resolver->first = query->next;
    return query;
}

static void takeOut(struct resolver* resolver, struct FastQuery* query)
{
    struct FastQuery* before = NULL;
    struct FastQuery** link = &resolver->first;
    while (*link != query) {
        before = *link;
        link = &before->next;
    }
    *link = query->next;
    if (resolver->last == query)
        resolver->last = before;
}

static void freeQuery(struct FastQuery* query)
{
    if (query->list != NULL)
        freeaddrinfo(query->list);
    free(query);
}

/* ---- the threads ---- */

/* An empty host is any, to listen at. */
static void ask(struct FastQuery* query)
{
    const struct addrinfo hints = FastAddressHints(&query->address);
    const char* host = query->address.host[0] != '\0' ? query->address.host : NULL;
    query->answer.result = getaddrinfo(host, query->address.service, &hints, &query->list);
    query->answer.error = query->answer.result == EAI_SYSTEM ? errno : 0;
    if (query->answer.result != 0)
        query->list = NULL;
    query->answer.list = query->list;
}

/* The query is the ring's again, or at its end. */
static void handOver(struct FastQuery* query)
{
    if (query->state == QUERY_ABANDONED) {
        freeQuery(query);
        return;
    }
    query->state = QUERY_ANSWERED;
    (void)FastRingSubmitCall(query->ring, &query->call);
}

static void* serve(void* argument)
{
    struct resolver* resolver = argument;
    struct FastQuery* query;
    pthread_mutex_lock(&resolver->lock);
    while ((query = takeFirst(resolver)) != NULL) {
        query->state = QUERY_ASKS;
        pthread_mutex_unlock(&resolver->lock);
        ask(query);
        pthread_mutex_lock(&resolver->lock);
        handOver(query);
    }
    resolver->threads--;
    pthread_mutex_unlock(&resolver->lock);
    return NULL;
}

static int startThread(struct resolver* resolver)
{
    return FastDetachedStart(serve, resolver, RESOLVER_STACK + (size_t)PTHREAD_STACK_MIN);
}

/* Those that are there serve the query, too, if there can't be another. */
static int submit(struct resolver* resolver, struct FastQuery* query)
{
    int result = 0;
    pthread_mutex_lock(&resolver->lock);
    append(resolver, query);
    if (resolver->threads < RESOLVER_THREADS) {
        result = startThread(resolver);
        resolver->threads += result == 0;
        if (resolver->threads > 0)
            result = 0;
    }
    if (result < 0)
        takeOut(resolver, query);
    pthread_mutex_unlock(&resolver->lock);
    return result;
}

/* ---- the ring's side ---- */

static void forgetPlace(struct FastQuery* query)
{
    if (query->place != NULL)
        *query->place = NULL;
    query->place = NULL;
}

/* Ends what the ring knows of it, and all of it, if no thread has it. called: the ring calls it no
 * more, whatever it has been told. false: it still will. */
static bool leave(struct FastQuery* query, bool called)
{
    struct resolver* resolver = getResolver();
    struct FastRing* ring = query->ring;
    bool mine;
    forgetPlace(query);
    pthread_mutex_lock(&resolver->lock);
    bool stays = query->state == QUERY_ANSWERED && !called;
    mine = query->state != QUERY_ASKS;
    if (query->state == QUERY_WAITS)
        takeOut(resolver, query);
    if (!stays)
        FastRingUnlink(ring, &query->member);
    if (!mine)
        query->state = QUERY_ABANDONED;
    pthread_mutex_unlock(&resolver->lock);
    if (stays)
        return false;
    FastRingDrop(ring);
    if (mine)
        freeQuery(query);
    return true;
}

static void onAnswer(struct FastRingCall* call)
{
    struct FastQuery* query = FAST_CONTAINER(call, struct FastQuery, call);
    bool isAwaited = query->place != NULL;
    forgetPlace(query);
    if (isAwaited)
        query->function(query->closure, &query->answer);
    (void)leave(query, true);
}

static void endMember(struct FastRingMember* member)
{
    (void)leave(FAST_CONTAINER(member, struct FastQuery, member), false);
}

static void closeMember(struct FastRingMember* member, bool orderly)
{
    (void)orderly; /* no operation has to do with it */
    (void)leave(FAST_CONTAINER(member, struct FastQuery, member), true);
}

static const struct FastRingMemberFunctions memberFunctions = {
    .end = endMember,
    .close = closeMember,
};

int FastResolverAsk(struct FastRing* ring, const struct FastAddress* address,
                    FastResolverFunction function, void* closure, struct FastQuery** place)
{
    struct resolver* resolver = getResolver();
    struct FastQuery* query = calloc(1, sizeof(*query));
    if (resolver == NULL || query == NULL) {
        free(query);
        return -ENOMEM;
    }
    query->ring = ring;
    query->call.function = onAnswer;
    query->function = function;
    query->closure = closure;
    query->place = place;
    query->address = *address;
    FastRingLink(ring, &query->member, &memberFunctions);
    *place = query;
    int result = submit(resolver, query);
    if (result == 0)
        return 0;
    *place = NULL;
    FastRingUnlink(ring, &query->member);
    FastRingDrop(ring);
    free(query);
    return result;
}

void FastResolverForget(struct FastQuery** place)
{
    if (*place != NULL)
        (void)leave(*place, false);
}

/* ---- what a failure stands for ---- */

int FastResolverErrno(int result, int error)
{
    switch (result) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
    case EAI_SERVICE:
        return ENOENT;
    case EAI_AGAIN:
        return EAGAIN;
    case EAI_MEMORY:
        return ENOMEM;
    case EAI_SYSTEM:
        return error > 0 ? error : EIO;
    case EAI_FAMILY:
    case EAI_SOCKTYPE:
    case EAI_BADFLAGS:
        return EAFNOSUPPORT;
    default:
        return EHOSTUNREACH; /* EAI_FAIL: a server has refused for good */
    }
}
