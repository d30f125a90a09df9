/*
 * What check mode knows: a record for each object that users have made, and the quarantine of those
 * that are gone.
 *
 * Good path: an object is made, and has a record; its user releases it, which is noted with the
 * place of the call; it is gone some time later, and its memory is buried, so that its address
 * can't become another object's. The oldest grave is opened when there are too many, or too large
 * ones: it is freed, and its record with it.
 *
 * Failures: all of them end the program. Without memory for a record an object is not checked.
 *
 * Addresses of living objects are kept inverted, so that a leak checker finds no reference here.
 */
#include "base/check.h"
#include "base/check-report.h"
#include "base/poison.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum
{
    CHECK_ROWS = 4096,       /* of the table */
    CHECK_GRAVES = 4096,     /* objects in the quarantine, at most */
    CHECK_MEMORY = 16 << 20, /* bytes of them together, but for the last */
    CHECK_PATTERN = 0xdb,    /* what released memory is filled with */
};

bool FastCheckIsOn;

static struct
{
    pthread_mutex_t lock;
    struct FastCheckRecord* rows[CHECK_ROWS];
    struct FastCheckRecord* first; /* grave, the oldest */
    struct FastCheckRecord* last;
    size_t graves;
    size_t memory;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the switch ---- */

static void lockTable(void)
{
    (void)pthread_mutex_lock(&table.lock);
}

static void unlockTable(void)
{
    (void)pthread_mutex_unlock(&table.lock);
}

static void askEnvironment(void)
{
    const char* value = secure_getenv("FASTSOCKET_CHECK");
    if (value == NULL || value[0] == '\0' || strcmp(value, "0") == 0)
        return;
    FastPlacePrepare();
    (void)pthread_atfork(lockTable, unlockTable, unlockTable);
    FastCheckIsOn = true;
}

void FastCheckBegin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, askEnvironment);
}

/* ---- records ---- */

static struct FastCheckRecord** rowOf(const void* object)
{
    uint64_t number = (uint64_t)(uintptr_t)object >> 4;
    return &table.rows[(number * UINT64_C(0x9e3779b97f4a7c15)) >> 52];
}

_Static_assert(CHECK_ROWS == 1 << (64 - 52), "rowOf has so many bits");

static struct FastCheckRecord* find(const void* object)
{
    struct FastCheckRecord* record = *rowOf(object);
    while (record != NULL && record->object != ~(uintptr_t)object)
        record = record->next;
    return record;
}

static struct FastCheckRecord* findOrMake(const void* object, const char* kind)
{
    struct FastCheckRecord* record = find(object);
    if (record != NULL)
        return record;
    record = calloc(1, sizeof(*record));
    if (record == NULL)
        return NULL;
    struct FastCheckRecord** row = rowOf(object);
    record->object = ~(uintptr_t)object;
    record->kind = kind;
    record->handle = -1;
    record->next = *row;
    *row = record;
    return record;
}

static void forget(struct FastCheckRecord* record)
{
    struct FastCheckRecord** link = rowOf((const void*)~record->object);
    while (*link != record)
        link = &(*link)->next;
    *link = record->next;
    free(record);
}

void FastCheckMade(const void* object, const char* kind, const void* owner)
{
    struct FastPlace place = FastPlaceFind();
    lockTable();
    struct FastCheckRecord* record = findOrMake(object, kind);
    if (record != NULL) {
        struct FastCheckRecord* next = record->next;
        *record = (struct FastCheckRecord){
            .next = next,
            .object = ~(uintptr_t)object,
            .kind = kind,
            .owner = ~(uintptr_t)owner,
            .made = place,
            .handle = -1,
        };
    }
    unlockTable();
}

/* ---- releases and uses ---- */

void FastCheckReleased(const void* object, const char* kind)
{
    struct FastPlace place = FastPlaceFind();
    lockTable();
    struct FastCheckRecord* record = findOrMake(object, kind);
    if (record != NULL && record->released)
        FastCheckReport(FAST_MISUSE_DOUBLE, record, &place);
    if (record != NULL) {
        record->released = true;
        record->release = place;
    }
    unlockTable();
}

/* gone: that it is released is not enough. */
static void lookAtUse(const void* object, bool gone, enum FastMisuse misuse)
{
    lockTable();
    const struct FastCheckRecord* record = find(object);
    if (record != NULL && (gone ? record->memory != NULL : record->released)) {
        struct FastPlace place = FastPlaceFind();
        FastCheckReport(misuse, record, &place);
    }
    unlockTable();
}

void FastCheckUsed(const void* object)
{
    lookAtUse(object, false, FAST_MISUSE_USE);
}

void FastCheckAlive(const void* object)
{
    lookAtUse(object, true, FAST_MISUSE_USE);
}

void FastCheckReleasable(const void* object)
{
    lookAtUse(object, true, FAST_MISUSE_DOUBLE);
}

void FastCheckForeign(const void* object)
{
    struct FastPlace place = FastPlaceFind();
    lockTable();
    const struct FastCheckRecord* record = find(object);
    if (record != NULL)
        FastCheckReport(record->released ? FAST_MISUSE_DOUBLE : FAST_MISUSE_THREAD, record, &place);
    unlockTable();
}

/* ---- descriptors ---- */

void FastCheckTakeHandle(const void* object, int handle)
{
    struct stat file;
    lockTable();
    struct FastCheckRecord* record = find(object);
    if (record != NULL && handle >= 0 && fstat(handle, &file) == 0) {
        record->handle = handle;
        record->device = file.st_dev;
        record->node = file.st_ino;
    }
    unlockTable();
}

void FastCheckHandle(const void* object, int handle)
{
    struct stat file;
    lockTable();
    struct FastCheckRecord* record = find(object);
    if (record != NULL && record->handle >= 0 && record->handle == handle) {
        bool open = fstat(handle, &file) == 0;
        if (!open || file.st_dev != record->device || file.st_ino != record->node) {
            struct FastPlace place = FastPlaceFind();
            FastCheckReport(open ? FAST_MISUSE_REPLACED : FAST_MISUSE_CLOSED, record, &place);
        }
    }
    unlockTable();
}

/* ---- what is left ---- */

void FastCheckKept(const void* object)
{
    lockTable();
    struct FastCheckRecord* record = find(object);
    if (record != NULL)
        record->kept = true;
    unlockTable();
}

static bool belongsTo(const struct FastCheckRecord* record, const void* owner)
{
    if (record->owner == ~(uintptr_t)owner)
        return true;
    if (record->owner == ~(uintptr_t)0)
        return false;
    const struct FastCheckRecord* above = find((const void*)~record->owner);
    return above != NULL && above->owner == ~(uintptr_t)owner;
}

void FastCheckLeft(const char* kind, const void* owner)
{
    struct FastCheckRecord* found = NULL;
    size_t count = 0;
    lockTable();
    for (size_t row = 0; row < CHECK_ROWS; row++)
        for (struct FastCheckRecord* record = table.rows[row]; record != NULL;
             record = record->next)
            if (!record->released && !record->kept && record->memory == NULL &&
                strcmp(record->kind, kind) == 0 && belongsTo(record, owner)) {
                found = record;
                count++;
            }
    if (found != NULL)
        FastCheckReportLeft(found, count);
    unlockTable();
}

/* ---- the quarantine ---- */

static uint64_t sumOf(const void* memory, size_t size)
{
    const unsigned char* bytes = memory;
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t index = 0; index < size; index++)
        sum = (sum ^ bytes[index]) * UINT64_C(0x100000001b3);
    return sum;
}

/* Leaves it readable. */
static void lookAtGrave(const struct FastCheckRecord* grave)
{
    if (!grave->sealed)
        return;
    FastUnpoison(grave->memory, grave->size);
    FastCheckerDefine(grave->memory, grave->size);
    if (sumOf(grave->memory, grave->size) != grave->sum)
        FastCheckReport(FAST_MISUSE_WRITTEN, grave, NULL);
}

/* That of the oldest. */
static void openGrave(void)
{
    struct FastCheckRecord* grave = table.first;
    lookAtGrave(grave);
    FastUnpoison(grave->memory, grave->size);
    table.first = grave->later;
    if (table.first == NULL)
        table.last = NULL;
    table.graves--;
    table.memory -= grave->size;
    free(grave->memory);
    forget(grave);
}

void FastCheckBury(void* memory, size_t size, size_t head)
{
    struct FastPlace place = FastPlaceFind();
    lockTable();
    struct FastCheckRecord* record = findOrMake(memory, "object");
    if (record == NULL) {
        unlockTable();
        free(memory);
        return;
    }
    if (!record->released) /* by the library, of its own accord: a timeout that has fired, say */
        record->release = place;
    record->released = true;
    record->memory = memory;
    record->size = size;
    memset(memory, 0, head);
    memset((char*)memory + head, CHECK_PATTERN, size - head);
    if (table.last != NULL)
        table.last->later = record;
    else
        table.first = record;
    table.last = record;
    table.graves++;
    table.memory += size;
    while (table.first != record && (table.graves > CHECK_GRAVES || table.memory > CHECK_MEMORY))
        openGrave();
    unlockTable();
}

void FastCheckSeal(void* memory)
{
    lockTable();
    struct FastCheckRecord* record = find(memory);
    if (record != NULL && record->memory == memory) {
        record->sum = sumOf(memory, record->size);
        record->sealed = true;
        FastPoison(memory, record->size);
    }
    unlockTable();
}

void FastCheckGraves(void)
{
    lockTable();
    for (const struct FastCheckRecord* grave = table.first; grave != NULL; grave = grave->later)
        if (grave->sealed) {
            lookAtGrave(grave);
            FastPoison(grave->memory, grave->size);
        }
    unlockTable();
}
