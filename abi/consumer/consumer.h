/*
 * A program of a user's: it calls every public function and compares the results with the headers'
 * promises. Each release freezes a copy, which is then run, linked with that release, on every later
 * library. It uses no promise that a kernel might keep otherwise, and nothing but libc beside the library.
 */
#ifndef CONSUMER_H
#define CONSUMER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <Ring/FastBuffer.h>
#include <Ring/FastRing.h>
#include <Ring/FastSocket.h>

/* Ends the program with the condition's text when it doesn't hold. */
#define CHECK(condition) check((condition) ? true : false, #condition, __FILE__, __LINE__)

/* An expression whose failure is told by errno. */
#define CHECK_ERROR(expression, error) \
    (errno = 0, check((expression) == NULL && errno == (error), #expression " fails with " #error, __FILE__, __LINE__))

void check(bool condition, const char* text, const char* file, int line);

/* A ring of automatic length. The kernel counts the memory of all rings of a user together, and others of
 * the same user may have it all just now: tried again for a while. */
struct FastRing* openRing(void);

/* Runs the ring until *count has the value; fails after too many turns. */
void runUntil(struct FastRing* ring, const int* count, int value);

/* Some turns that don't wait. */
void runTurns(struct FastRing* ring, int turns);

/* A descriptor number is open. */
bool isOpen(int handle);

/* A connected pair of AF_UNIX sockets. */
void makePair(int type, int handles[2]);

/* Calls a function in a thread of its own. */
void callElsewhere(void (*function)(void*), void* closure);

/* The chapters, each with a ring of its own. */
void useVersion(void);
void useBuffers(void);
void useRing(void);
void useOptions(void);
void useTimeouts(void);
void useWatches(void);
void useEvents(void);
void useCalls(void);
void useSignals(void);
void useDescriptors(void);
void useProvider(void);
void useStreamSocket(void);
void useSocketQuestions(void);
void useSocketErrors(void);
void useMessageSocket(void);
void usePassing(void);
void useFiles(void);
void useSocketOperations(void);
void useSocketStream(void);
void useListener(void);
void useAddresses(void);
void useConnections(void);
void useShells(void);
void useStatistics(void);

#endif
