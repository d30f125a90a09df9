#include "records.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include <check.h>

#include "scene.h"
#include "wrap.h"

enum
{
    BUCKETS = 4096,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct Record* records[BUCKETS];
static uint64_t turns;

__thread struct Running running;
static __thread uint64_t turn;
static __thread int expected; /* sockets whose POLLHUP must come in this turn */

/* ---- records --------------------------------------------------------------------------------- */

static struct Record** bucketOf(struct FastSocket* socket)
{
    return &records[((uintptr_t)socket >> 6) % BUCKETS];
}

struct Record* findRecord(struct FastSocket* socket)
{
    struct Record* record = NULL;

    pthread_mutex_lock(&lock);
    record = *bucketOf(socket);
    while ((record != NULL) && (record->socket != socket))
        record = record->next;
    pthread_mutex_unlock(&lock);
    return record;
}

void addRecord(struct Record* record)
{
    pthread_mutex_lock(&lock);
    record->next = *bucketOf(record->socket);
    *bucketOf(record->socket) = record;
    pthread_mutex_unlock(&lock);
}

void dropRecord(struct FastSocket* socket)
{
    struct Record** link = NULL;

    sceneForget(socket);
    pthread_mutex_lock(&lock);
    link = bucketOf(socket);
    while ((*link != NULL) && ((*link)->socket != socket))
        link = &(*link)->next;
    if (*link != NULL) {
        struct Record* record = *link;
        *link = record->next;
        if (record->automaton.expected != 0)
            expected--;
        free(record);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- rules ----------------------------------------------------------------------------------- */

void breakRule(struct FastSocket* socket, int event, int parameter, const char* rule)
{
    ck_abort_msg("socket %p, event 0x%x, parameter %d, turn %llu: %s", (void*)socket, event,
                 parameter, (unsigned long long)turn, rule);
}

/* ---- what runs ------------------------------------------------------------------------------- */

uint64_t currentTurn(void)
{
    return turn;
}

struct Running enter(enum AutomatonContext context, struct FastRing* ring)
{
    struct Running saved = running;

    running.context = context;
    running.ring = ring;
    return saved;
}

void beginTurn(void)
{
    turn = __atomic_add_fetch(&turns, 1, __ATOMIC_RELAXED);
    expected = 0;
}

void endTurn(void)
{
    if (expected != 0)
        breakRule(NULL, POLLHUP, 0, "POLLHUP follows a fatal POLLERR in the same turn");
}

void expectHangups(int change)
{
    expected += change;
}

void endRecords(struct FastRing* ring, bool delivered)
{
    pthread_mutex_lock(&lock);
    for (int index = 0; index < BUCKETS; index++) {
        for (struct Record* record = records[index]; record != NULL; record = record->next) {
            const char* rule = NULL;
            if (record->ring != ring)
                continue;
            if (delivered && (record->function != NULL) && !record->moved)
                rule = automatonRingEnd(&record->automaton);
            record->ring = NULL; /* another ring may get the same address */
            if (rule != NULL) {
                pthread_mutex_unlock(&lock);
                breakRule(record->socket, POLLHUP, 0, rule);
            }
        }
    }
    pthread_mutex_unlock(&lock);
}

