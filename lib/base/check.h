/*
 * Check mode: FASTSOCKET_CHECK=1 in the environment has misuse end the program, with one line that
 * says what it is.
 *
 * All that is released stays for a while, in a bounded quarantine, so that whoever goes on to use
 * it is recognized. Whether check mode is on is asked where things are made, released or found to
 * be wrong; what happens for each message never asks. It finds out by conditions that it asks for
 * anyway (ring/misuse.h, memory/pool.h), which are false in check mode.
 *
 * All functions are for any thread.
 */
#ifndef FASTSOCKET_CHECK_H
#define FASTSOCKET_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* Written once, by FastCheckBegin. */
extern bool FastCheckIsOn __attribute__((visibility("hidden")));

/* Asks the environment. Before anything is made that is to be checked. */
void FastCheckBegin(void);

/* Check mode is on. */
static inline bool FastCheckRuns(void)
{
    return __builtin_expect(FastCheckIsOn, false);
}

/* ---- what follows is for check mode alone ---- */

/* An object that users know of was made. kind is a word, and stays. owner is what it belongs to,
 * for FastCheckLeft, or NULL. */
void FastCheckMade(const void* object, const char* kind, const void* owner);

/* Its user releases it: for the second time it is a misuse. The kind is for one that was not told
 * of when it was made. */
void FastCheckReleased(const void* object, const char* kind);

/* Its user uses it: a misuse if it was released. */
void FastCheckUsed(const void* object);

/* The same, but one that is released and not yet gone may be used. */
void FastCheckAlive(const void* object);

/* The same of a use that is a release. */
void FastCheckReleasable(const void* object);

/* A thread has released it that must not. */
void FastCheckForeign(const void* object);

/* This descriptor is the object's from now on. */
void FastCheckTakeHandle(const void* object, int handle);

/* It is about to be given up: a misuse if it is not the file any more that it was. */
void FastCheckHandle(const void* object, int handle);

/* Somebody other than its user keeps the object: it is not counted by FastCheckLeft. */
void FastCheckKept(const void* object);

/* The end of a ring: a misuse if anything of this kind that belongs to it is not released. It
 * belongs to it if that is its owner, or the owner of its owner. */
void FastCheckLeft(const char* kind, const void* owner);

/* Instead of free(): the object is gone, and its memory, of which so many bytes at its head may be
 * looked at by the library yet, is filled: the head with zeros, for the caller to put there what it
 * must find, the rest with a pattern. */
void FastCheckBury(void* memory, size_t size, size_t head);

/* Behind that: its content is final, and what changes it from now on is a misuse. */
void FastCheckSeal(void* memory);

/* Looks whether anything has changed what is buried. */
void FastCheckGraves(void);

#endif
