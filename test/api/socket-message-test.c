/* Messages with names and control data, received and sent. */
#include "fixture.h"

#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

enum
{
    ROOM = 256,
    WAITING = 40, /* messages: more than have room */
};

union Control
{
    struct cmsghdr align;
    char data[ROOM];
};

SCENE_AREA(message, "message");

static void openMessages(enum Kind kind, socklen_t name, size_t control)
{
    struct msghdr message = {.msg_namelen = name, .msg_controllen = control};

    openPairWith(.kind = kind, .message = &message);
}

/* A received message, taken apart by liburing's helpers. */
struct Parts
{
    struct FastBuffer* buffer;
    struct msghdr* header;
    struct io_uring_recvmsg_out* out;
    uint8_t* payload;
    size_t size;
};

static struct Parts takeParts(void)
{
    struct Parts parts = {0};
    int length = 0;

    parts.header = GetFastSocketMessageHeader(scene.ours.socket);
    parts.buffer = ReceiveFastSocketBuffer(scene.ours.socket);
    ck_assert_ptr_nonnull(parts.header);
    ck_assert_ptr_nonnull(parts.buffer);
    length = (int)GetFastBufferLength(parts.buffer);
    parts.out = io_uring_recvmsg_validate(GetFastBufferData(parts.buffer), length, parts.header);
    ck_assert_ptr_nonnull(parts.out);
    parts.payload = io_uring_recvmsg_payload(parts.out, parts.header);
    parts.size = io_uring_recvmsg_payload_length(parts.out, length, parts.header);
    return parts;
}

/* Builds SCM_RIGHTS with count descriptors. */
static void putRights(struct msghdr* message, union Control* control, const int* handles, int count)
{
    struct cmsghdr* entry = NULL;
    size_t size = (size_t)count * sizeof(int);

    memset(control, 0, sizeof(*control));
    message->msg_control = control->data;
    message->msg_controllen = CMSG_SPACE(size);
    entry = CMSG_FIRSTHDR(message);
    entry->cmsg_level = SOL_SOCKET;
    entry->cmsg_type = SCM_RIGHTS;
    entry->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(entry), handles, size);
}

static void sendRights(int handle, const char* text, const int* handles, int count)
{
    union Control control;
    struct iovec vector = {(char*)(uintptr_t)text, strlen(text)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    putRights(&message, &control, handles, count);
    ck_assert_int_eq(sendmsg(handle, &message, 0), (ssize_t)strlen(text));
}

static int transmitRights(const char* text, const int* handles, int count)
{
    union Control control;
    struct iovec vector = {(char*)(uintptr_t)text, strlen(text)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    int result = 0;

    putRights(&message, &control, handles, count);
    result = TransmitFastSocketMessage(scene.ours.socket, &message, 0);
    memset(&control, 0xff, sizeof(control)); /* it was copied */
    return result;
}

/* Receives text with one descriptor on a plain socket; -1: none came. */
static int receiveRights(int handle, const char* text)
{
    union Control control;
    char data[64] = "";
    struct iovec vector = {data, strlen(text)};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.data, .msg_controllen = ROOM};
    struct cmsghdr* entry = NULL;
    int received = -1;

    ck_assert_int_eq(recvmsg(handle, &message, MSG_CMSG_CLOEXEC), (ssize_t)strlen(text));
    ck_assert_str_eq(data, text);
    entry = CMSG_FIRSTHDR(&message);
    if (entry != NULL) {
        ck_assert_int_eq(entry->cmsg_type, SCM_RIGHTS);
        memcpy(&received, CMSG_DATA(entry), sizeof(received));
    }
    return received;
}

static bool isSameFile(int one, int two)
{
    struct stat first;
    struct stat second;

    ck_assert_int_eq(fstat(one, &first), 0);
    ck_assert_int_eq(fstat(two, &second), 0);
    return (first.st_dev == second.st_dev) && (first.st_ino == second.st_ino);
}

/* §2.3 recvmsg layout: header, name, control data, payload; liburing's helpers fit (F8) */
CASE(message, laysOutMessage)
{
    struct sockaddr_in peer;
    socklen_t length = sizeof(peer);
    struct Parts parts;

    openMessages(KIND_UDP, 128, 64);
    ck_assert_int_eq(getsockname(scene.peer, (struct sockaddr*)&peer, &length), 0);
    sendText(scene.peer, "ten bytes!");
    waitInput(&scene.ours, 10);
    parts = takeParts();
    ck_assert_uint_eq(GetFastBufferLength(parts.buffer), 16 + 128 + 64 + 10);
    ck_assert_uint_eq(parts.out->namelen, sizeof(peer));
    ck_assert_uint_eq(parts.out->controllen, 0);
    ck_assert_uint_eq(parts.out->payloadlen, 10);
    ck_assert_uint_eq(parts.out->flags, 0);
    ck_assert_int_eq(memcmp(io_uring_recvmsg_name(parts.out), &peer, sizeof(peer)), 0);
    ck_assert_uint_eq(parts.size, 10);
    ck_assert_int_eq(memcmp(parts.payload, "ten bytes!", 10), 0);
    ReleaseFastBuffer(parts.buffer);
}

/* §2.3 recvmsg layout, §2.3 truncation: lengths are the real ones, what does not fit is cut */
CASE(message, cutsNameAndPayload)
{
    static char data[5000];
    struct Parts parts;

    if (!hasKind(KIND_UDP6))
        skipTest("no IPv6");
    openMessages(KIND_UDP6, 4, 0);
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(send(scene.peer, data, sizeof(data), 0), sizeof(data));
    waitInput(&scene.ours, 1);
    parts = takeParts();
    ck_assert_uint_eq(parts.out->namelen, sizeof(struct sockaddr_in6));
    ck_assert_int_eq((int)(parts.out->flags & MSG_TRUNC), MSG_TRUNC);
    ck_assert_uint_eq(parts.size, 4096 - 16 - 4);
    ck_assert(checkPattern(parts.payload, parts.size, 0));
    ck_assert_uint_eq(readSocket(scene.ours.socket).receivedTruncated, 1);
    ReleaseFastBuffer(parts.buffer);
    sendText(scene.peer, "next");
    receiveText(&scene.ours, "next");
}

/* §2.3 recvmsg layout: control data */
CASE(message, bringsControlData)
{
    struct Parts parts;
    struct cmsghdr* entry = NULL;
    struct in_pktinfo info;

    openMessages(KIND_UDP, 0, 128);
    ck_assert_int_eq(setsockopt(scene.handle, IPPROTO_IP, IP_PKTINFO, &(int){1}, sizeof(int)), 0);
    sendText(scene.peer, "where");
    waitInput(&scene.ours, 5);
    parts = takeParts();
    for (entry = io_uring_recvmsg_cmsg_firsthdr(parts.out, parts.header);
         (entry != NULL) && ((entry->cmsg_level != IPPROTO_IP) || (entry->cmsg_type != IP_PKTINFO));
         entry = io_uring_recvmsg_cmsg_nexthdr(parts.out, parts.header, entry))
        ;
    ck_assert_ptr_nonnull(entry);
    memcpy(&info, CMSG_DATA(entry), sizeof(info));
    ck_assert_uint_eq(info.ipi_addr.s_addr, ownLoopback());
    ReleaseFastBuffer(parts.buffer);
}

/* §2.3 recvmsg mode: ReceiveFastSocketData gives payload only, on every kind */
CASE(message, skipsMetadata)
{
    for (enum Kind kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        if (!hasKind(kind))
            continue;
        openMessages(kind, 64, 64);
        sendText(scene.peer, "payload");
        receiveText(&scene.ours, "payload");
        sendText(scene.peer, "more of it");
        receiveText(&scene.ours, "more of it");
        closePair();
    }
}

/* §2.3 recvmsg layout, §2.1 queued input at POLLHUP: on a stream: chunks, partial reads, the
 * end */
CASE(message, readsStreamOfMessages)
{
    static uint8_t data[20000];
    uint64_t checked = 0;
    bool whole = false;

    openMessages(KIND_TCP, 64, 64);
    fillPattern(data, sizeof(data), 0);
    sendAll(scene.peer, data, sizeof(data));
    closePeer();
    waitHangup(&scene.ours);
    while (checked < sizeof(data)) {
        whole = !whole;
        if (whole) {
            uint8_t piece[777];
            ssize_t size = ReceiveFastSocketData(scene.ours.socket, piece, sizeof(piece), 0);
            ck_assert_int_gt(size, 0);
            ck_assert(checkPattern(piece, (size_t)size, checked));
            checked += (uint64_t)size;
        } else {
            struct Parts parts = takeParts();
            ck_assert_uint_gt(parts.size, 0);
            ck_assert_uint_eq(parts.out->payloadlen, parts.size);
            ck_assert(checkPattern(parts.payload, parts.size, checked));
            checked += parts.size;
            ReleaseFastBuffer(parts.buffer);
        }
    }
    ck_assert_int_eq(scene.ours.lastHangup, 0);
}

/* §2.3 empty datagram: with metadata */
CASE(message, bringsEmptyMessage)
{
    struct Parts parts;

    openMessages(KIND_UDP, 32, 0);
    ck_assert_int_eq(send(scene.peer, "", 0, 0), 0);
    waitCount(scene.ring, &scene.ours.in, 1);
    ck_assert_int_eq(scene.ours.parameterIn, 0);
    parts = takeParts();
    ck_assert_uint_eq(parts.size, 0);
    ck_assert_uint_eq(parts.out->namelen, sizeof(struct sockaddr_in));
    ReleaseFastBuffer(parts.buffer);
    sendText(scene.peer, "next");
    receiveText(&scene.ours, "next");
}

static const enum Kind rightsKinds[] = {KIND_UNIX_STREAM, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};

/* §2.3 ancillary descriptors: with ReceiveFastSocketBuffer they are the caller's */
CASE(message, receivesDescriptors)
{
    for (size_t index = 0; index < 3; index++) {
        struct Parts parts;
        struct cmsghdr* entry = NULL;
        int handles[2];
        int pipes[2];
        ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
        openMessages(rightsKinds[index], 0, ROOM);
        sendRights(scene.peer, "here", pipes, 2);
        waitInput(&scene.ours, 4);
        parts = takeParts();
        entry = io_uring_recvmsg_cmsg_firsthdr(parts.out, parts.header);
        ck_assert_ptr_nonnull(entry);
        ck_assert_int_eq(entry->cmsg_type, SCM_RIGHTS);
        ck_assert_uint_eq(entry->cmsg_len, CMSG_LEN(sizeof(handles)));
        memcpy(handles, CMSG_DATA(entry), sizeof(handles));
        ReleaseFastBuffer(parts.buffer);
        closePair();
        waitFor(scene.ring, isNothingPending, scene.ring);
        for (int which = 0; which < 2; which++) {
            ck_assert(isSameFile(handles[which], pipes[which]));
            close(handles[which]);
            close(pipes[which]);
        }
    }
}

/* §2.3 ancillary descriptors, §2.2 flags (receive): MSG_CMSG_CLOEXEC */
CASE(message, setsCloseOnExec)
{
    struct msghdr message = {.msg_controllen = ROOM};

    for (int flag = 0; flag < 2; flag++) {
        struct Parts parts;
        struct cmsghdr* entry = NULL;
        int handle = -1;
        pairStream(scene.pair);
        scene.ours.socket = CreateFastSocket(
            scene.ring, scene.provider, scene.inbound, scene.outbound, scene.handle, &message,
            flag ? MSG_CMSG_CLOEXEC : 0, 0, 0, recordEvent, &scene.ours);
        ck_assert_ptr_nonnull(scene.ours.socket);
        sendRights(scene.peer, "x", &scene.peer, 1);
        waitInput(&scene.ours, 1);
        parts = takeParts();
        entry = io_uring_recvmsg_cmsg_firsthdr(parts.out, parts.header);
        ck_assert_ptr_nonnull(entry);
        memcpy(&handle, CMSG_DATA(entry), sizeof(handle));
        ck_assert_int_eq(fcntl(handle, F_GETFD), flag ? FD_CLOEXEC : 0);
        close(handle);
        ReleaseFastBuffer(parts.buffer);
        closePair();
    }
}

/* §2.3 ancillary descriptors: closed with data that is dropped or whose control data is skipped */
CASE(message, closesDroppedDescriptors)
{
    for (size_t index = 0; index < 3; index++) {
        for (int way = 0; way < 4; way++) {
            int before = countDescriptors();
            char data[16];
            openMessages(rightsKinds[index], 0, ROOM);
            for (int count = 0; count < 5; count++)
                sendRights(scene.peer, "drop", (int[]){scene.peer, scene.peer}, 2);
            waitInput(&scene.ours, 20);
            if (way == 1) {
                /* A peek skips nothing, a partial read skips once. */
                ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, data, 2, MSG_PEEK),
                                 2);
                while (ReceiveFastSocketData(scene.ours.socket, data, 3, 0) > 0)
                    ;
                ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
                ck_assert_int_eq(countDescriptors(), before + 2);
            }
            if (way == 2)
                AbortFastSocket(scene.ours.socket);
            if (way == 3)
                ck_assert_int_eq(PauseFastSocket(scene.ours.socket), 0);
            if (way != 2)
                ReleaseFastSocket(scene.ours.socket);
            /* What comes for a released socket is dropped too. */
            (void)send(scene.peer, "late", 4, MSG_NOSIGNAL | MSG_DONTWAIT);
            closePeer();
            waitFor(scene.ring, isNothingPending, scene.ring);
            ck_assert_int_eq(countDescriptors(), before);
        }
    }
}

/* §2.3 SEQPACKET, §2.3 ancillary descriptors: an empty record with descriptors is no end, also
 * as the very last; nor is one whose descriptors have no room */
CASE(message, bringsEmptyRecordBeforeEnd)
{
    for (int room = 0; room < 2; room++) {
        int before = countDescriptors();
        openMessages(KIND_UNIX_SEQPACKET, 0, room ? ROOM : 0);
        sendRights(scene.peer, "", (int[]){STDERR_FILENO}, 1);
        closePeer();
        waitHangup(&scene.ours);
        ck_assert_int_eq(scene.ours.in, 1);
        ck_assert_int_eq(scene.ours.lastHangup, 0);
        ck_assert_uint_eq(readSocket(scene.ours.socket).receivedMessages, 1);
        ReleaseFastSocket(scene.ours.socket);
        waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_int_eq(countDescriptors(), before);
    }
}

/* §2.3 ancillary descriptors, §2.6 mark released: what lies unread in the kernel, or comes
 * while a released socket drains */
CASE(message, closesDescriptorsAfterRelease)
{
    int before = countDescriptors();

    openMessages(KIND_UNIX_STREAM, 0, ROOM);
    runIdle(scene.ring);
    ReleaseFastSocket(scene.ours.socket);
    for (int count = 0; count < 5; count++)
        sendRights(scene.peer, "late", &scene.peer, 1);
    runIdle(scene.ring);
    closePeer();
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_int_eq(countDescriptors(), before);
}

/* §2.3 recvmsg layout, §2.3 ancillary descriptors: truncated control data is reported by
 * MSG_CTRUNC, no descriptor leaks */
CASE(message, cutsControlData)
{
    int before = countDescriptors();
    struct Parts parts;

    openMessages(KIND_UNIX_DATAGRAM, 0, CMSG_SPACE(sizeof(int)));
    sendRights(scene.peer, "many",
               (int[]){scene.peer, scene.peer, scene.peer, scene.peer, scene.peer, scene.peer}, 6);
    waitInput(&scene.ours, 4);
    parts = takeParts();
    ck_assert_int_eq((int)(parts.out->flags & MSG_CTRUNC), MSG_CTRUNC);
    ck_assert_int_eq(memcmp(parts.payload, "many", 4), 0);
    for (struct cmsghdr* entry = io_uring_recvmsg_cmsg_firsthdr(parts.out, parts.header);
         entry != NULL; entry = io_uring_recvmsg_cmsg_nexthdr(parts.out, parts.header, entry)) {
        for (size_t offset = CMSG_LEN(0); offset + sizeof(int) <= entry->cmsg_len;
             offset += sizeof(int)) {
            int handle = -1;
            memcpy(&handle, (char*)entry + offset, sizeof(handle));
            close(handle);
        }
    }
    ReleaseFastBuffer(parts.buffer);
    sendRights(scene.peer, "dropped", (int[]){scene.peer, scene.peer, scene.peer}, 3);
    waitInput(&scene.ours, 7);
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_int_eq(countDescriptors(), before);
}

/* §2.4 Message control data: SCM_RIGHTS is duplicated at queue time, and the duplicates closed */
CASE(message, sendsDescriptors)
{
    for (size_t index = 0; index < 3; index++) {
        int before = countDescriptors();
        int received = -1;
        int pipes[2];
        int keep = -1;
        ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
        keep = pipes[1];
        openMessages(rightsKinds[index], 0, 0);
        ck_assert_int_eq(transmitRights("take it", &pipes[0], 1), 0);
        ck_assert_int_eq(GetFastSocketOutboundLength(scene.ours.socket), 7);
        close(pipes[0]);
        /* Another file takes the number at once: it must not be the one sent. */
        pipes[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        waitDrained(&scene.ours);
        received = receiveRights(scene.peer, "take it");
        ck_assert_int_ge(received, 0);
        ck_assert(!isSameFile(received, pipes[0]));
        ck_assert_int_eq(write(keep, "x", 1), 1);
        ck_assert_int_eq(read(received, &(char){0}, 1), 1);
        close(received);
        close(keep);
        close(pipes[0]);
        closePair();
        waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_int_eq(countDescriptors(), before);
    }
}

/* Descriptors that a program which is executed would have. */
static int countInherited(void)
{
    int count = 0;

    for (int handle = 0; handle < getdtablesize(); handle++) {
        int flags = fcntl(handle, F_GETFD);
        count += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return count;
}

/* §2.4 Message control data: the duplicates are closed on exec */
CASE(message, duplicatesAreNotInherited)
{
    openPair(KIND_UNIX_STREAM);
    int before = countInherited();
    int descriptors = countDescriptors();
    ck_assert_int_eq(transmitRights("take it", (int[]){STDERR_FILENO}, 1), 0);
    ck_assert_int_eq(countDescriptors(), descriptors + 1);
    ck_assert_int_eq(countInherited(), before);
    waitDrained(&scene.ours);
    close(receiveRights(scene.peer, "take it"));
}

/* §2.4 Message control data: an operation of its own, never gathered with neighbours */
CASE(message, keepsControlDataApart)
{
    int received = -1;

    openMessages(KIND_UNIX_STREAM, 0, 0);
    for (int round = 0; round < 20; round++) {
        transmitText(scene.ours.socket, "before");
        ck_assert_int_eq(transmitRights("with", &scene.peer, 1), 0);
        transmitText(scene.ours.socket, "behind");
    }
    waitDrained(&scene.ours);
    for (int round = 0; round < 20; round++) {
        ck_assert_int_eq(receiveRights(scene.peer, "before"), -1);
        received = receiveRights(scene.peer, "with");
        ck_assert_int_ge(received, 0);
        close(received);
        ck_assert_int_eq(receiveRights(scene.peer, "behind"), -1);
    }
}

/* §2.4 Message control data, §2.4 transient send results: what had to wait for room has its control
 * data still (a kernel of 64 bits reads a program's of 32 again) */
CASE(message, controlDataWaitsForRoom)
{
    for (size_t index = 0; index < sizeof(rightsKinds) / sizeof(rightsKinds[0]); index++) {
        openMessages(rightsKinds[index], 0, 0);
        ck_assert_int_eq(
            setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
        for (int number = 0; number < WAITING; number++)
            ck_assert_int_eq(transmitRights("with", &scene.peer, 1), 0);
        runIdle(scene.ring);
        ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
        for (int number = 0; number < WAITING; number++) {
            struct pollfd state = {.fd = scene.peer, .events = POLLIN};
            while (poll(&state, 1, 0) == 0)
                ck_assert_int_eq(WaitForFastRing(scene.ring, 10, NULL) + scene.ours.err, 0);
            int received = receiveRights(scene.peer, "with");
            ck_assert_int_ge(received, 0);
            close(received);
        }
        waitDrained(&scene.ours);
        ck_assert_int_eq(scene.ours.err, 0);
        ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 0);
        closePair();
        waitFor(scene.ring, isNothingPending, scene.ring);
    }
}

/* §2.4 Message control data, §2.4 short count: with more payload than fits the descriptors are
 * sent once */
CASE(message, sendsDescriptorsOnce)
{
    static uint8_t data[65536];
    static uint8_t back[400000];
    union Control control;
    struct iovec vector = {back, sizeof(back)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    uint64_t checked = 0;
    int rights = 0;

    openMessages(KIND_UNIX_STREAM, 0, 0);
    ck_assert_int_eq(setsockopt(scene.handle, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
    fillPattern(back, sizeof(back), 0);
    putRights(&message, &control, &scene.peer, 1);
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), 0);
    while (checked < sizeof(back)) {
        struct iovec into = {data, sizeof(data)};
        struct msghdr incoming = {
            .msg_iov = &into, .msg_iovlen = 1, .msg_control = control.data, .msg_controllen = ROOM};
        ssize_t size = recvmsg(scene.peer, &incoming, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (size < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
            continue;
        }
        ck_assert(checkPattern(data, (size_t)size, checked));
        checked += (uint64_t)size;
        if (CMSG_FIRSTHDR(&incoming) != NULL) {
            int handle = -1;
            memcpy(&handle, CMSG_DATA(CMSG_FIRSTHDR(&incoming)), sizeof(handle));
            close(handle);
            rights++;
        }
    }
    ck_assert_int_eq(rights, 1);
}

/* §2.4 Message control data, §2.6 flush: descriptors queued at release are sent, at abort
 * closed */
CASE(message, releasesQueuedDescriptors)
{
    for (int abort = 0; abort < 2; abort++) {
        int before = countDescriptors();
        int received = -1;
        openMessages(KIND_UNIX_STREAM, 0, 0);
        ck_assert_int_eq(transmitRights("queued", &scene.peer, 1), 0);
        ck_assert_int_eq(countDescriptors(), before + 3);
        if (abort) {
            AbortFastSocket(scene.ours.socket);
        } else {
            ReleaseFastSocket(scene.ours.socket);
            runIdle(scene.ring);
            received = receiveRights(scene.peer, "queued");
            ck_assert_int_ge(received, 0);
            close(received);
        }
        closePeer();
        waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_int_eq(countDescriptors(), before);
    }
}

/* §2.4 Message control data: descriptors queued when the connection dies are closed */
CASE(message, dropsQueuedDescriptors)
{
    int before = countDescriptors();
    int other = dup(0);

    openMessages(KIND_UNIX_STREAM, 0, 0);
    transmitPattern(scene.ours.socket, 2000000, 0);
    for (int count = 0; count < 10; count++)
        ck_assert_int_eq(transmitRights("queued", &other, 1), 0);
    close(other);
    runIdle(scene.ring);
    closePeer();
    waitHangup(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(countDescriptors(), before + 1);
}

/* §2.4 -EINVAL: a header that claims more than there is */
CASE(message, refusesControlBeyondItsLength)
{
    union Control control;
    struct iovec vector = {"x", 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    int before = 0;

    openPair(KIND_UNIX_STREAM);
    before = countDescriptors();
    putRights(&message, &control, (int[]){scene.peer}, 1);
    ((struct cmsghdr*)message.msg_control)->cmsg_len = CMSG_LEN(40 * sizeof(int));
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), -EINVAL);
    runIdle(scene.ring);
    ck_assert_int_eq(countDescriptors(), before);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
}

/* §2.3 ancillary descriptors: those that are dropped are closed, behind a name of any length */
CASE(message, closesDroppedDescriptorsBehindAnyName)
{
    for (socklen_t length = 100; length < 117; length++) {
        struct msghdr header = {.msg_namelen = length, .msg_controllen = ROOM};
        int before = 0;
        openPairWith(.kind = KIND_UNIX_DATAGRAM, .message = &header);
        runIdle(scene.ring);
        before = countDescriptors();
        sendRights(scene.peer, "x", &scene.peer, 1);
        waitInput(&scene.ours, 1);
        ck_assert_int_eq(countDescriptors(), before + 1);
        ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, &(char){0}, 1, 0), 1);
        ck_assert_int_eq(countDescriptors(), before);
        closePair();
    }
}

/* §2.4 Message control data: also those in a last entry that is not filled up to the alignment,
 * which the kernel takes and CMSG_NXTHDR of some C libraries does not see */
CASE(message, duplicatesWhatTheLastEntryHas)
{
    union Control control;
    char data[8] = "payload";
    struct iovec vector = {data, sizeof(data)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    int before = countDescriptors();
    int handles[2];

    openMessages(KIND_UNIX_STREAM, 0, 0);
    ck_assert_int_eq(pipe2(handles, O_CLOEXEC), 0);
    putRights(&message, &control, &handles[0], 1);
    memcpy(control.data + CMSG_SPACE(sizeof(int)), control.data, CMSG_LEN(0));
    memcpy(control.data + CMSG_SPACE(sizeof(int)) + CMSG_LEN(0), &handles[1], sizeof(int));
    message.msg_controllen = CMSG_SPACE(sizeof(int)) + CMSG_LEN(sizeof(int));
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), 0);
    close(handles[0]);
    close(handles[1]);
    waitDrained(&scene.ours);
    message.msg_controllen = ROOM;
    ck_assert_int_eq(recvmsg(scene.peer, &message, MSG_CMSG_CLOEXEC), sizeof(data));
    ck_assert_uint_eq(CMSG_FIRSTHDR(&message)->cmsg_len, CMSG_LEN(sizeof(handles)));
    memcpy(handles, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(handles));
    close(handles[0]);
    close(handles[1]);
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_int_eq(countDescriptors(), before);
}

/* §2.4 Message control data: -EBADF for a descriptor in SCM_RIGHTS; nothing is queued, nothing
 * leaks */
CASE(message, refusesBadDescriptors)
{
    int before = 0;
    int closed = dup(0);

    openMessages(KIND_UNIX_STREAM, 0, 0);
    close(closed);
    before = countDescriptors();
    ck_assert_int_eq(transmitRights("x", (int[]){scene.peer, closed}, 2), -EBADF);
    ck_assert_int_eq(transmitRights("x", (int[]){-1}, 1), -EBADF);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
    ck_assert_int_eq(countDescriptors(), before);
}

/* §2.4 -EINVAL: control data that is no control data: refused at once, or a failure reported by
 * POLLERR; no crash */
CASE(message, survivesMalformedControlData)
{
    const size_t lengths[] = {0, 1, sizeof(struct cmsghdr) - 1, sizeof(struct cmsghdr) + 1,
                              1000, SIZE_MAX};

    for (size_t index = 0; index < sizeof(lengths) / sizeof(lengths[0]); index++) {
        union Control control;
        struct iovec vector = {"x", 1};
        struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
        int result = 0;
        openMessages(KIND_UNIX_DATAGRAM, 0, 0);
        putRights(&message, &control, &scene.peer, 1);
        CMSG_FIRSTHDR(&message)->cmsg_len = lengths[index];
        result = TransmitFastSocketMessage(scene.ours.socket, &message, 0);
        ck_assert_msg((result == 0) || (result == -EINVAL) || (result == -EBADF), "%d", result);
        runIdle(scene.ring);
        message.msg_controllen = 3;
        result = TransmitFastSocketMessage(scene.ours.socket, &message, 0);
        ck_assert_msg((result == 0) || (result == -EINVAL), "%d", result);
        message.msg_controllen = ((size_t)64 << 10) + 1; /* more than is taken */
        ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), -EINVAL);
        message.msg_control = NULL;
        message.msg_controllen = 64;
        ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), -EINVAL);
        runIdle(scene.ring);
        closePair();
    }
}

/* §2.4 Message control data: without a byte there is nothing on a stream to carry it; a
 * datagram carries it */
CASE(message, needsBytesOnStream)
{
    union Control control;
    struct msghdr message = {0};
    struct msghdr incoming = {.msg_control = control.data, .msg_controllen = ROOM};
    int handle = -1;

    openMessages(KIND_UNIX_STREAM, 0, 0);
    putRights(&message, &control, &scene.peer, 1);
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), -EINVAL);
    closePair();
    openMessages(KIND_UNIX_DATAGRAM, 0, 0);
    putRights(&message, &control, &scene.peer, 1);
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), 0);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq((int)recvmsg(scene.peer, &incoming, MSG_CMSG_CLOEXEC), 0);
    ck_assert_ptr_nonnull(CMSG_FIRSTHDR(&incoming));
    memcpy(&handle, CMSG_DATA(CMSG_FIRSTHDR(&incoming)), sizeof(handle));
    close(handle);
}

/* §2.4 Message control data: more descriptors than the kernel takes, and none left for the
 * duplicates */
CASE(message, refusesTooManyDescriptors)
{
    static union
    {
        struct cmsghdr align;
        char data[CMSG_SPACE(400 * sizeof(int))];
    } control;
    struct iovec vector = {"x", 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.data};
    struct rlimit limit;
    int before = 0;

    openMessages(KIND_UNIX_STREAM, 0, 0);
    before = countDescriptors();
    message.msg_controllen = sizeof(control.data);
    CMSG_FIRSTHDR(&message)->cmsg_level = SOL_SOCKET;
    CMSG_FIRSTHDR(&message)->cmsg_type = SCM_RIGHTS;
    CMSG_FIRSTHDR(&message)->cmsg_len = CMSG_LEN(400 * sizeof(int));
    for (int index = 0; index < 400; index++)
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)) + (size_t)index * sizeof(int), &scene.peer,
               sizeof(int));
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), -EINVAL);
    ck_assert_int_eq(countDescriptors(), before);

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)scene.peer + 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CMSG_FIRSTHDR(&message)->cmsg_len = CMSG_LEN(20 * sizeof(int));
    message.msg_controllen = CMSG_SPACE(20 * sizeof(int));
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), -EMFILE);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(countDescriptors(), before);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
}

/* §2.4 Message control data, §2.4 address: name, vectors and control data at once; credentials
 * need no descriptors */
CASE(message, sendsWholeMessage)
{
    union Control control;
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    struct iovec vectors[3] = {{"one ", 4}, {NULL, 0}, {"message", 7}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 3, .msg_flags = 0x7fffffff};
    struct cmsghdr* entry = NULL;

    pairUdp(scene.pair);
    ck_assert_int_eq(getsockname(scene.peer, (struct sockaddr*)&address, &length), 0);
    close(scene.handle);
    closePeer();
    scene.handle = socket(AF_INET, SOCK_DGRAM, 0);
    scene.peer = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(bind(scene.peer, (struct sockaddr*)&address, length), 0);
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);

    memset(&control, 0, sizeof(control));
    message.msg_name = &address;
    message.msg_namelen = length;
    message.msg_control = control.data;
    message.msg_controllen = CMSG_SPACE(sizeof(int));
    entry = CMSG_FIRSTHDR(&message);
    entry->cmsg_level = IPPROTO_IP;
    entry->cmsg_type = IP_TTL;
    entry->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(entry), &(int){7}, sizeof(int));
    ck_assert_int_eq(TransmitFastSocketMessage(scene.ours.socket, &message, 0), 0);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.err, 0);
    expectText(scene.peer, "one message");
}
