/*
 * Memory in the kernel's hands: buffers that were put into a group's ring, until a completion tells
 * that they are filled; and what is to be sent, until it was.
 *
 * Nobody may touch it meanwhile. Published buffers are filled with a poison, others have a sum;
 * both are compared at each enter, and when they are given back.
 */
#ifndef TEST_SIMULATION_KERNEL_MEMORY_H
#define TEST_SIMULATION_KERNEL_MEMORY_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* ---- buffers of groups ---- */

/* Where a group stands: entries that were taken so far, modulo 65536. */
typedef uint16_t (*GroupHead)(uint16_t group);

void groupsBegin(GroupHead head);
void groupAdd(uint16_t group, void* memory, uint32_t entries);
void groupRemove(uint16_t group);

/* Before the kernel runs: what it has is as it was, and what was put since is its own. */
void groupsEnter(void);
/* The engine ends, and has nothing any more. */
void groupsEnd(void);
/* When it has run: what it has taken is known. */
void groupsLeave(void);

/* At the end of an enter, whose program may touch none of it. */
void groupsForbid(void);

/* A completion gives buffers back, from this one on; several only of a bundle. */
void groupGive(uint16_t group, uint16_t id, uint32_t bytes, bool bundle);

/* Buffers that it could still take. */
uint32_t groupAvailable(uint16_t group);
/* All that it has, taken ones too. */
uint32_t groupsCount(void);

/* ---- what is sent ---- */

enum
{
    GUARD_VECTORS = 8,
};

struct Guard
{
    uint32_t count;
    struct iovec vectors[GUARD_VECTORS];
    uint64_t sum;
};

/* As an entry describes it, data and control data. */
void guardBegin(struct Guard* guard, const struct io_uring_sqe* entry);
bool guardIsUntouched(const struct Guard* guard);

#endif
