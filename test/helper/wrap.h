/* What a test says to the layer between itself and the library, and asks of it. */
#ifndef TEST_WRAP_H
#define TEST_WRAP_H

#include <stdbool.h>
#include <stdint.h>

#include <Ring/FastSocket.h>

/* Tests wait for memory that their user's other rings still have: the kernel counts it for a
 * user, and gives it back some time after a ring's end. False where a test is about the lack of
 * it. */
extern bool waitsForMemory;

/* Number of the running turn on this thread, also between turns. */
uint64_t currentTurn(void);

/* A socket is about to be released by fclose on its stream, inside the library, where no
 * wrapping reaches. */
void noteRelease(struct FastSocket* socket);

#endif
