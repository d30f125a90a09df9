/* What headers and guide say beside the promises themselves, where it can be seen. */
#include "fixture.h"

#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>

SCENE_AREA(document, "document");

/* §2.1 POLLOUT: the first one says that a socket is connected, and may come after its first
 * input */
CASE(document, tellsInputBeforeTheConnection)
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
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    waitCount(scene.ring, &scene.ours.out, 1);
    waitInput(&scene.ours, 15);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 1);
    ck_assert_int_eq(scene.ours.order[0], POLLIN);
    ck_assert_int_eq(scene.ours.order[1], POLLOUT);
    ck_assert_int_eq(scene.ours.events, 2);
    close(peer);
    close(listening);
}

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

/* Where a removed timeout can still be named, in its own function, it is refused and runs no
 * more. */
CASE(document, refusesARemovedTimeout)
{
    ck_assert_ptr_nonnull(
        SetFastRingTimeout(scene.ring, NULL, 0, FASTRING_TIMEOUT_REPEAT, setAfterRemoval, NULL));
    waitCount(scene.ring, &refusals, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(refusals, 1);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

static uintptr_t placeOfControl(socklen_t room)
{
    struct msghdr message = {.msg_namelen = room,
                             .msg_controllen = CMSG_SPACE(sizeof(struct timeval))};
    struct sockaddr_in6 self = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    socklen_t length = sizeof(self);
    int one = 1;
    int handle = socket(AF_INET6, SOCK_DGRAM, 0);

    ck_assert_int_eq(bind(handle, (struct sockaddr*)&self, length), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)&self, &length), 0);
    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof(one)), 0);
    openRecorded(&scene, handle, &message, 0, &scene.ours);
    ck_assert_int_eq(
        TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)&self, length, "hello", 5, 0),
        0);
    waitInput(&scene.ours, 5);
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(scene.ours.socket);
    struct io_uring_recvmsg_out* out = io_uring_recvmsg_validate(
        GetFastBufferData(buffer), (int)GetFastBufferLength(buffer), &message);
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(out->controllen, CMSG_SPACE(sizeof(struct timeval)));
    uintptr_t place = (uintptr_t)io_uring_recvmsg_name(out) + room;
    ReleaseFastBuffer(buffer);
    ReleaseFastSocket(scene.ours.socket);
    return place;
}

/* §2.3 recvmsg layout: control data is aligned behind a name's room of a multiple of 8 bytes,
 * and behind 28 it is not */
CASE(document, alignsControlData)
{
    if (!hasKind(KIND_UDP6))
        skipTest("the machine has no IPv6");
    ck_assert_uint_eq(placeOfControl(sizeof(struct sockaddr_storage)) % 8, 0);
    ck_assert_uint_eq(placeOfControl(0) % 8, 0);
    ck_assert_uint_ne(placeOfControl(sizeof(struct sockaddr_in6)) % 8, 0);
}
