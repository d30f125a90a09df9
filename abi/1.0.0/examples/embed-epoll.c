/*
 * embed-epoll: a ring inside an event loop that is there already, made of epoll here.
 *
 *     cc embed-epoll.c -o embed-epoll $(pkg-config --cflags --libs fastsocket)
 *     ./embed-epoll [ADDRESS [PORT [PERIOD]]]   127.0.0.1, 7000 and 1000 ms by default
 *
 * Each line of standard input is announced to all connections; the rest of the service is in
 * announce.h. See echo-server.c first. New here:
 *
 * - GetFastRingHandle gives a descriptor that is readable when the ring has something to handle. It is
 *   one more descriptor in the foreign loop.
 * - GetFastRingInterval tells how long the loop may sleep although that descriptor stays quiet: until
 *   the ring's next timeout, or not at all if work is queued that the kernel doesn't know of yet. Ask
 *   last of all, since any handler may queue work.
 * - WaitForFastRing with interval 0 then runs one turn, and never sleeps.
 */
#define _GNU_SOURCE
#include <sys/epoll.h>

#include "announce.h"

enum
{
    EVENT_COUNT = 16,
    INPUT_LENGTH = 4096
};

struct Loop
{
    struct Announcer announcer;
    int handle; /* of epoll */
    int signalHandle;
    int signalCount;
};

static bool addHandle(struct Loop* loop, int handle)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = handle};

    return epoll_ctl(loop->handle, EPOLL_CTL_ADD, handle, &event) == 0;
}

/* The transmits happen outside of the ring's turn: they wait for the next one. */
static void handleInput(struct Loop* loop)
{
    char text[INPUT_LENGTH];
    ssize_t length = read(STDIN_FILENO, text, sizeof(text));

    if (length > 0)
        announce(&loop->announcer, text, (size_t)length);
    else if ((length == 0) || ((errno != EAGAIN) && (errno != EINTR)))
        epoll_ctl(loop->handle, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
}

/* One round of the foreign loop. Returns 0 or a negative errno. */
static int runRound(struct Loop* loop)
{
    struct epoll_event events[EVENT_COUNT];
    int interval = GetFastRingInterval(loop->announcer.ring); /* -1 means the same to epoll */
    int count = epoll_wait(loop->handle, events, EVENT_COUNT, interval);

    if ((count < 0) && (errno != EINTR))
        return -errno;

    for (int index = 0; index < count; index++) {
        if (events[index].data.fd == STDIN_FILENO)
            handleInput(loop);
        if ((events[index].data.fd == loop->signalHandle) && (readSignal(loop->signalHandle) > 0)) {
            loop->signalCount++;
            stopAnnouncer(&loop->announcer);
        }
    }

    /* The ring's handle, its timeouts, or work that a handler above has queued. A turn for nothing
     * costs little; who minds runs one only if the handle is readable or the interval is 0. */
    return WaitForFastRing(loop->announcer.ring, 0, NULL);
}

/* Returns false with errno. */
static bool openLoop(struct Loop* loop)
{
    int ringHandle = GetFastRingHandle(loop->announcer.ring);

    if (ringHandle < 0) {
        errno = -ringHandle;
        return false;
    }

    loop->handle = epoll_create1(EPOLL_CLOEXEC);
    loop->signalHandle = openSignals();
    if ((loop->handle < 0) || (loop->signalHandle < 0) || !addHandle(loop, ringHandle) ||
        !addHandle(loop, loop->signalHandle))
        return false;

    /* A file or /dev/null can't be polled: then nothing is announced. */
    return addHandle(loop, STDIN_FILENO) || (errno == EPERM) || (errno == EBADF);
}

int main(int count, char** arguments)
{
    const char* address = (count > 1) ? arguments[1] : "127.0.0.1";
    const char* port = (count > 2) ? arguments[2] : "7000";
    int period = (count > 3) ? atoi(arguments[3]) : 1000;
    struct Loop loop = {.handle = -1, .signalHandle = -1};
    int handle;
    int result = -1;

    handle = openSocket(address, port, SOCK_STREAM);
    if (handle < 0)
        return 1;

    if (!openAnnouncer(&loop.announcer, handle, period)) {
        perror("embed-epoll");
        close(handle);
    } else if (!openLoop(&loop)) {
        perror("embed-epoll");
    } else {
        printListening(handle, address);
        do
            result = runRound(&loop);
        while ((result == 0) && (loop.signalCount < 2) && isAnnouncerBusy(&loop.announcer));
        if (result < 0)
            fprintf(stderr, "loop: %s\n", strerror(-result));
    }

    if (loop.handle >= 0)
        close(loop.handle);
    if (loop.signalHandle >= 0)
        close(loop.signalHandle);
    releaseAnnouncer(&loop.announcer);
    removeAddress(address);
    return ((result == 0) && (loop.signalCount > 0)) ? 0 : 1;
}
