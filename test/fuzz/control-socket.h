/* Sockets that receive and send control data of any kind, and the descriptors in it. */
#ifndef TEST_FUZZ_CONTROL_SOCKET_H
#define TEST_FUZZ_CONTROL_SOCKET_H

#include "control-data.h"
#include "memory-file.h"

/* In the place of each descriptor that control data brings (SCM_RIGHTS, SCM_PIDFD) a new one of a
 * file, as the kernel installs them; where there is none left, a negative number. */
void installHandles(struct MemoryFile* file, uint8_t* data, size_t size);

/* In the place of each descriptor in SCM_RIGHTS one that is open, most at most, or by chance one
 * that is not; and closes those again. */
void offerHandles(struct MemoryFile* file, uint8_t* data, size_t size, uint32_t most,
                  struct Chance* chance);
void withdrawHandles(uint8_t* data, size_t size);

/* A socket on a ring, from its creation to its end. */
void useSocket(struct Chance* chance);

#endif
