/* Messages with names and control data: the recvmsg rows of behaviour.md 2.3 and 2.4. */
#include "fixture.h"

#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

enum
{
    ROOM = 256,
};

union Control
{
    struct cmsghdr align;
    char data[ROOM];
};

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void openMessages(enum Kind kind, socklen_t name, size_t control)
{
    struct msghdr message = {.msg_namelen = name, .msg_controllen = control};

    pairKind(kind, pair);
    openRecorded(&fixture, pair[0], &message, 0, &recorder);
}

static void release(void)
{
    ReleaseFastSocket(recorder.socket);
    if (pair[1] >= 0)
        close(pair[1]);
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

    parts.header = GetFastSocketMessageHeader(recorder.socket);
    parts.buffer = ReceiveFastSocketBuffer(recorder.socket);
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
    result = TransmitFastSocketMessage(recorder.socket, &message, 0);
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
START_TEST(laysOutMessage)
{
    struct sockaddr_in peer;
    socklen_t length = sizeof(peer);
    struct Parts parts;

    openMessages(KIND_UDP, 128, 64);
    ck_assert_int_eq(getsockname(pair[1], (struct sockaddr*)&peer, &length), 0);
    sendText(pair[1], "ten bytes!");
    waitInput(&recorder, 10);
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
    release();
}
END_TEST

/* §2.3 recvmsg layout, §2.3 truncation: lengths are the real ones, what does not fit is cut */
START_TEST(cutsNameAndPayload)
{
    static char data[5000];
    struct Parts parts;

    if (!hasKind(KIND_UDP6))
        skipTest("no IPv6");
    openMessages(KIND_UDP6, 4, 0);
    fillPattern(data, sizeof(data), 0);
    ck_assert_int_eq(send(pair[1], data, sizeof(data), 0), sizeof(data));
    waitInput(&recorder, 1);
    parts = takeParts();
    ck_assert_uint_eq(parts.out->namelen, sizeof(struct sockaddr_in6));
    ck_assert_int_eq((int)(parts.out->flags & MSG_TRUNC), MSG_TRUNC);
    ck_assert_uint_eq(parts.size, 4096 - 16 - 4);
    ck_assert(checkPattern(parts.payload, parts.size, 0));
    ck_assert_uint_eq(readSocket(recorder.socket).receivedTruncated, 1);
    ReleaseFastBuffer(parts.buffer);
    sendText(pair[1], "next");
    receiveText(&recorder, "next");
    release();
}
END_TEST

/* §2.3 recvmsg layout: control data */
START_TEST(bringsControlData)
{
    struct Parts parts;
    struct cmsghdr* entry = NULL;
    struct in_pktinfo info;

    openMessages(KIND_UDP, 0, 128);
    ck_assert_int_eq(setsockopt(pair[0], IPPROTO_IP, IP_PKTINFO, &(int){1}, sizeof(int)), 0);
    sendText(pair[1], "where");
    waitInput(&recorder, 5);
    parts = takeParts();
    for (entry = io_uring_recvmsg_cmsg_firsthdr(parts.out, parts.header);
         (entry != NULL) && ((entry->cmsg_level != IPPROTO_IP) || (entry->cmsg_type != IP_PKTINFO));
         entry = io_uring_recvmsg_cmsg_nexthdr(parts.out, parts.header, entry))
        ;
    ck_assert_ptr_nonnull(entry);
    memcpy(&info, CMSG_DATA(entry), sizeof(info));
    ck_assert_uint_eq(info.ipi_addr.s_addr, htonl(INADDR_LOOPBACK));
    ReleaseFastBuffer(parts.buffer);
    release();
}
END_TEST

/* §2.3 recvmsg mode: ReceiveFastSocketData gives payload only, on every kind */
START_TEST(skipsMetadata)
{
    for (enum Kind kind = 0; kind < KIND_COUNT; kind++) {
        if (!hasKind(kind))
            continue;
        openMessages(kind, 64, 64);
        sendText(pair[1], "payload");
        receiveText(&recorder, "payload");
        sendText(pair[1], "more of it");
        receiveText(&recorder, "more of it");
        release();
    }
}
END_TEST

/* §2.3 recvmsg layout, §2.1 queued input at POLLHUP: on a stream: chunks, partial reads, the
 * end */
START_TEST(readsStreamOfMessages)
{
    static uint8_t data[20000];
    uint64_t checked = 0;
    bool whole = false;

    openMessages(KIND_TCP, 64, 64);
    fillPattern(data, sizeof(data), 0);
    sendAll(pair[1], data, sizeof(data));
    close(pair[1]);
    pair[1] = -1;
    waitHangup(&recorder);
    while (checked < sizeof(data)) {
        whole = !whole;
        if (whole) {
            uint8_t piece[777];
            ssize_t size = ReceiveFastSocketData(recorder.socket, piece, sizeof(piece), 0);
            ck_assert_int_gt(size, 0);
            ck_assert(checkPattern(piece, (size_t)size, checked));
            checked += (uint64_t)size;
        } else {
            struct Parts parts = takeParts();
            ck_assert_uint_gt(parts.size, 0);
            ck_assert(checkPattern(parts.payload, parts.size, checked));
            checked += parts.size;
            ReleaseFastBuffer(parts.buffer);
        }
    }
    ck_assert_int_eq(recorder.lastHangup, 0);
    release();
}
END_TEST

/* §2.3 empty datagram: with metadata */
START_TEST(bringsEmptyMessage)
{
    struct Parts parts;

    openMessages(KIND_UDP, 32, 0);
    ck_assert_int_eq(send(pair[1], "", 0, 0), 0);
    waitCount(fixture.ring, &recorder.in, 1);
    ck_assert_int_eq(recorder.parameterIn, 0);
    parts = takeParts();
    ck_assert_uint_eq(parts.size, 0);
    ck_assert_uint_eq(parts.out->namelen, sizeof(struct sockaddr_in));
    ReleaseFastBuffer(parts.buffer);
    sendText(pair[1], "next");
    receiveText(&recorder, "next");
    release();
}
END_TEST

static const enum Kind rightsKinds[] = {KIND_UNIX_STREAM, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};

/* §2.3 ancillary descriptors: with ReceiveFastSocketBuffer they are the caller's */
START_TEST(receivesDescriptors)
{
    for (size_t index = 0; index < 3; index++) {
        struct Parts parts;
        struct cmsghdr* entry = NULL;
        int handles[2];
        int pipes[2];
        ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
        openMessages(rightsKinds[index], 0, ROOM);
        sendRights(pair[1], "here", pipes, 2);
        waitInput(&recorder, 4);
        parts = takeParts();
        entry = io_uring_recvmsg_cmsg_firsthdr(parts.out, parts.header);
        ck_assert_ptr_nonnull(entry);
        ck_assert_int_eq(entry->cmsg_type, SCM_RIGHTS);
        ck_assert_uint_eq(entry->cmsg_len, CMSG_LEN(sizeof(handles)));
        memcpy(handles, CMSG_DATA(entry), sizeof(handles));
        ReleaseFastBuffer(parts.buffer);
        release();
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        for (int which = 0; which < 2; which++) {
            ck_assert(isSameFile(handles[which], pipes[which]));
            close(handles[which]);
            close(pipes[which]);
        }
    }
}
END_TEST

/* §2.3 ancillary descriptors, §2.2 flags (receive): MSG_CMSG_CLOEXEC */
START_TEST(setsCloseOnExec)
{
    struct msghdr message = {.msg_controllen = ROOM};

    for (int flag = 0; flag < 2; flag++) {
        struct Parts parts;
        struct cmsghdr* entry = NULL;
        int handle = -1;
        pairStream(pair);
        recorder.socket = CreateFastSocket(
            fixture.ring, fixture.provider, fixture.inbound, fixture.outbound, pair[0], &message,
            flag ? MSG_CMSG_CLOEXEC : 0, 0, 0, recordEvent, &recorder);
        ck_assert_ptr_nonnull(recorder.socket);
        sendRights(pair[1], "x", &pair[1], 1);
        waitInput(&recorder, 1);
        parts = takeParts();
        entry = io_uring_recvmsg_cmsg_firsthdr(parts.out, parts.header);
        ck_assert_ptr_nonnull(entry);
        memcpy(&handle, CMSG_DATA(entry), sizeof(handle));
        ck_assert_int_eq(fcntl(handle, F_GETFD), flag ? FD_CLOEXEC : 0);
        close(handle);
        ReleaseFastBuffer(parts.buffer);
        release();
    }
}
END_TEST

/* §2.3 ancillary descriptors: closed with data that is dropped or whose control data is skipped */
START_TEST(closesDroppedDescriptors)
{
    for (size_t index = 0; index < 3; index++) {
        for (int way = 0; way < 4; way++) {
            int before = countDescriptors();
            char data[16];
            openMessages(rightsKinds[index], 0, ROOM);
            for (int count = 0; count < 5; count++)
                sendRights(pair[1], "drop", (int[]){pair[1], pair[1]}, 2);
            waitInput(&recorder, 20);
            if (way == 1) {
                /* A peek skips nothing, a partial read skips once. */
                ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, data, 2, MSG_PEEK), 2);
                while (ReceiveFastSocketData(recorder.socket, data, 3, 0) > 0)
                    ;
                ck_assert_uint_eq(GetFastSocketInboundLength(recorder.socket), 0);
                ck_assert_int_eq(countDescriptors(), before + 2);
            }
            if (way == 2)
                AbortFastSocket(recorder.socket);
            if (way == 3)
                ck_assert_int_eq(PauseFastSocket(recorder.socket), 0);
            if (way != 2)
                ReleaseFastSocket(recorder.socket);
            /* What comes for a released socket is dropped too. */
            (void)send(pair[1], "late", 4, MSG_NOSIGNAL | MSG_DONTWAIT);
            close(pair[1]);
            waitFor(fixture.ring, isNothingPending, fixture.ring);
            ck_assert_int_eq(countDescriptors(), before);
        }
    }
}
END_TEST

/* §2.3 SEQPACKET, §2.3 ancillary descriptors: an empty record with descriptors is no end, also as the very
 * last; nor is one whose descriptors have no room */
START_TEST(bringsEmptyRecordBeforeEnd)
{
    for (int room = 0; room < 2; room++) {
        int before = countDescriptors();
        openMessages(KIND_UNIX_SEQPACKET, 0, room ? ROOM : 0);
        sendRights(pair[1], "", (int[]){STDERR_FILENO}, 1);
        close(pair[1]);
        waitHangup(&recorder);
        ck_assert_int_eq(recorder.in, 1);
        ck_assert_int_eq(recorder.lastHangup, 0);
        ck_assert_uint_eq(readSocket(recorder.socket).receivedMessages, 1);
        ReleaseFastSocket(recorder.socket);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        ck_assert_int_eq(countDescriptors(), before);
    }
}
END_TEST

/* §2.3 ancillary descriptors, §2.6 mark released: what lies unread in the kernel, or comes
 * while a released socket drains */
START_TEST(closesDescriptorsAfterRelease)
{
    int before = countDescriptors();

    openMessages(KIND_UNIX_STREAM, 0, ROOM);
    runIdle(fixture.ring);
    ReleaseFastSocket(recorder.socket);
    for (int count = 0; count < 5; count++)
        sendRights(pair[1], "late", &pair[1], 1);
    runIdle(fixture.ring);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ck_assert_int_eq(countDescriptors(), before);
}
END_TEST

/* §2.3 recvmsg layout, §2.3 ancillary descriptors: truncated control data is told by
 * MSG_CTRUNC, no descriptor leaks */
START_TEST(cutsControlData)
{
    int before = countDescriptors();
    struct Parts parts;

    openMessages(KIND_UNIX_DATAGRAM, 0, CMSG_SPACE(sizeof(int)));
    sendRights(pair[1], "many", (int[]){pair[1], pair[1], pair[1], pair[1], pair[1], pair[1]}, 6);
    waitInput(&recorder, 4);
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
    sendRights(pair[1], "dropped", (int[]){pair[1], pair[1], pair[1]}, 3);
    waitInput(&recorder, 7);
    release();
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ck_assert_int_eq(countDescriptors(), before);
}
END_TEST

/* §2.4 Message control data: SCM_RIGHTS is duplicated at queue time, and the duplicates closed */
START_TEST(sendsDescriptors)
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
        ck_assert_int_eq(GetFastSocketOutboundLength(recorder.socket), 7);
        close(pipes[0]);
        /* Another file takes the number at once: it must not be the one sent. */
        pipes[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        waitDrained(&recorder);
        received = receiveRights(pair[1], "take it");
        ck_assert_int_ge(received, 0);
        ck_assert(!isSameFile(received, pipes[0]));
        ck_assert_int_eq(write(keep, "x", 1), 1);
        ck_assert_int_eq(read(received, &(char){0}, 1), 1);
        close(received);
        close(keep);
        close(pipes[0]);
        release();
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        ck_assert_int_eq(countDescriptors(), before);
    }
}
END_TEST

/* §2.4 Message control data: an operation of its own, never gathered with neighbours */
START_TEST(keepsControlDataApart)
{
    int received = -1;

    openMessages(KIND_UNIX_STREAM, 0, 0);
    for (int round = 0; round < 20; round++) {
        transmitText(recorder.socket, "before");
        ck_assert_int_eq(transmitRights("with", &pair[1], 1), 0);
        transmitText(recorder.socket, "behind");
    }
    waitDrained(&recorder);
    for (int round = 0; round < 20; round++) {
        ck_assert_int_eq(receiveRights(pair[1], "before"), -1);
        received = receiveRights(pair[1], "with");
        ck_assert_int_ge(received, 0);
        close(received);
        ck_assert_int_eq(receiveRights(pair[1], "behind"), -1);
    }
    release();
}
END_TEST

/* §2.4 Message control data, §2.4 short count: with more payload than fits the descriptors are
 * sent once */
START_TEST(sendsDescriptorsOnce)
{
    static uint8_t data[65536];
    static uint8_t back[400000];
    union Control control;
    struct iovec vector = {back, sizeof(back)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    uint64_t checked = 0;
    int rights = 0;

    openMessages(KIND_UNIX_STREAM, 0, 0);
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
    fillPattern(back, sizeof(back), 0);
    putRights(&message, &control, &pair[1], 1);
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), 0);
    while (checked < sizeof(back)) {
        struct iovec into = {data, sizeof(data)};
        struct msghdr incoming = {
            .msg_iov = &into, .msg_iovlen = 1, .msg_control = control.data, .msg_controllen = ROOM};
        ssize_t size = recvmsg(pair[1], &incoming, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (size < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
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
    release();
}
END_TEST

/* §2.4 Message control data, §2.6 flush: descriptors queued at release are sent, at abort
 * closed */
START_TEST(releasesQueuedDescriptors)
{
    for (int abort = 0; abort < 2; abort++) {
        int before = countDescriptors();
        int received = -1;
        openMessages(KIND_UNIX_STREAM, 0, 0);
        ck_assert_int_eq(transmitRights("queued", &pair[1], 1), 0);
        ck_assert_int_eq(countDescriptors(), before + 3);
        if (abort) {
            AbortFastSocket(recorder.socket);
        } else {
            ReleaseFastSocket(recorder.socket);
            runIdle(fixture.ring);
            received = receiveRights(pair[1], "queued");
            ck_assert_int_ge(received, 0);
            close(received);
        }
        close(pair[1]);
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        ck_assert_int_eq(countDescriptors(), before);
    }
}
END_TEST

/* §2.4 Message control data: descriptors queued when the connection dies are closed */
START_TEST(dropsQueuedDescriptors)
{
    int before = countDescriptors();
    int other = dup(0);

    openMessages(KIND_UNIX_STREAM, 0, 0);
    transmitPattern(recorder.socket, 2000000, 0);
    for (int count = 0; count < 10; count++)
        ck_assert_int_eq(transmitRights("queued", &other, 1), 0);
    close(other);
    runIdle(fixture.ring);
    close(pair[1]);
    pair[1] = -1;
    waitHangup(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(countDescriptors(), before + 1);
    release();
}
END_TEST

/* §2.4 -EINVAL: a header that claims more than there is */
START_TEST(refusesControlBeyondItsLength)
{
    union Control control;
    struct iovec vector = {"x", 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    int before = 0;

    pairStream(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    before = countDescriptors();
    putRights(&message, &control, (int[]){pair[1]}, 1);
    ((struct cmsghdr*)message.msg_control)->cmsg_len = CMSG_LEN(40 * sizeof(int));
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), -EINVAL);
    runIdle(fixture.ring);
    ck_assert_int_eq(countDescriptors(), before);
    ck_assert_int_eq(recorder.err + recorder.hup, 0);
    release();
}
END_TEST

/* §2.3 ancillary descriptors: those that are dropped are closed, behind a name of any length */
START_TEST(closesDroppedDescriptorsBehindAnyName)
{
    for (socklen_t length = 100; length < 117; length++) {
        struct msghdr header = {.msg_namelen = length, .msg_controllen = ROOM};
        int before = 0;
        pairUnix(pair, SOCK_DGRAM);
        openRecorded(&fixture, pair[0], &header, 0, &recorder);
        runIdle(fixture.ring);
        before = countDescriptors();
        sendRights(pair[1], "x", &pair[1], 1);
        waitInput(&recorder, 1);
        ck_assert_int_eq(countDescriptors(), before + 1);
        ck_assert_int_eq((int)ReceiveFastSocketData(recorder.socket, &(char){0}, 1, 0), 1);
        ck_assert_int_eq(countDescriptors(), before);
        release();
    }
}
END_TEST

/* §2.4 Message control data: -EBADF for a descriptor in SCM_RIGHTS; nothing is queued, nothing
 * leaks */
START_TEST(refusesBadDescriptors)
{
    int before = 0;
    int closed = dup(0);

    openMessages(KIND_UNIX_STREAM, 0, 0);
    close(closed);
    before = countDescriptors();
    ck_assert_int_eq(transmitRights("x", (int[]){pair[1], closed}, 2), -EBADF);
    ck_assert_int_eq(transmitRights("x", (int[]){-1}, 1), -EBADF);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
    ck_assert_int_eq(countDescriptors(), before);
    release();
}
END_TEST

/* §2.4 -EINVAL: control data that is no control data: refused at once, or a failure told by
 * POLLERR; no crash */
START_TEST(survivesMalformedControlData)
{
    const size_t lengths[] = {0, 1, sizeof(struct cmsghdr) - 1, sizeof(struct cmsghdr) + 1,
                              1000, SIZE_MAX};

    for (size_t index = 0; index < sizeof(lengths) / sizeof(lengths[0]); index++) {
        union Control control;
        struct iovec vector = {"x", 1};
        struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
        int result = 0;
        openMessages(KIND_UNIX_DATAGRAM, 0, 0);
        putRights(&message, &control, &pair[1], 1);
        CMSG_FIRSTHDR(&message)->cmsg_len = lengths[index];
        result = TransmitFastSocketMessage(recorder.socket, &message, 0);
        ck_assert_msg((result == 0) || (result == -EINVAL) || (result == -EBADF), "%d", result);
        runIdle(fixture.ring);
        message.msg_controllen = 3;
        result = TransmitFastSocketMessage(recorder.socket, &message, 0);
        ck_assert_msg((result == 0) || (result == -EINVAL), "%d", result);
        message.msg_control = NULL;
        message.msg_controllen = 64;
        ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), -EINVAL);
        runIdle(fixture.ring);
        release();
    }
}
END_TEST

/* §2.4 Message control data: without a byte there is nothing on a stream to carry it; a
 * datagram carries it */
START_TEST(needsBytesOnStream)
{
    union Control control;
    struct msghdr message = {0};
    struct msghdr incoming = {.msg_control = control.data, .msg_controllen = ROOM};
    int handle = -1;

    openMessages(KIND_UNIX_STREAM, 0, 0);
    putRights(&message, &control, &pair[1], 1);
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), -EINVAL);
    release();
    openMessages(KIND_UNIX_DATAGRAM, 0, 0);
    putRights(&message, &control, &pair[1], 1);
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), 0);
    waitDrained(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq((int)recvmsg(pair[1], &incoming, MSG_CMSG_CLOEXEC), 0);
    ck_assert_ptr_nonnull(CMSG_FIRSTHDR(&incoming));
    memcpy(&handle, CMSG_DATA(CMSG_FIRSTHDR(&incoming)), sizeof(handle));
    close(handle);
    release();
}
END_TEST

/* §2.4 Message control data: more descriptors than the kernel takes, and none left for the
 * duplicates */
START_TEST(refusesTooManyDescriptors)
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
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)) + (size_t)index * sizeof(int), &pair[1],
               sizeof(int));
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), -EINVAL);
    ck_assert_int_eq(countDescriptors(), before);

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)pair[1] + 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CMSG_FIRSTHDR(&message)->cmsg_len = CMSG_LEN(20 * sizeof(int));
    message.msg_controllen = CMSG_SPACE(20 * sizeof(int));
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), -EMFILE);
    limit.rlim_cur = limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(countDescriptors(), before);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
    release();
}
END_TEST

/* §2.4 Message control data, §2.4 address: name, vectors and control data at once; credentials
 * need no descriptors */
START_TEST(sendsWholeMessage)
{
    union Control control;
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    struct iovec vectors[3] = {{"one ", 4}, {NULL, 0}, {"message", 7}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 3, .msg_flags = 0x7fffffff};
    struct cmsghdr* entry = NULL;

    pairUdp(pair);
    ck_assert_int_eq(getsockname(pair[1], (struct sockaddr*)&address, &length), 0);
    close(pair[0]);
    close(pair[1]);
    pair[0] = socket(AF_INET, SOCK_DGRAM, 0);
    pair[1] = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(bind(pair[1], (struct sockaddr*)&address, length), 0);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);

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
    ck_assert_int_eq(TransmitFastSocketMessage(recorder.socket, &message, 0), 0);
    waitDrained(&recorder);
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.err, 0);
    expectText(pair[1], "one message");
    release();
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-message");
    TCase* area = tcase_create("message");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, laysOutMessage);
    tcase_add_test(area, cutsNameAndPayload);
    tcase_add_test(area, bringsControlData);
    tcase_add_test(area, skipsMetadata);
    tcase_add_test(area, readsStreamOfMessages);
    tcase_add_test(area, bringsEmptyMessage);
    tcase_add_test(area, receivesDescriptors);
    tcase_add_test(area, setsCloseOnExec);
    tcase_add_test(area, closesDroppedDescriptors);
    tcase_add_test(area, bringsEmptyRecordBeforeEnd);
    tcase_add_test(area, closesDescriptorsAfterRelease);
    tcase_add_test(area, cutsControlData);
    tcase_add_test(area, sendsDescriptors);
    tcase_add_test(area, keepsControlDataApart);
    tcase_add_test(area, sendsDescriptorsOnce);
    tcase_add_test(area, releasesQueuedDescriptors);
    tcase_add_test(area, dropsQueuedDescriptors);
    tcase_add_test(area, refusesBadDescriptors);
    tcase_add_test(area, refusesControlBeyondItsLength);
    tcase_add_test(area, closesDroppedDescriptorsBehindAnyName);
    tcase_add_test(area, survivesMalformedControlData);
    tcase_add_test(area, needsBytesOnStream);
    tcase_add_test(area, refusesTooManyDescriptors);
    tcase_add_test(area, sendsWholeMessage);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
