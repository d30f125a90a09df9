/* What a socket of ours has reported: a closure that counts its events, and waits for them. */
#ifndef TEST_RECORDER_H
#define TEST_RECORDER_H

#include <stddef.h>
#include <stdint.h>

#include <Ring/FastSocket.h>

#include "turns.h"

/* A socket's closure: counts its events, and may do something at each. All zero at first. */
struct Recorder
{
    int in;
    int out;
    int err;
    int hup;
    int parameterIn; /* of the last POLLIN */
    int lastError;   /* parameter of the last POLLERR, 0 = none */
    int lastHangup;  /* parameter of POLLHUP, -1 = none (after openRecorded) */
    int events;      /* all together */
    uint64_t turn;   /* of the last event */
    int order[32];   /* the first events */
    struct FastSocket* socket;
    /* What the case does at each event, after it is counted; NULL: nothing. */
    void (*then)(struct FastSocket* socket, int event, int parameter, struct Recorder* recorder);
    void* closure;
};

/* Keeps what the recorder saw. */
void recordEvent(struct FastSocket* socket, int event, int parameter);

/* Conditions of runUntil; the closure is a struct Recorder. */
bool hasInput(void* closure);   /* GetFastSocketInboundLength is above 0 */
bool hasHungUp(void* closure);  /* POLLHUP came */
bool hasFailed(void* closure);  /* POLLERR came */
bool hasDrained(void* closure); /* nothing is queued for output */
bool isWritable(void* closure); /* POLLOUT came */

/* Run the recorder's ring until that holds, and fail the case if it never does. */
void waitInput(struct Recorder* recorder, size_t bytes); /* unread bytes, at least */
void waitDrained(struct Recorder* recorder);
void waitHangup(struct Recorder* recorder);

/* Short forms that fail the case if the call fails. */
void transmitText(struct FastSocket* socket, const char* text);
void transmitPattern(struct FastSocket* socket, size_t size, uint64_t position);
void receiveText(struct Recorder* recorder, const char* text); /* waits for that many bytes */
void setOption(struct FastSocket* socket, int option, uint64_t value);

/* What the recorder must have seen of a socket that is not released yet: POLLHUP(0) alone, or
 * POLLERR and POLLHUP with the errno. */
void expectOrderlyEnd(const struct Recorder* recorder);
void expectFailure(const struct Recorder* recorder, int error);

/* Takes all that is unread, and checks it against the pattern; returns the new position. */
uint64_t takePattern(struct FastSocket* socket, uint64_t position);

struct FastSocketStatistics readSocket(struct FastSocket* socket);

#endif
