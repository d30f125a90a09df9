#include "recorder.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "pattern.h"
#include "wrap.h"

struct FastSocketStatistics readSocket(struct FastSocket* socket)
{
    struct FastSocketStatistics statistics;

    ck_assert_int_eq(GetFastSocketStatistics(socket, &statistics, sizeof(statistics)), 0);
    return statistics;
}

void recordEvent(struct FastSocket* socket, int event, int parameter)
{
    struct Recorder* recorder = GetFastSocketClosure(socket);

    switch (event) {
    case POLLIN:
        recorder->in++;
        recorder->parameterIn = parameter;
        break;
    case POLLOUT:
        recorder->out++;
        break;
    case POLLERR:
        recorder->err++;
        recorder->lastError = parameter;
        break;
    case POLLHUP:
        recorder->hup++;
        recorder->lastHangup = parameter;
        break;
    }
    if (recorder->events < (int)(sizeof(recorder->order) / sizeof(recorder->order[0])))
        recorder->order[recorder->events] = event;
    recorder->events++;
    recorder->turn = currentTurn();
    if (recorder->then != NULL)
        recorder->then(socket, event, parameter, recorder);
}

bool hasInput(void* closure)
{
    return GetFastSocketInboundLength(((struct Recorder*)closure)->socket) > 0;
}

bool hasHungUp(void* closure)
{
    return ((struct Recorder*)closure)->hup > 0;
}

bool hasFailed(void* closure)
{
    return ((struct Recorder*)closure)->err > 0;
}

bool hasDrained(void* closure)
{
    return GetFastSocketOutboundLength(((struct Recorder*)closure)->socket) == 0;
}

bool isWritable(void* closure)
{
    return ((struct Recorder*)closure)->out > 0;
}

struct InputGoal
{
    struct FastSocket* socket;
    size_t bytes;
};

static bool hasBytes(void* closure)
{
    struct InputGoal* goal = closure;

    return GetFastSocketInboundLength(goal->socket) >= goal->bytes;
}

void waitInput(struct Recorder* recorder, size_t bytes)
{
    struct InputGoal goal = {recorder->socket, bytes};

    ck_assert_msg(runUntil(GetFastSocketRing(recorder->socket), hasBytes, &goal),
                  "%zu of %zu bytes came", GetFastSocketInboundLength(recorder->socket), bytes);
}

void waitDrained(struct Recorder* recorder)
{
    waitFor(GetFastSocketRing(recorder->socket), hasDrained, recorder);
}

void waitHangup(struct Recorder* recorder)
{
    waitFor(GetFastSocketRing(recorder->socket), hasHungUp, recorder);
}

void transmitText(struct FastSocket* socket, const char* text)
{
    ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, text, strlen(text), 0), 0);
}

void transmitPattern(struct FastSocket* socket, size_t size, uint64_t position)
{
    void* data = malloc(size);

    ck_assert_ptr_nonnull(data);
    fillPattern(data, size, position);
    ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, data, size, 0), 0);
    free(data);
}

void receiveText(struct Recorder* recorder, const char* text)
{
    char data[256] = "";

    ck_assert_uint_lt(strlen(text), sizeof(data));
    waitInput(recorder, strlen(text));
    ck_assert_int_eq(ReceiveFastSocketData(recorder->socket, data, strlen(text), 0),
                     (ssize_t)strlen(text));
    ck_assert_str_eq(data, text);
}

void setOption(struct FastSocket* socket, int option, uint64_t value)
{
    ck_assert_int_eq(SetFastSocketOption(socket, option, value), 0);
}

void expectOrderlyEnd(const struct Recorder* recorder)
{
    ck_assert_int_eq(recorder->hup, 1);
    ck_assert_int_eq(recorder->lastHangup, 0);
    ck_assert_int_eq(recorder->err, 0);
}

void expectFailure(const struct Recorder* recorder, int error)
{
    ck_assert_int_eq(recorder->err, 1);
    ck_assert_int_eq(recorder->lastError, error);
    ck_assert_int_eq(recorder->hup, 1);
    ck_assert_int_eq(recorder->lastHangup, error);
    ck_assert_int_eq(GetFastSocketError(recorder->socket), error);
}

uint64_t takePattern(struct FastSocket* socket, uint64_t position)
{
    struct FastBuffer* buffer = NULL;

    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
        size_t length = GetFastBufferLength(buffer);
        ck_assert_msg(checkPattern(GetFastBufferData(buffer), length, position),
                      "wrong bytes behind %llu", (unsigned long long)position);
        position += length;
        ReleaseFastBuffer(buffer);
    }
    return position;
}
