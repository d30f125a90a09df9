/* CreateFastSocket, and the questions a socket answers. */
#include "fixture.h"

#include <fcntl.h>
#include <netinet/in.h>

SCENE_AREA(create, "create");

static struct FastSocket* create(int handle, struct msghdr* message, int flags, int mode)
{
    return CreateFastSocket(scene.ring, scene.provider, scene.inbound, scene.outbound,
                            handle, message, flags, mode, 0, recordEvent, &scene.ours);
}

/* Expects NULL and errno, and the descriptor as it was. */
static void refuse(int error, int handle, struct msghdr* message, int flags, int mode)
{
    int before = fcntl(handle, F_GETFD);
    int status = fcntl(handle, F_GETFL);

    ck_assert_ptr_null(create(handle, message, flags, mode));
    ck_assert_int_eq(errno, error);
    ck_assert_int_eq(fcntl(handle, F_GETFD), before);
    ck_assert_int_eq(fcntl(handle, F_GETFL), status);
}

static void expectUnharmed(void)
{
    sendText(scene.handle, "still here");
    expectText(scene.peer, "still here");
    sendText(scene.peer, "and back");
    expectText(scene.handle, "and back");
    close(scene.handle);
    closePeer();
}

/* §2.2 ring, provider, inbound, §2.2 returns: each of them is needed */
CASE(create, refusesNull)
{
    pairStream(scene.pair);
    ck_assert_ptr_null(CreateFastSocket(NULL, scene.provider, scene.inbound, scene.outbound,
                                        scene.handle, NULL, 0, 0, 0, recordEvent, &scene.ours));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(CreateFastSocket(scene.ring, NULL, scene.inbound, scene.outbound,
                                        scene.handle, NULL, 0, 0, 0, recordEvent, &scene.ours));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(CreateFastSocket(scene.ring, scene.provider, NULL, scene.outbound,
                                        scene.handle, NULL, 0, 0, 0, recordEvent, &scene.ours));
    ck_assert_int_eq(errno, EINVAL);
    runIdle(scene.ring);
    expectUnharmed();
}

/* §2.2 ring, provider, inbound: of the same ring */
CASE(create, refusesForeignRing)
{
    struct Scene other;

    pairStream(scene.pair);
    sceneOpen(&other, (struct SceneOptions){0});
    ck_assert_ptr_null(CreateFastSocket(scene.ring, other.provider, scene.inbound,
                                        scene.outbound, scene.handle, NULL, 0, 0, 0, recordEvent,
                                        &scene.ours));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(CreateFastSocket(scene.ring, scene.provider, other.inbound,
                                        scene.outbound, scene.handle, NULL, 0, 0, 0, recordEvent,
                                        &scene.ours));
    ck_assert_int_eq(errno, EINVAL);
    sceneClose(&other);
    expectUnharmed();
}

/* §2.2 ring, provider, inbound: a pool of no ring serves as well */
CASE(create, takesPoolOfItsOwn)
{
    struct FastBufferPool* pool = CreateFastBufferPool(NULL);
    struct FastBuffer* buffer = NULL;

    pairStream(scene.pair);
    scene.ours.socket = CreateFastSocket(scene.ring, scene.provider, pool, pool, scene.handle, NULL,
                                         0, 0, 0, recordEvent, &scene.ours);
    ck_assert_ptr_nonnull(scene.ours.socket);
    for (int round = 0; round < 200; round++) {
        sendText(scene.peer, "in");
        waitInput(&scene.ours, 2);
        buffer = ReceiveFastSocketBuffer(scene.ours.socket);
        ck_assert_ptr_nonnull(buffer);
        ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, 0, 2, 0), 0);
        waitDrained(&scene.ours);
        expectText(scene.peer, "in");
    }
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    ReleaseFastRingBufferProvider(scene.provider, ReleaseRingFastBuffer);
    scene.provider = NULL;
    runIdle(scene.ring);
    ReleaseFastBufferPool(pool);
}

static int passedOn;

static void* passOn(size_t size, void* closure)
{
    passedOn++;
    return AllocateRingFastBuffer(size, closure);
}

/* §2.2 ring, provider, inbound: what makes the buffers is known by them, not by its address; and it
 * is asked for each that it was promised to be asked for */
CASE(create, takesProviderOfWhoeverMakesBuffers)
{
    struct FastBufferPool* pool = CreateFastBufferPool(scene.ring);
    struct FastRingBufferProvider* other;

    ck_assert_ptr_nonnull(pool);
    passedOn = 0;
    other = CreateFastRingBufferProvider(scene.ring, 0, 4, 4096, passOn, pool);
    ck_assert_ptr_nonnull(other);
    ck_assert_int_eq(passedOn, 4);
    pairStream(scene.pair);
    scene.ours.socket = CreateFastSocket(scene.ring, other, scene.inbound, scene.outbound,
                                         scene.handle, NULL, 0, 0, 0, recordEvent, &scene.ours);
    ck_assert_ptr_nonnull(scene.ours.socket);
    ReleaseFastBufferPool(pool); /* the provider holds it, as it does for the function itself */
    sendText(scene.peer, "made by whom?");
    waitInput(&scene.ours, 13);
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    ReleaseFastRingBufferProvider(other, ReleaseRingFastBuffer);
    runIdle(scene.ring);
}

static void* allocatePlain(size_t size, void* closure)
{
    (void)closure;
    return malloc(size);
}

/* §2.2 ring, provider, inbound: the provider is made with AllocateRingFastBuffer */
CASE(create, refusesProviderOfOtherMemory)
{
    struct FastRingBufferProvider* plain = CreateFastRingBufferProvider(scene.ring, 0, 4, 4096,
                                                                        allocatePlain, NULL);

    ck_assert_ptr_nonnull(plain);
    pairStream(scene.pair);
    ck_assert_ptr_null(CreateFastSocket(scene.ring, plain, scene.inbound, scene.outbound,
                                        scene.handle, NULL, 0, 0, 0, recordEvent, &scene.ours));
    ck_assert_int_eq(errno, EINVAL);
    ReleaseFastRingBufferProvider(plain, free);
    expectUnharmed();
}

/* §2.2 ring, provider, inbound: a function that gets a pool, and makes nothing of it; what was made
 * of that pool before is none of its */
CASE(create, refusesProviderOfMemoryBesideAPool)
{
    void* buffer = AllocateRingFastBuffer(4096, scene.inbound);
    struct FastRingBufferProvider* plain = CreateFastRingBufferProvider(
        scene.ring, 0, 4, 4096, allocatePlain, scene.inbound);

    ck_assert_ptr_nonnull(buffer);
    ck_assert_ptr_nonnull(plain);
    pairStream(scene.pair);
    ck_assert_ptr_null(CreateFastSocket(scene.ring, plain, scene.inbound, scene.outbound,
                                        scene.handle, NULL, 0, 0, 0, recordEvent, &scene.ours));
    ck_assert_int_eq(errno, EINVAL);
    ReleaseFastRingBufferProvider(plain, free);
    ReleaseRingFastBuffer(buffer);
    expectUnharmed();
}

/* §2.2 outbound: may be NULL */
CASE(create, receivesWithoutOutbound)
{
    struct iovec vector = {"x", 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    struct FastBuffer* buffer = NULL;

    pairStream(scene.pair);
    scene.ours.socket = CreateFastSocket(scene.ring, scene.provider, scene.inbound, NULL,
                                       scene.handle, NULL, 0, 0, 0, recordEvent, &scene.ours);
    ck_assert_ptr_nonnull(scene.ours.socket);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0), -EINVAL);
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), -EINVAL);
    sendText(scene.peer, "pass me on");
    waitInput(&scene.ours, 10);
    buffer = ReceiveFastSocketBuffer(scene.ours.socket);
    ck_assert_ptr_nonnull(buffer);
    ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, 0, 10, 0), 0);
    waitDrained(&scene.ours);
    expectText(scene.peer, "pass me on");
}

/* §2.2 handle, §2.2 returns: an open descriptor */
CASE(create, refusesBadHandle)
{
    int handle = dup(0);

    close(handle);
    ck_assert_ptr_null(create(-1, NULL, 0, 0));
    ck_assert_int_eq(errno, EBADF);
    ck_assert_ptr_null(create(handle, NULL, 0, 0));
    ck_assert_int_eq(errno, EBADF);
    ck_assert_ptr_null(create(INT32_MAX, NULL, 0, 0));
    ck_assert_int_eq(errno, EBADF);
}

/* §2.2 handle kinds, §2.2 returns: not a socket */
CASE(create, refusesFiles)
{
    int file = open("/dev/null", O_RDWR);
    int pipes[2];

    ck_assert_int_eq(pipe(pipes), 0);
    refuse(ENOTSOCK, pipes[0], NULL, 0, 0);
    refuse(ENOTSOCK, file, NULL, 0, 0);
    close(pipes[0]);
    close(pipes[1]);
    close(file);
}

/* §2.2 handle kinds, §2.2 returns: listening */
CASE(create, refusesListener)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    int handle = listenTcp(&address, &length);

    refuse(EOPNOTSUPP, handle, NULL, 0, 0);
    close(handle);
}

/* §2.2 not yet connected TCP, §2.2 returns: never connected */
CASE(create, refusesNeverConnected)
{
    int handle = socket(AF_INET, SOCK_STREAM, 0);

    refuse(ENOTCONN, handle, NULL, 0, 0);
    close(handle);
    handle = socket(AF_UNIX, SOCK_STREAM, 0);
    refuse(ENOTCONN, handle, NULL, 0, 0);
    close(handle);
    handle = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    refuse(ENOTCONN, handle, NULL, 0, 0);
    close(handle);
}

/* §2.2 handle kinds: a datagram socket needs no connection */
CASE(create, takesUnconnectedDatagram)
{
    int handle = socket(AF_INET, SOCK_DGRAM, 0);

    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup + scene.ours.in, 0);
    ReleaseFastSocket(scene.ours.socket);
    handle = socket(AF_UNIX, SOCK_DGRAM, 0);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup + scene.ours.in, 0);
}

/* A backlog of 0 holds one: the second connect, whose socket is returned, waits until the first is
 * accepted. */
static int connectWaiting(int* listener, int* first)
{
    struct sockaddr_storage address;
    socklen_t length = 0;
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *listener = listenTcp(&address, &length);
    *first = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(listen(*listener, 0), 0);
    ck_assert_int_eq(connect(*first, (struct sockaddr*)&address, length), 0);
    ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, length), -1);
    ck_assert_int_eq(errno, EINPROGRESS);
    return handle;
}

/* §2.2 not yet connected TCP, §2.4 before connect completes: nothing comes before it resolves,
 * what is queued is sent then */
CASE(create, takesConnecting)
{
    int first = -1;
    int listener = -1;
    int handle = connectWaiting(&listener, &first);
    int accepted[2];

    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    transmitText(scene.ours.socket, "early");
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 5);
    ck_assert_uint_eq(GetFastRingPending(scene.ring), 1);

    accepted[0] = accept(listener, NULL, NULL);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 1);
    accepted[1] = accept(listener, NULL, NULL);
    expectText(accepted[1], "early");
    sendText(accepted[1], "late");
    receiveText(&scene.ours, "late");
    ReleaseFastSocket(scene.ours.socket);
    close(accepted[0]);
    close(accepted[1]);
    close(first);
    close(listener);
}

/* §2.2 not yet connected TCP, §2.1 POLLOUT: with nothing queued, the connection is what is told */
CASE(create, tellsConnectionWhenItIsMade)
{
    int first = -1;
    int listener = -1;
    int handle = connectWaiting(&listener, &first);
    int accepted = -1;

    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, 0);
    accepted = accept(listener, NULL, NULL);
    waitCount(scene.ring, &scene.ours.out, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.events, 1);
    ReleaseFastSocket(scene.ours.socket);
    close(accepted);
    close(first);
    close(listener);
}

static void refusedConnect(struct FastRing* ring, bool transmit)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* keeps the port from others */
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = ownLoopback()};

    ck_assert_int_eq(bind(bound, (struct sockaddr*)&any, sizeof(any)), 0);
    ck_assert_int_eq(getsockname(bound, (struct sockaddr*)&address, &length), 0);
    (void)connect(handle, (struct sockaddr*)&address, length);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    if (transmit) {
        int result = TransmitFastSocketData(scene.ours.socket, NULL, 0, "lost", 4, 0);
        ck_assert_msg((result == 0) || (result == -EPIPE), "%d", result);
    }
    ck_assert_int_eq(scene.ours.events, 0);
    runTurns(ring, 1);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.lastError, ECONNREFUSED);
    ck_assert_int_eq(scene.ours.lastHangup, ECONNREFUSED);
    ck_assert_int_eq(scene.ours.out, 0);
    ck_assert_int_eq(GetFastSocketError(scene.ours.socket), ECONNREFUSED);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "x", 1, 0), -EPIPE);
    ReleaseFastSocket(scene.ours.socket);
    close(bound);
}

/* §2.1 connect refused before Create: reported in the first turn */
CASE(create, tellsRefusedConnect)
{
    refusedConnect(scene.ring, false);
}

/* §2.4 before connect completes, §2.1 connect refused before Create: dropped with the connect
 * error */
CASE(create, dropsOutputOfRefusedConnect)
{
    refusedConnect(scene.ring, true);
}

/* §2.1 connect failure: one POLLERR and one POLLHUP with its errno, no POLLOUT, the queue
 * dropped */
CASE(create, tellsFailedConnect)
{
    for (int transmit = 0; transmit < 2; transmit++) {
        struct sockaddr_storage address;
        socklen_t length = 0;
        int listener = listenTcp(&address, &length);
        int first = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        /* A backlog of 0 holds one: the second connect waits, and finds nobody when it asks
         * again. */
        ck_assert_int_eq(listen(listener, 0), 0);
        ck_assert_int_eq(connect(first, (struct sockaddr*)&address, length), 0);
        ck_assert_int_eq(connect(handle, (struct sockaddr*)&address, length), -1);
        ck_assert_int_eq(errno, EINPROGRESS);
        openRecorded(&scene, handle, NULL, 0, &scene.ours);
        if (transmit)
            transmitText(scene.ours.socket, "never sent");
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.events, 0);
        close(listener);
        waitHangup(&scene.ours);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.in, 0);
        ck_assert_int_eq(scene.ours.out, 0);
        ck_assert_int_eq(scene.ours.lastError, ECONNREFUSED);
        ck_assert_int_eq(scene.ours.err, 1);
        ck_assert_int_eq(scene.ours.hup, 1);
        ck_assert_int_eq(scene.ours.events, 2);
        ck_assert_int_eq(scene.ours.lastHangup, ECONNREFUSED);
        ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), transmit ? 10 : 0);
        ck_assert_uint_eq(GetFastRingPending(scene.ring), 0);
        ReleaseFastSocket(scene.ours.socket);
        close(first);
    }
}

/* §2.2 message, §2.3 GetFastSocketMessageHeader: only the two lengths are used */
CASE(create, copiesMessage)
{
    struct msghdr message;
    struct msghdr* header = NULL;

    memset(&message, 0xa5, sizeof(message));
    message.msg_namelen = 28;
    message.msg_controllen = 64;
    openPairWith(.kind = KIND_UDP, .message = &message);
    header = GetFastSocketMessageHeader(scene.ours.socket);
    memset(&message, 0x5a, sizeof(message));
    ck_assert_ptr_nonnull(header);
    ck_assert_uint_eq(header->msg_namelen, 28);
    ck_assert_uint_eq(header->msg_controllen, 64);
    ck_assert_ptr_null(header->msg_name);
    ck_assert_ptr_null(header->msg_control);
    ck_assert_ptr_null(header->msg_iov);
    ck_assert_uint_eq(header->msg_iovlen, 0);
    ck_assert_int_eq(header->msg_flags, 0);
    sendText(scene.peer, "hello");
    receiveText(&scene.ours, "hello");
    ck_assert_ptr_eq(GetFastSocketMessageHeader(scene.ours.socket), header);
}

/* §2.2 message: room for it and one byte at least */
CASE(create, bordersOfMessage)
{
    struct msghdr message = {.msg_namelen = 2048, .msg_controllen = 2032};

    pairUdp(scene.pair);
    refuse(EINVAL, scene.handle, &message, 0, 0);
    message.msg_namelen = UINT32_MAX;
    refuse(EINVAL, scene.handle, &message, 0, 0);
    message.msg_namelen = 0;
    message.msg_controllen = SIZE_MAX;
    refuse(EINVAL, scene.handle, &message, 0, 0);
    message.msg_controllen = SIZE_MAX - 15;
    refuse(EINVAL, scene.handle, &message, 0, 0);
    message.msg_namelen = 2047;
    message.msg_controllen = 2032;
    openRecorded(&scene, scene.handle, &message, 0, &scene.ours);
    sendText(scene.peer, "x");
    receiveText(&scene.ours, "x");
}

/* §2.2 flags (receive): taken, dropped or refused */
CASE(create, checksFlags)
{
    const int refused[] = {MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_ERRQUEUE,
                           MSG_DONTROUTE, MSG_MORE, MSG_EOR, 1 << 24};
    const int accepted[] = {MSG_CMSG_CLOEXEC, MSG_NOSIGNAL, MSG_DONTWAIT, MSG_WAITALL,
                            MSG_CMSG_CLOEXEC | MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL};

    pairTcp(scene.pair);
    for (size_t index = 0; index < sizeof(refused) / sizeof(refused[0]); index++)
        refuse(EINVAL, scene.handle, NULL, refused[index], 0);
    expectUnharmed();
    for (size_t index = 0; index < sizeof(accepted) / sizeof(accepted[0]); index++) {
        struct msghdr message = {.msg_controllen = 64};
        for (int plain = 0; plain < 2; plain++) {
            pairStream(scene.pair);
            scene.ours.socket = create(scene.handle, plain ? NULL : &message, accepted[index], 0);
            ck_assert_ptr_nonnull(scene.ours.socket);
            sendText(scene.peer, "one");
            receiveText(&scene.ours, "one");
            runIdle(scene.ring);
            sendText(scene.peer, "two");
            receiveText(&scene.ours, "two");
            closePair();
        }
    }
}

/* §2.2 mode: known bits that fit together */
CASE(create, checksMode)
{
    const int refused[] = {1, 2, 8, 0x10, 0x4000, 0x10000, 0x2000000, INT32_MIN, -1};

    pairTcp(scene.pair);
    for (size_t index = 0; index < sizeof(refused) / sizeof(refused[0]); index++)
        refuse(EINVAL, scene.handle, NULL, 0, refused[index]);
    refuse(EINVAL, scene.handle, NULL, 0, FASTSOCKET_MODE_FILE_IO | FASTSOCKET_MODE_ZERO_COPY);
    expectUnharmed();
    ck_assert_int_eq(FASTSOCKET_MODE_REGULAR, 0);
    ck_assert_int_eq(FASTSOCKET_MODE_ZERO_COPY, MSG_ZEROCOPY);
    ck_assert_int_eq(FASTSOCKET_MODE_AUTO_CORK, MSG_MORE);
    ck_assert_int_eq(FASTSOCKET_MODE_FILE_IO, MSG_DONTROUTE);
}

/* §2.2 limit: from one message at a time to whatever is allowed */
CASE(create, takesAnyLimit)
{
    const uint32_t limits[] = {1, 2, 1024, 1025, UINT32_MAX};

    for (size_t index = 0; index < sizeof(limits) / sizeof(limits[0]); index++) {
        uint8_t data[100];
        pairTcp(scene.pair);
        scene.ours.socket = CreateFastSocket(scene.ring, scene.provider, scene.inbound,
                                           scene.outbound, scene.handle, NULL, 0, 0, limits[index],
                                           recordEvent, &scene.ours);
        ck_assert_ptr_nonnull(scene.ours.socket);
        for (uint64_t message = 0; message < 3000; message++)
            transmitPattern(scene.ours.socket, 10, message * 10);
        ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 30000);
        waitDrained(&scene.ours);
        for (uint64_t position = 0; position < 30000; position += sizeof(data)) {
            receiveAll(scene.peer, data, sizeof(data));
            ck_assert(checkPattern(data, sizeof(data), position));
        }
        closePair();
    }
}

/* §2.2 limit: so many messages at once and no more; 0 leaves it to the library */
CASE(create, handsOverNoMoreThanLimit)
{
    const uint32_t limits[] = {0, 1, 4};

    for (size_t index = 0; index < sizeof(limits) / sizeof(limits[0]); index++) {
        uint64_t least = limits[index] > 0 ? 40 / limits[index] : 1;
        uint64_t operations = 0;
        pairTcp(scene.pair);
        scene.ours.socket = CreateFastSocket(scene.ring, scene.provider, scene.inbound,
                                           scene.outbound, scene.handle, NULL, 0, 0, limits[index],
                                           recordEvent, &scene.ours);
        ck_assert_ptr_nonnull(scene.ours.socket);
        runIdle(scene.ring);
        for (uint64_t message = 0; message < 40; message++)
            transmitPattern(scene.ours.socket, 10, message * 10);
        waitDrained(&scene.ours);
        operations = readSocket(scene.ours.socket).sentOperations;
        ck_assert_uint_ge(operations, least);
        ck_assert_uint_le(operations, least + 3);
        closePair();
    }
}

/* §2.2 handle: CLOEXEC is set; blocking or not makes no difference and is not changed */
CASE(create, setsCloseOnExec)
{
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int status = 0;
        ck_assert_int_eq(
            socketpair(AF_UNIX, SOCK_STREAM | (nonblocking ? SOCK_NONBLOCK : 0), 0, scene.pair), 0);
        status = fcntl(scene.handle, F_GETFL);
        openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
        ck_assert_int_eq(fcntl(scene.handle, F_GETFD), FD_CLOEXEC);
        ck_assert_int_eq(fcntl(scene.handle, F_GETFL), status);
        sendText(scene.peer, "ping");
        receiveText(&scene.ours, "ping");
        transmitText(scene.ours.socket, "pong");
        waitDrained(&scene.ours);
        ck_assert_int_eq(fcntl(scene.peer, F_SETFL, 0), 0);
        expectText(scene.peer, "pong");
        closePair();
    }
}

/* §2.2 handle: ours on success */
CASE(create, ownsHandle)
{
    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_int_eq(fcntl(scene.handle, F_GETFD), -1);
}

/* §2.2 function: may be NULL */
CASE(create, worksWithoutHandler)
{
    char data[8] = "";

    pairStream(scene.pair);
    scene.ours.socket = CreateFastSocket(scene.ring, scene.provider, scene.inbound,
                                       scene.outbound, scene.handle, NULL, 0, 0, 0, NULL, NULL);
    ck_assert_ptr_nonnull(scene.ours.socket);
    ck_assert_ptr_null(GetFastSocketClosure(scene.ours.socket));
    sendText(scene.peer, "polled");
    waitInput(&scene.ours, 6);
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, 8, 0), 6);
    ck_assert_str_eq(data, "polled");
    transmitText(scene.ours.socket, "answer");
    waitDrained(&scene.ours);
    expectText(scene.peer, "answer");
    closePeer();
    runIdle(scene.ring);
}

/* §2.2 start: nothing before Create returns; what came before is received */
CASE(create, startsWithFirstTurn)
{
    pairStream(scene.pair);
    sendText(scene.peer, "before");
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    ck_assert_int_eq(scene.ours.events, 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), 0);
    receiveText(&scene.ours, "before");
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.in, 1);
    ck_assert_int_eq(scene.ours.out, 1);
}

/* §2.2 closure, §2.3 GetFastSocketMessageHeader: given back, among the other questions */
CASE(create, answersQuestions)
{
    openPair(KIND_UNIX_STREAM);
    ck_assert_ptr_eq(GetFastSocketClosure(scene.ours.socket), &scene.ours);
    ck_assert_ptr_eq(GetFastSocketRing(scene.ours.socket), scene.ring);
    ck_assert_int_eq(GetFastSocketHandle(scene.ours.socket), scene.handle);
    ck_assert_int_eq(GetFastSocketError(scene.ours.socket), 0);
    ck_assert_ptr_null(GetFastSocketMessageHeader(scene.ours.socket));
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
    ck_assert_uint_eq(readRing(scene.ring).sockets, 1);
}

/* §2.6 NULL: release and abort do nothing, the others refuse it */
CASE(create, answersNull)
{
    struct FastSocketStatistics statistics;
    uint64_t value = 7;
    char byte = 0;

    ck_assert_ptr_null(GetFastSocketClosure(NULL));
    ck_assert_ptr_null(GetFastSocketRing(NULL));
    ck_assert_int_eq(GetFastSocketHandle(NULL), -EINVAL);
    ck_assert_ptr_null(GetFastSocketMessageHeader(NULL));
    ck_assert_uint_eq(GetFastSocketInboundLength(NULL), 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(NULL), 0);
    ck_assert_int_eq(SetFastSocketHandler(NULL, recordEvent, NULL), -EINVAL);
    ck_assert_int_eq(ShutdownFastSocket(NULL), -EINVAL);
    ck_assert_int_eq(PauseFastSocket(NULL), -EINVAL);
    ck_assert_int_eq(ResumeFastSocket(NULL), -EINVAL);
    ck_assert_int_eq(SetFastSocketOption(NULL, FASTSOCKET_OPTION_INBOUND_HIGH, 1), -EINVAL);
    ck_assert_int_eq(GetFastSocketOption(NULL, FASTSOCKET_OPTION_INBOUND_HIGH, &value), -EINVAL);
    ck_assert_uint_eq(value, 7);
    ck_assert_int_eq(GetFastSocketStatistics(NULL, &statistics, sizeof(statistics)), -EINVAL);
    ck_assert_int_eq((int)ReceiveFastSocketData(NULL, &byte, 1, 0), -EINVAL);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(NULL));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(TransmitFastSocketData(NULL, NULL, 0, "x", 1, 0), -EINVAL);
    ck_assert_int_eq(TransmitFastSocketMessage(NULL, NULL, 0), -EINVAL);
    ReleaseFastSocket(NULL);
    AbortFastSocket(NULL);
    (void)GetFastSocketError(NULL);
}
