/*
 * What users may look at of a raw operation, defunct ones included, in the ring's thread.
 */
#include "service/operation-state.h"

#include <errno.h>

/* What is defunct may be looked at, too. */
static bool mayLook(const struct FastRingDescriptor* descriptor)
{
    if (descriptor != NULL && FastRingCheckOf(descriptor->ring, descriptor) != -EPERM)
        return true;
    errno = descriptor == NULL ? EINVAL : EPERM;
    return false;
}

struct io_uring_sqe* GetFastRingDescriptorSubmission(struct FastRingDescriptor* descriptor)
{
    return mayLook(descriptor) ? &descriptor->submission : NULL;
}

void* GetFastRingDescriptorClosure(struct FastRingDescriptor* descriptor)
{
    return mayLook(descriptor) ? descriptor->closure : NULL;
}

struct FastRing* GetFastRingDescriptorRing(struct FastRingDescriptor* descriptor)
{
    return mayLook(descriptor) ? descriptor->ring : NULL;
}

void* GetFastRingDescriptorData(struct FastRingDescriptor* descriptor, size_t* size)
{
    if (!mayLook(descriptor))
        return NULL;
    if (size != NULL)
        *size = sizeof(descriptor->data);
    return descriptor->data;
}
