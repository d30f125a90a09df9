/*
 * What is received enters and leaves the inbound queue through these, for the queue itself knows
 * neither the provider, nor the ring's total, nor the statistics.
 */
#ifndef FASTSOCKET_SOCKET_INTAKE_H
#define FASTSOCKET_SOCKET_INTAKE_H

#include "socket/core.h"

/* Queues what one completion brought: length bytes in the slot id and, of a bundle, those behind
 * it. */
void FastIntakeSlots(struct FastSocket* socket, uint16_t id, size_t length);

/* The same of one slot with bytes, for an empty queue. */
void FastIntakeFirst(struct FastSocket* socket, uint16_t id, size_t length);

/* Queues length bytes of a buffer that did not come from the provider, and is ours now. */
void FastIntakeBuffer(struct FastSocket* socket, void* data, size_t length);

/* Take the first chunk off, whatever of it is unread: it is the caller's now, or it is dropped. Or
 * drop them all. */
struct FastBuffer* FastIntakePop(struct FastSocket* socket);
void FastIntakeDrop(struct FastSocket* socket);
void FastIntakeDropAll(struct FastSocket* socket);

/* Reads up to size bytes from the front, over the borders of chunks; those without unread bytes are
 * dropped. Returns how many. */
size_t FastIntakeRead(struct FastSocket* socket, uint8_t* data, size_t size);

#endif
