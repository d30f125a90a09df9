/* A listener that is paused while the kernel is about to give it a connection. */
#include "fixture.h"

#include <fcntl.h>

#include "service/listener-state.h"

static struct FastListener* listener;
static int accepted;
static int failures;
static int lastHandle;

static void take(struct FastListener* which, int handle, void* closure)
{
    (void)which;
    (void)closure;
    if (handle < 0)
        failures++;
    else
        accepted++;
    lastHandle = handle;
}

static void openListener(void)
{
    openScene();
    accepted = 0;
    failures = 0;
    lastHandle = -1;
    listener = ListenFastSocket(scene.ring, "unix:@fastsocket-unit-listener", 0, take, NULL);
    ck_assert_ptr_nonnull(listener);
    runIdle(scene.ring);
}

static void closeListener(void)
{
    ReleaseFastListener(listener);
    closeScene();
}

AREA(listener, "listener", .open = openListener, .close = closeListener);

/* What an accept that was in flight brings after all. */
static void completeAccept(int result)
{
    struct FastArmed* armed = &listener->accept.armed;
    const struct io_uring_cqe completion = {.user_data = (uintptr_t)&armed->operation,
                                            .res = result};

    ck_assert_int_eq(armed->state, FAST_ARMED_IDLE);
    armed->state = FAST_ARMED_IN_FLIGHT;
    listener->references++;
    armed->operation.function(&armed->operation, &completion);
}

static int makeConnection(int pair[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    return pair[0];
}

/* §3.1 paused listener: what the kernel has given meanwhile is kept, and handed over first */
CASE(listener, keepsWhatComesInAPause)
{
    int pair[2];

    ck_assert_int_eq(PauseFastListener(listener), 0);
    completeAccept(makeConnection(pair));
    runIdle(scene.ring);
    ck_assert_int_eq(accepted, 0);
    sendText(pair[1], "still open");
    ck_assert_int_eq(ResumeFastListener(listener), 0);
    ck_assert_int_eq(accepted, 0); /* not inside the call */
    waitCount(scene.ring, &accepted, 1);
    ck_assert_int_eq(lastHandle, pair[0]);
    expectText(pair[0], "still open");
    runIdle(scene.ring);
    ck_assert_int_eq(accepted, 1);
    close(pair[0]);
    close(pair[1]);
}

/* §3.1 paused listener: paused again before it could be handed over, it is kept on */
CASE(listener, keepsItOverASecondPause)
{
    int pair[2];

    ck_assert_int_eq(PauseFastListener(listener), 0);
    completeAccept(makeConnection(pair));
    ck_assert_int_eq(ResumeFastListener(listener), 0);
    ck_assert_int_eq(PauseFastListener(listener), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(accepted, 0);
    ck_assert_int_eq(ResumeFastListener(listener), 0);
    waitCount(scene.ring, &accepted, 1);
    close(pair[0]);
    close(pair[1]);
}

/* §3.1 paused listener: a release closes it, and so does the ring's end */
CASE_ROUNDS(listener, closesItAtTheEnd, 3)
{
    int pair[2];

    ck_assert_int_eq(PauseFastListener(listener), 0);
    completeAccept(makeConnection(pair));
    if (round == 2)
        ck_assert_int_eq(ResumeFastListener(listener), 0);
    if (round == 1)
        endRing();
    else {
        ReleaseFastListener(listener);
        listener = NULL;
    }
    ck_assert_int_eq(fcntl(pair[0], F_GETFD), -1);
    if (round != 1)
        runIdle(scene.ring);
    ck_assert_int_eq(accepted, 0);
    close(pair[1]);
}

/* §3.1 paused listener: of a failure it hears when it goes on, if there is one yet */
CASE(listener, hearsOfNoFailureInAPause)
{
    ck_assert_int_eq(PauseFastListener(listener), 0);
    completeAccept(-EMFILE);
    completeAccept(-ECANCELED);
    ck_assert_int_eq(ResumeFastListener(listener), 0);
    runIdle(scene.ring);
    ck_assert_int_eq(failures, 0);
}
