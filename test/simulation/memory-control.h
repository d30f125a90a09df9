/* Messages of the system's calls, with their names and control data, to and from files that are
 * memory. */
#ifndef TEST_SIMULATION_MEMORY_CONTROL_H
#define TEST_SIMULATION_MEMORY_CONTROL_H

#include "memory-file.h"

#include <sys/socket.h>

/* As recvmsg and sendmsg that don't wait: bytes or a negative errno. MSG_TRUNC in flags asks for
 * the whole length of a message. */
ssize_t controlReceive(struct MemoryFile* file, struct msghdr* message, int flags);
ssize_t controlSend(struct MemoryFile* file, const struct msghdr* message, int flags);

/* Names of UDP are ports of the loopback. */
socklen_t controlName(void* name, uint16_t port);
uint16_t controlPort(const void* name, socklen_t length);

#endif
