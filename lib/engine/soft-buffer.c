/*
 * Buffer rings, read as the kernel reads them: the owner of the memory moves the tail, we the head.
 *
 * A program has few groups, and asks mostly for the same one: they lie in an array.
 *
 * Each has a line of receives of many that have found no buffer though its owner may be about to
 * put some: they are first come, first served (soft-run.c). As many as there are connections may
 * stand in it, so that those who are canceled are taken out together.
 */
#include "engine/soft-buffer.h"

#include <errno.h>
#include <stdlib.h>

int FastSoftAddGroup(struct FastSoft* soft, uint16_t id, void* memory, uint32_t entries)
{
    if (FastSoftFindGroup(soft, id) != NULL)
        return -EEXIST;
    struct FastSoftGroup* array =
        realloc(soft->groups.array, (soft->groups.count + 1) * sizeof(*array));
    if (array == NULL)
        return -ENOMEM;
    soft->groups.array = array;
    array[soft->groups.count++] = (struct FastSoftGroup){
        .ring = memory,
        .mask = entries - 1,
        .taken = soft->completionHead,
        .id = id,
    };
    return 0;
}

void FastSoftRemoveGroup(struct FastSoft* soft, uint16_t id)
{
    struct FastSoftGroup* group = FastSoftFindGroup(soft, id);
    if (group == NULL)
        return;
    while (group->line.first != NULL)
        FastSoftEnqueue(soft, FastSoftTakeStarving(soft, group));
    *group = soft->groups.array[--soft->groups.count];
}

void FastSoftFreeGroups(struct FastSoft* soft)
{
    free(soft->groups.array);
    soft->groups.array = NULL;
    soft->groups.count = 0;
    soft->groups.starving = 0;
}

/* ---- the line ---- */

void FastSoftStarve(struct FastSoft* soft, struct FastSoftOperation* operation)
{
    struct FastSoftGroup* group = FastSoftFindGroup(soft, operation->group);
    FastSoftAppend(&group->line, operation, FAST_SOFT_STARVING);
    soft->groups.starving++;
}

struct FastSoftOperation* FastSoftTakeStarving(struct FastSoft* soft, struct FastSoftGroup* group)
{
    soft->groups.starving--;
    return FastSoftTakeFirst(soft, &group->line);
}

static void queueCanceledOf(struct FastSoft* soft, struct FastSoftGroup* group)
{
    struct FastSoftQueue all = group->line;
    group->line.first = NULL;
    while (all.first != NULL) {
        struct FastSoftOperation* first = FastSoftTakeFirst(soft, &all);
        if (!(first->state & FAST_SOFT_CANCELED)) {
            FastSoftAppend(&group->line, first, FAST_SOFT_STARVING);
            continue;
        }
        soft->groups.starving--;
        FastSoftEnqueue(soft, first);
    }
}

void FastSoftQueueCanceled(struct FastSoft* soft)
{
    soft->groups.canceled = false;
    for (uint32_t index = 0; index < soft->groups.count; index++)
        queueCanceledOf(soft, &soft->groups.array[index]);
}
