/*
 * Buffer rings, read as the kernel reads them: the owner of the memory moves the tail, we the head.
 *
 * A program has few groups, and asks mostly for the same one: they lie in an array.
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
        .id = id,
    };
    return 0;
}

void FastSoftRemoveGroup(struct FastSoft* soft, uint16_t id)
{
    struct FastSoftGroup* group = FastSoftFindGroup(soft, id);
    if (group != NULL)
        *group = soft->groups.array[--soft->groups.count];
}

void FastSoftFreeGroups(struct FastSoft* soft)
{
    free(soft->groups.array);
    soft->groups.array = NULL;
    soft->groups.count = 0;
}
