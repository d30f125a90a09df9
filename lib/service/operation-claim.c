/*
 * Memory that raw operations were filled into.
 *
 * Good path: a completion names a buffer of a provider; it is claimed for the user, who advances it
 * later. Of a bundle it names the first, and the length tells how many follow.
 *
 * Failures: the completion can't be true: the ring trusts the kernel less from then on, and the
 * user hears of an error without a buffer. The user does not hear of it at all: the buffers go
 * back.
 */
#include "service/operation-claim.h"
#include "base/checker.h"
#include "engine/uring-compat.h"

#include <errno.h>
#include <sys/socket.h>

struct FastRingGroup* FastOperationBorrow(struct FastRing* ring, const struct io_uring_sqe* entry)
{
    bool selects = entry->flags & IOSQE_BUFFER_SELECT;
    struct FastRingGroup* lender = selects ? FastRingFindGroup(ring, entry->buf_group) : NULL;
    if (lender == NULL)
        return NULL;
    lender->fill(lender); /* it may have been made after the submit */
    lender->borrow(lender);
    return lender;
}

void FastOperationGiveBack(struct FastRingGroup* lender)
{
    if (lender != NULL)
        lender->giveBack(lender);
}

/* With MSG_TRUNC a message's length is reported, whatever of it is there. */
static bool reportsTrueLength(const struct io_uring_sqe* entry)
{
    return (entry->opcode == IORING_OP_RECV || entry->opcode == IORING_OP_RECVMSG) &&
           entry->msg_flags & MSG_TRUNC;
}

/* What the completion says, whether it can be true or not. */
static struct FastOperationClaim readClaim(const struct io_uring_sqe* entry,
                                           const struct io_uring_cqe* completion)
{
    bool hasLength = completion->res > 0 && !reportsTrueLength(entry);

    return (struct FastOperationClaim){
        .length = hasLength ? (size_t)completion->res : 0,
        .group = entry->buf_group,
        .id = (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT),
        .bundle = entry->opcode == IORING_OP_RECV && entry->ioprio & FAST_URING_RECVSEND_BUNDLE,
    };
}

struct FastOperationClaim FastOperationClaimBuffers(struct FastRing* ring,
                                                    const struct io_uring_sqe* entry,
                                                    struct io_uring_cqe* completion)
{
    struct FastOperationClaim claim = readClaim(entry, completion);

    if (!(completion->flags & IORING_CQE_F_BUFFER) || !(entry->flags & IOSQE_BUFFER_SELECT))
        return claim;
    struct FastRingGroup* group = FastRingFindNamedGroup(ring, claim.group, claim.id);
    if (group == NULL)
        return claim; /* the user's own, or a released provider's whose number has come again */
    completion->user_data = group->claim(group, claim.id, claim.length, claim.bundle);
    claim.made = completion->user_data != 0;
    if (!claim.made) {
        FastRingDistrust(ring);
        completion->res = -EIO;
        completion->flags &= IORING_CQE_F_MORE;
    }
    return claim;
}

/* Looked up again, since the user may have released the provider in between. */
void FastOperationUnclaimBuffers(struct FastRing* ring, const struct FastOperationClaim* claim)
{
    struct FastRingGroup* group = claim->made ? FastRingFindGroup(ring, claim->group) : NULL;

    if (group != NULL)
        group->unclaim(group, claim->id, claim->length, claim->bundle);
}

void FastOperationNoteWritten(const struct io_uring_sqe* entry,
                              const struct io_uring_cqe* completion)
{
    bool reads = entry->opcode == IORING_OP_READ || entry->opcode == IORING_OP_RECV;

    if (!reads || completion->res <= 0 || entry->flags & IOSQE_BUFFER_SELECT)
        return;
    size_t length = (size_t)completion->res; /* with MSG_TRUNC that of the message */
    if (length > entry->len)
        length = entry->len;
    FastCheckerDefine((const void*)(uintptr_t)entry->addr, length);
}
