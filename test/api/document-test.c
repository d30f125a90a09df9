/* What headers and guide say beside the promises themselves, where it can be seen. */
#include "fixture.h"

#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>

static struct Fixture fixture;
static struct Recorder recorder;

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    ReleaseFastSocket(recorder.socket);
    fixtureClose(&fixture);
}

/* §2.1 POLLOUT: the first one says that a socket is connected, and may come after its first input */
START_TEST(tellsInputBeforeTheConnection)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    int listening = listenTcp(&address, &length);
    int handle = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

    ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, length), -1);
    ck_assert_int_eq(errno, EINPROGRESS);
    int peer = accept(listening, NULL, NULL);
    ck_assert_int_ge(peer, 0);
    sendText(peer, "who comes first");
    openRecorded(&fixture, handle, NULL, 0, &recorder);
    waitCount(fixture.ring, &recorder.out, 1);
    waitInput(&recorder, 15);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out, 1);
    ck_assert_int_eq(recorder.order[0], POLLIN);
    ck_assert_int_eq(recorder.order[1], POLLOUT);
    ck_assert_int_eq(recorder.events, 2);
    close(peer);
    close(listening);
}
END_TEST

static int refusals;

static void setAfterRemoval(struct FastRingTimeout* timeout, void* closure)
{
    (void)closure;
    ck_assert_ptr_null(SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL));
    errno = 0;
    ck_assert_ptr_null(SetFastRingTimeout(NULL, timeout, 1, 0, NULL, NULL));
    ck_assert_int_eq(errno, EINVAL);
    refusals++;
}

/* Where a removed timeout can still be named, in its own function, it is refused and runs no more. */
START_TEST(refusesARemovedTimeout)
{
    ck_assert_ptr_nonnull(SetFastRingTimeout(fixture.ring, NULL, 0, FASTRING_TIMEOUT_REPEAT, setAfterRemoval, NULL));
    waitCount(fixture.ring, &refusals, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(refusals, 1);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
}
END_TEST

static uintptr_t placeOfControl(socklen_t room)
{
    struct msghdr message = {.msg_namelen = room, .msg_controllen = CMSG_SPACE(sizeof(struct timeval))};
    struct sockaddr_in6 self = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    socklen_t length = sizeof(self);
    int one = 1;
    int handle = socket(AF_INET6, SOCK_DGRAM, 0);

    ck_assert_int_eq(bind(handle, (struct sockaddr*)&self, length), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)&self, &length), 0);
    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof(one)), 0);
    openRecorded(&fixture, handle, &message, 0, &recorder);
    ck_assert_int_eq(TransmitFastSocketData(recorder.socket, (struct sockaddr*)&self, length, "hello", 5, 0), 0);
    waitInput(&recorder, 5);
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(recorder.socket);
    struct io_uring_recvmsg_out* out =
        io_uring_recvmsg_validate(GetFastBufferData(buffer), (int)GetFastBufferLength(buffer), &message);
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(out->controllen, CMSG_SPACE(sizeof(struct timeval)));
    uintptr_t place = (uintptr_t)io_uring_recvmsg_name(out) + room;
    ReleaseFastBuffer(buffer);
    ReleaseFastSocket(recorder.socket);
    recorder.socket = NULL;
    return place;
}

/* §2.3 recvmsg layout: control data is aligned behind a name's room of a multiple of 8 bytes, and behind 28 it is not */
START_TEST(alignsControlData)
{
    if (!hasKind(KIND_UDP6))
        skipTest("the machine has no IPv6");
    ck_assert_uint_eq(placeOfControl(sizeof(struct sockaddr_storage)) % 8, 0);
    ck_assert_uint_eq(placeOfControl(0) % 8, 0);
    ck_assert_uint_ne(placeOfControl(sizeof(struct sockaddr_in6)) % 8, 0);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("document");
    TCase* area = tcase_create("document");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, tellsInputBeforeTheConnection);
    tcase_add_test(area, refusesARemovedTimeout);
    tcase_add_test(area, alignsControlData);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
