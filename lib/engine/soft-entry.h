/*
 * Which entries are refused as they are, before anything is done.
 */
#ifndef FASTSOCKET_ENGINE_SOFT_ENTRY_H
#define FASTSOCKET_ENGINE_SOFT_ENTRY_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum
{
    FAST_SOFT_CODES = IORING_OP_SENDMSG_ZC + 1, /* higher ones are lacked */
};

/* By opcode: the bits that are to be 0. */
extern const struct io_uring_sqe FastSoftForbidden[FAST_SOFT_CODES]
    __attribute__((visibility("hidden")));

/* Of one with such a bit: the errno that is its result, negative, or 0 where it is fine all the
 * same, perhaps with another length. */
int FastSoftClassify(struct io_uring_sqe* entry);

/* One of the words that an entry consists of. */
static inline uint64_t FastSoftWord(const struct io_uring_sqe* entry, int index)
{
    uint64_t word;
    memcpy(&word, (const char*)entry + (size_t)index * sizeof(word), sizeof(word));
    return word;
}

/* Whether it is to be classified. Each entry is asked, so all its fields are at once; but for that
 * of its owner (the fifth word), and the last ones, which no operation of ours has. */
static inline bool FastSoftIsOdd(const struct io_uring_sqe* entry)
{
    if (entry->opcode >= FAST_SOFT_CODES)
        return false;
    const struct io_uring_sqe* forbidden = &FastSoftForbidden[entry->opcode];
    uint64_t odd = (FastSoftWord(entry, 0) & FastSoftWord(forbidden, 0)) |
                   (FastSoftWord(entry, 1) & FastSoftWord(forbidden, 1)) |
                   (FastSoftWord(entry, 2) & FastSoftWord(forbidden, 2)) |
                   (FastSoftWord(entry, 3) & FastSoftWord(forbidden, 3)) |
                   (FastSoftWord(entry, 5) & FastSoftWord(forbidden, 5));
    return odd != 0;
}

#endif
