/*
 * embed-glib: a ring as a source of GLib's main loop.
 *
 *     cc embed-glib.c -o embed-glib $(pkg-config --cflags --libs fastsocket glib-2.0)
 *     ./embed-glib [ADDRESS [PORT [PERIOD]]]    127.0.0.1, 7000 and 1000 ms by default
 *
 * Does the same as embed-epoll.c, which says what a foreign loop needs. New here:
 *
 * - A GSource has a function for each of the three: prepare gives the interval, check looks whether
 *   the ring must run, and dispatch runs one turn.
 * - GLib may be used in every handler of the ring, and the ring in every handler of GLib.
 */
#define _GNU_SOURCE
#include <glib-unix.h>

#include "announce.h"

enum
{
    INPUT_LENGTH = 4096
};

struct RingSource
{
    GSource source;
    struct FastRing* ring;
    gpointer tag; /* of the ring's handle */
    int* result;
};

struct Loop
{
    struct Announcer announcer;
    int result; /* of the ring's last turn */
    int signalCount;
};

/* Asked just before GLib sleeps: TRUE if there is work at once. */
static gboolean prepareRing(GSource* source, gint* interval)
{
    *interval = GetFastRingInterval(((struct RingSource*)source)->ring);
    return *interval == 0;
}

/* Asked after the sleep: something completed, a timeout is due, or work was queued. */
static gboolean checkRing(GSource* source)
{
    struct RingSource* self = (struct RingSource*)source;

    return (g_source_query_unix_fd(source, self->tag) != 0) || (GetFastRingInterval(self->ring) == 0);
}

static gboolean dispatchRing(GSource* source, GSourceFunc function, gpointer closure)
{
    struct RingSource* self = (struct RingSource*)source;

    (void)function;
    (void)closure;
    *self->result = WaitForFastRing(self->ring, 0, NULL);
    return (*self->result == 0) ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static GSourceFuncs ringFunctions = {
    .prepare = prepareRing,
    .check = checkRing,
    .dispatch = dispatchRing,
};

/* Returns the source, which lives as long as the ring; or NULL with errno. */
static GSource* addRing(struct FastRing* ring, int* result)
{
    int handle = GetFastRingHandle(ring);
    GSource* source;

    if (handle < 0) {
        errno = -handle;
        return NULL;
    }
    source = g_source_new(&ringFunctions, sizeof(struct RingSource));
    ((struct RingSource*)source)->ring = ring;
    ((struct RingSource*)source)->result = result;
    ((struct RingSource*)source)->tag = g_source_add_unix_fd(source, handle, G_IO_IN);
    g_source_attach(source, NULL);
    return source;
}

/* The transmits happen outside of the ring's turn: prepare tells GLib not to sleep on them. */
static gboolean handleInput(gint handle, GIOCondition condition, gpointer closure)
{
    char text[INPUT_LENGTH];
    ssize_t length = read(handle, text, sizeof(text));

    (void)condition;
    if (length > 0)
        announce(closure, text, (size_t)length);
    return ((length > 0) || ((length < 0) && ((errno == EAGAIN) || (errno == EINTR))))
               ? G_SOURCE_CONTINUE
               : G_SOURCE_REMOVE;
}

static gboolean handleSignal(gpointer closure)
{
    struct Loop* loop = closure;

    loop->signalCount++;
    stopAnnouncer(&loop->announcer);
    return G_SOURCE_CONTINUE;
}

int main(int count, char** arguments)
{
    const char* address = (count > 1) ? arguments[1] : "127.0.0.1";
    const char* port = (count > 2) ? arguments[2] : "7000";
    int period = (count > 3) ? atoi(arguments[3]) : 1000;
    struct Loop loop = {.result = -1};
    GSource* source = NULL;
    int handle;

    handle = openSocket(address, port, SOCK_STREAM);
    if (handle < 0)
        return 1;

    if (!openAnnouncer(&loop.announcer, handle, period)) {
        perror("embed-glib");
        close(handle);
    } else if ((source = addRing(loop.announcer.ring, &loop.result)) == NULL) {
        perror("embed-glib");
    } else {
        g_unix_signal_add(SIGINT, handleSignal, &loop);
        g_unix_signal_add(SIGTERM, handleSignal, &loop);
        g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP, handleInput, &loop.announcer);
        printListening(handle, address);

        /* As g_main_loop_run does, with an end that is seen after every handler. */
        loop.result = 0;
        while ((loop.result == 0) && (loop.signalCount < 2) && isAnnouncerBusy(&loop.announcer))
            g_main_context_iteration(NULL, TRUE);
        if (loop.result < 0)
            fprintf(stderr, "ring: %s\n", strerror(-loop.result));
    }

    /* The source goes first, since it polls the ring's handle. */
    if (source != NULL) {
        g_source_destroy(source);
        g_source_unref(source);
    }
    releaseAnnouncer(&loop.announcer);
    removeAddress(address);
    return ((loop.result == 0) && (loop.signalCount > 0)) ? 0 : 1;
}
