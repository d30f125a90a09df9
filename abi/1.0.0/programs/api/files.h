/* What the tests of FILE_IO share: descriptors that are no sockets, and sockets made of them. */
#ifndef TEST_FILES_H
#define TEST_FILES_H

#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <termios.h>

/* A temporary file without a name. */
static inline int openTemporary(void)
{
    FILE* file = tmpfile();
    int handle = -1;

    ck_assert_ptr_nonnull(file);
    handle = fcntl(fileno(file), F_DUPFD_CLOEXEC, 0);
    ck_assert_int_ge(handle, 0);
    fclose(file);
    return handle;
}

/* A named FIFO, open for both, at both ends; its name is gone already. */
static inline void openFifo(int ends[2], int flags)
{
    char directory[] = "/tmp/fastsocket-fifo-XXXXXX";
    char path[sizeof(directory) + 8];

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/fifo", directory);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ends[0] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_ge(ends[0], 0);
    ends[1] = open(path, O_WRONLY | O_CLOEXEC | flags);
    ck_assert_int_ge(ends[1], 0);
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, flags), 0);
    unlink(path);
    rmdir(directory);
}

/* A pseudo-terminal: ends[0] is the program's side, ends[1] the one that a person would sit at. */
static inline void openTerminal(int ends[2], bool raw)
{
    char name[64];
    struct termios settings;

    ends[1] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(ends[1], 0);
    ck_assert_int_eq(grantpt(ends[1]), 0);
    ck_assert_int_eq(unlockpt(ends[1]), 0);
    ck_assert_int_eq(ptsname_r(ends[1], name, sizeof(name)), 0);
    ends[0] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(ends[0], 0);
    ck_assert_int_eq(tcgetattr(ends[0], &settings), 0);
    if (raw)
        cfmakeraw(&settings);
    else
        settings.c_lflag &= ~(tcflag_t)ECHO;
    ck_assert_int_eq(tcsetattr(ends[0], TCSANOW, &settings), 0);
}

static inline void writeAll(int handle, const void* data, size_t size)
{
    const char* bytes = data;

    while (size > 0) {
        ssize_t result = write(handle, bytes, size);
        ck_assert_msg(result > 0, "write: %s", strerror(errno));
        bytes += result;
        size -= (size_t)result;
    }
}

static inline void writeText(int handle, const char* text)
{
    writeAll(handle, text, strlen(text));
}

static inline void readAll(int handle, void* data, size_t size)
{
    char* bytes = data;

    while (size > 0) {
        ssize_t result = read(handle, bytes, size);
        ck_assert_msg(result > 0, "read: %s", result == 0 ? "end" : strerror(errno));
        bytes += result;
        size -= (size_t)result;
    }
}

static inline void expectRead(int handle, const char* text)
{
    char data[256] = "";

    ck_assert_uint_lt(strlen(text), sizeof(data));
    readAll(handle, data, strlen(text));
    ck_assert_str_eq(data, text);
}

/* A FILE_IO socket of a descriptor, with all that a socket can be given. */
static inline struct FastSocket* openFile(struct Fixture* fixture, int handle, struct Recorder* recorder)
{
    return openRecorded(fixture, handle, NULL, FASTSOCKET_MODE_FILE_IO, recorder);
}

static inline void expectOrderlyEnd(const struct Recorder* recorder)
{
    ck_assert_int_eq(recorder->hup, 1);
    ck_assert_int_eq(recorder->lastHangup, 0);
    ck_assert_int_eq(recorder->err, 0);
}

static inline void expectFailure(const struct Recorder* recorder, int error)
{
    ck_assert_int_eq(recorder->err, 1);
    ck_assert_int_eq(recorder->lastError, error);
    ck_assert_int_eq(recorder->hup, 1);
    ck_assert_int_eq(recorder->lastHangup, error);
}

/* Takes all that is unread, and checks it against the pattern; returns the new position. */
static inline uint64_t takePattern(struct FastSocket* socket, uint64_t position)
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

#endif
