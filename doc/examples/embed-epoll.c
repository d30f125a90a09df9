/*
 * embed-epoll: a ring inside an event loop that is there already, made of epoll here.
 *
 *     cc embed-epoll.c -o embed-epoll $(pkg-config --cflags --libs fastsocket)
 *     ./embed-epoll [ADDRESS [PERIOD]]          127.0.0.1:7000 and 1000 ms by default
 *
 * Each line of standard input is announced to all connections; the rest of the service is in
 * announce.h. See echo-server.c first. New here:
 *
 * - GetFastRingHandle gives a descriptor that is readable when the ring has something to handle. It is
 *   one more descriptor in the foreign loop.
 * - GetFastRingInterval tells how long the loop may sleep although that descriptor stays quiet: until
 *   the ring's next timeout, or not at all if work is queued that the kernel doesn't know of yet. Ask
 *   last of all, since any handler may queue work.
 * - Since 1.1 the descriptor is readable, too, when work was queued outside a turn: a loop that can't
 *   ask before it sleeps asks for the interval after each turn, and misses nothing.
 * - The ring's own watches, timeouts and signals work as ever; here it takes the signals.
 * - WaitForFastRing with interval 0 then runs one turn, and never sleeps.
 */
#define _GNU_SOURCE
#include <signal.h>
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
    struct FastRingSignal* interrupt;
    struct FastRingSignal* terminate;
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

/* Inside the ring's turn, which the foreign loop runs. A second signal ends the process at once. */
static void stopLoop(struct Loop* loop)
{
    stopAnnouncer(&loop->announcer);
    RemoveFastRingSignal(loop->interrupt);
    RemoveFastRingSignal(loop->terminate);
    loop->interrupt = loop->terminate = NULL;
}

static void handleSignal(struct FastRingSignal* signal, int number, int code, int process, int value,
                         void* closure)
{
    (void)signal, (void)number, (void)code, (void)process, (void)value;
    stopLoop(closure);
}

/* One round of the foreign loop. Returns 0 or a negative errno. */
static int runRound(struct Loop* loop)
{
    struct epoll_event events[EVENT_COUNT];
    int interval = GetFastRingInterval(loop->announcer.ring); /* -1 means the same to epoll */
    int count = epoll_wait(loop->handle, events, EVENT_COUNT, interval);

    if ((count < 0) && (errno != EINTR))
        return -errno;

    for (int index = 0; index < count; index++)
        if (events[index].data.fd == STDIN_FILENO)
            handleInput(loop);

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
    if ((loop->handle < 0) || !addHandle(loop, ringHandle))
        return false;
    loop->interrupt = AddFastRingSignal(loop->announcer.ring, SIGINT, handleSignal, loop);
    loop->terminate = AddFastRingSignal(loop->announcer.ring, SIGTERM, handleSignal, loop);
    if ((loop->interrupt == NULL) || (loop->terminate == NULL))
        return false;

    /* A file or /dev/null can't be polled: then nothing is announced. */
    return addHandle(loop, STDIN_FILENO) || (errno == EPERM) || (errno == EBADF);
}

int main(int count, char** arguments)
{
    const char* address = (count > 1) ? arguments[1] : "127.0.0.1:7000";
    int period = (count > 2) ? atoi(arguments[2]) : 1000;
    struct Loop loop = {.handle = -1};
    int result = -1;

    if (!openAnnouncer(&loop.announcer, address, period)) {
        perror(address);
    } else if (!openLoop(&loop)) {
        perror("embed-epoll");
    } else {
        printAddress(loop.announcer.listener);
        do
            result = runRound(&loop);
        while ((result == 0) && isAnnouncerBusy(&loop.announcer));
        if (result < 0)
            fprintf(stderr, "loop: %s\n", strerror(-result));
    }

    if (loop.handle >= 0)
        close(loop.handle);
    stopLoop(&loop); /* again, in case the loop ended otherwise */
    releaseAnnouncer(&loop.announcer);
    return (result == 0) ? 0 : 1;
}
