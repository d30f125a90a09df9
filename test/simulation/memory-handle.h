/*
 * Descriptors of files that are memory, and who waits for them.
 *
 * They have numbers that no file of the process has, so that a call of the real system on one of
 * them fails. The lowest free one is given, as everywhere: numbers come back soon.
 */
#ifndef TEST_SIMULATION_MEMORY_HANDLE_H
#define TEST_SIMULATION_MEMORY_HANDLE_H

#include "memory-file.h"

struct FastSystemEvent;

enum
{
    HANDLE_FIRST = 4096,
    HANDLES = 128,
};

/* Forgets all. */
void handlesBegin(void);

/* A descriptor of a file, whose reference it takes; -EMFILE: there is none. */
int handleOpen(struct MemoryFile* file);
/* Its file, or NULL. */
struct MemoryFile* handleFile(int handle);
/* 0 or -EBADF. */
int handleClose(int handle);
/* Another descriptor of the same file, or a negative errno. */
int handleDuplicate(int handle);
uint32_t handleCount(void);
static inline bool handleIsOurs(int handle)
{
    return handle >= HANDLE_FIRST && handle < HANDLE_FIRST + HANDLES;
}

/* Something is ready that no wait has told of. */
bool memorySystemIsReady(void);

/* As a system's watch and unwatch; what is ready of what is watched, as its wait gives it. */
int handleWatch(int handle, uint32_t events, uint64_t token);
void handleUnwatch(int handle);
int handleTakeReady(struct FastSystemEvent* events, int room);

/* An accept takes it from a listening file: a connection's file, with a descriptor, or a negative
 * errno. */
int memoryAccept(struct MemoryFile* listener);
/* The other end of a connection that waits there for its accept; NULL: there is no place. */
struct MemoryFile* memoryConnect(struct MemoryFile* listener, enum MemoryKind kind,
                                 uint32_t capacity);

#endif
