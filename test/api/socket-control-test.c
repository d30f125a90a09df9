/* Control messages that bring descriptors: SCM_RIGHTS the sender's, SCM_PIDFD one of the sender's
 * process. Whichever way input goes that nobody takes, they are closed. */
#include "fixture.h"

#include <sys/un.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

enum
{
    MESSAGES = 20,
    CONTROL = 256,
};

static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

enum
{
    TYPES = sizeof(types) / sizeof(types[0]),
};

static int before;

SCENE_AREA(control, "control");

static bool hasProcessHandles(void)
{
    int ends[2];
    int on = 1;

    pairUnix(ends, SOCK_STREAM);
    bool has = setsockopt(ends[0], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) == 0;
    close(ends[0]);
    close(ends[1]);
    return has;
}

/* A socket that gets a descriptor of its sender's process with everything. */
static void openPassing(int type, socklen_t control)
{
    struct msghdr header = {.msg_namelen = 8, .msg_controllen = control};
    int on = 1;

    pairUnix(scene.pair, type);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)), 0);
    before = countDescriptors();
    openRecorded(&scene, scene.handle, control > 0 ? &header : NULL, 0, &scene.ours);
}

/* One byte, with a descriptor of the sender's if that is asked for. */
static void sendByte(bool rights)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec vector = {.iov_base = "x", .iov_len = 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    if (rights) {
        struct cmsghdr* entry = (struct cmsghdr*)control;
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(entry), &scene.peer, sizeof(int));
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
    }
    ck_assert_int_eq(sendmsg(scene.peer, &message, MSG_NOSIGNAL), 1);
}

static void sendBytes(void)
{
    for (int index = 0; index < MESSAGES; index++)
        sendByte(index % 2);
}

/* Sends, and waits until all of it is queued. */
static void fill(void)
{
    sendBytes();
    waitInput(&scene.ours, MESSAGES);
}

static void expectNoneLeft(void)
{
    ck_assert_int_eq(countDescriptors(), before);
}

/* Ends both, and looks at what is left besides. */
static void finish(void)
{
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_int_eq(countDescriptors(), before - 2);
}

/* §2.3 passed process descriptors: those in metadata that ReceiveFastSocketData skips are closed */
CASE(control, closesWhatReadingSkips)
{
    if (!hasProcessHandles())
        skipTest("no SO_PASSPIDFD");
    for (int index = 0; index < TYPES; index++) {
        char byte;
        openPassing(types[index], CONTROL);
        fill();
        ck_assert_int_ge(countDescriptors(), before + MESSAGES); /* or nothing is tried */
        for (int count = 0; count < MESSAGES; count++)
            ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 1);
        expectNoneLeft();
        finish();
    }
}

/* §2.3 passed process descriptors: a look at the input (MSG_PEEK) leaves them where they are */
CASE(control, keepsWhatIsOnlyLookedAt)
{
    if (!hasProcessHandles())
        skipTest("no SO_PASSPIDFD");
    for (int index = 0; index < TYPES; index++) {
        char byte;
        openPassing(types[index], CONTROL);
        fill();
        int held = countDescriptors();
        ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, &byte, 1, MSG_PEEK), 1);
        ck_assert_int_eq(countDescriptors(), held);
        finish();
    }
}

/* §2.3 passed process descriptors: what a release drops, and an abort */
CASE(control, closesWhatIsDropped)
{
    if (!hasProcessHandles())
        skipTest("no SO_PASSPIDFD");
    for (int index = 0; index < TYPES; index++) {
        openPassing(types[index], CONTROL);
        fill();
        finish();
        openPassing(types[index], CONTROL);
        fill();
        AbortFastSocket(scene.ours.socket);
        closePeer();
        waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_int_eq(countDescriptors(), before - 2);
    }
}

/* §2.3 passed process descriptors: what still comes while a released connection waits for its
 * end */
CASE(control, closesWhatComesAfterTheRelease)
{
    if (!hasProcessHandles())
        skipTest("no SO_PASSPIDFD");
    for (int index = 0; index < TYPES; index++) {
        if (types[index] == SOCK_DGRAM)
            continue; /* has no end to wait for */
        openPassing(types[index], CONTROL);
        runIdle(scene.ring);
        ReleaseFastSocket(scene.ours.socket);
        runTurns(scene.ring, 4);
        sendBytes();
        runTurns(scene.ring, 4);
        closePeer();
        waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_int_eq(countDescriptors(), before - 2);
    }
}

/* §2.3 passed process descriptors: in control data that had no room for all of it, and where
 * there is none */
CASE(control, closesWhatHadLittleRoom)
{
    static const socklen_t rooms[] = {0, 8, 16, 24, 32, 40, 48};

    if (!hasProcessHandles())
        skipTest("no SO_PASSPIDFD");
    for (int index = 0; index < TYPES; index++) {
        for (size_t room = 0; room < sizeof(rooms) / sizeof(rooms[0]); room++) {
            char byte;
            openPassing(types[index], rooms[room]);
            for (int count = 0; count < MESSAGES; count++) {
                sendByte(count % 2);
                waitInput(&scene.ours, 1);
                ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, &byte, 1, 0), 1);
            }
            expectNoneLeft();
            finish();
        }
    }
}

/* §2.3 passed process descriptors: in the unread input of a socket whose ring ends */
CASE(control, closesWhatTheRingLeaves)
{
    if (!hasProcessHandles())
        skipTest("no SO_PASSPIDFD");
    for (int index = 0; index < TYPES; index++) {
        openPassing(types[index], CONTROL);
        fill();
        endRing();
        closePeer();
        ck_assert_int_le(countDescriptors(), before - 2); /* the ring's own are gone too */
        ReleaseFastSocket(scene.ours.socket);
        reopenScene(.buffers = 64, .bufferLength = 4096);
    }
}

/* Descriptors in a taken message's control data, all of them closed. */
static int closeTaken(struct FastBuffer* buffer)
{
    uint32_t lengths[4]; /* name, control data, payload; flags */
    int count = 0;

    memcpy(lengths, GetFastBufferData(buffer), sizeof(lengths));
    struct msghdr message = {.msg_control = GetFastBufferData(buffer) + sizeof(lengths) + 8,
                             .msg_controllen = lengths[1]};
    for (struct cmsghdr* entry = CMSG_FIRSTHDR(&message); entry != NULL;
         entry = CMSG_NXTHDR(&message, entry)) {
        int handle;
        memcpy(&handle, CMSG_DATA(entry), sizeof(handle));
        if (entry->cmsg_type == SCM_PIDFD || entry->cmsg_type == SCM_RIGHTS) {
            ck_assert_int_eq(close(handle), 0);
            count++;
        }
    }
    return count;
}

/* §2.3 passed process descriptors: their descriptors are the taker's, and nobody else closes
 * them */
CASE(control, leavesToTheTaker)
{
    if (!hasProcessHandles())
        skipTest("no SO_PASSPIDFD");
    for (int index = 0; index < TYPES; index++) {
        int closed = 0;
        openPassing(types[index], CONTROL);
        fill();
        for (;;) {
            struct FastBuffer* buffer = ReceiveFastSocketBuffer(scene.ours.socket);
            if (buffer == NULL)
                break;
            closed += closeTaken(buffer);
            ReleaseFastBuffer(buffer);
        }
        /* A stream glues neighbours of one sender, and tells of the sender once. */
        ck_assert_int_ge(closed, types[index] == SOCK_STREAM ? MESSAGES : MESSAGES + MESSAGES / 2);
        expectNoneLeft();
        finish();
    }
}
