/* FASTSOCKET_MODE_FILE_IO: what one read gave stays apart from the next, however far behind the
 * program is. */
#include "files.h"

#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

enum
{
    PACKETS = 20,
    MANY = 40000,
};

static int ends[2];

static void setUpOld(void)
{
    setenv("FASTSOCKET_FEATURES_OFF", "0xffffffff", 1);
    openScene();
}

AREA(filePacketOld, "file-packet-old", .open = setUpOld, .close = closeScene);
AREA(filePacket, "file-packet", .open = openScene, .close = closeScene,
     .again = &filePacketOldArea);

/* The next buffer is this and no more. */
static void expectBuffer(const void* data, size_t size)
{
    struct FastBuffer* buffer = ReceiveFastSocketBuffer(scene.ours.socket);

    ck_assert_ptr_nonnull(buffer);
    ck_assert_uint_eq(GetFastBufferLength(buffer), size);
    ck_assert_mem_eq(GetFastBufferData(buffer), data, size);
    ReleaseFastBuffer(buffer);
}

static size_t lengthOf(int index)
{
    return 1 + (size_t)index % 7;
}

/* Writes packets of several lengths; the program reads none of them before the last has come. */
static void receiveBehind(void)
{
    size_t total = 0;

    for (int index = 0; index < PACKETS; index++) {
        writeAll(ends[1], "0123456789", lengthOf(index));
        total += lengthOf(index);
        if (index % 3 == 2)
            waitInput(&scene.ours, total);
    }
    waitInput(&scene.ours, total);
    for (int index = 0; index < PACKETS; index++)
        expectBuffer("0123456789", lengthOf(index));
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
}

/* §2.5 packets: a pipe in packet mode */
CASE(filePacket, keepsPacketsOfPipe)
{
    for (int kind = 0; kind < 2; kind++) {
        if (kind == 0)
            ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        else
            openFifo(ends, 0);
        openFile(&scene, ends[0], &scene.ours);
        ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_DIRECT), 0); /* at any time */
        receiveBehind();
        ReleaseFastSocket(scene.ours.socket);
        close(ends[1]);
    }
}

/* §2.5 packets: each count of an eventfd */
CASE(filePacket, keepsCountsOfEventfd)
{
    const uint64_t one = 1;

    ends[0] = eventfd(5, EFD_CLOEXEC | EFD_SEMAPHORE);
    openFile(&scene, ends[0], &scene.ours);
    waitInput(&scene.ours, 5 * sizeof(one));
    for (int index = 0; index < 5; index++)
        expectBuffer(&one, sizeof(one));
    ReleaseFastSocket(scene.ours.socket);
}

/* §2.5 packets: what a pseudo-terminal's master tells in packet mode, and the lines of a
 * terminal */
CASE(filePacket, keepsPacketsOfTerminal)
{
    int on = 1;

    openTerminal(ends, true);
    ck_assert_int_eq(ioctl(ends[1], TIOCPKT, &on), 0);
    openFile(&scene, ends[1], &scene.ours);
    writeText(ends[0], "first");
    waitInput(&scene.ours, 6);
    writeText(ends[0], "second");
    waitInput(&scene.ours, 13);
    expectBuffer("\0first", 6);
    expectBuffer("\0second", 7);
    ReleaseFastSocket(scene.ours.socket);
    close(ends[0]);

    openTerminal(ends, false);
    openFile(&scene, ends[0], &scene.ours);
    writeText(ends[1], "a line\nanother one\n");
    waitInput(&scene.ours, 19);
    expectBuffer("a line\n", 7);
    expectBuffer("another one\n", 12);
    ReleaseFastSocket(scene.ours.socket);
    close(ends[1]);
}

/* §2.5 packets: those of a network device of the program's own */
CASE(filePacket, keepsPacketsOfTun)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a080001)};
    struct FastBuffer* buffer = NULL;
    int sender = -1;
    int count = 0;
    int handle = -1;

    if (unshare(CLONE_NEWNET) < 0)
        skipTest("no network of its own");
    handle = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (handle < 0 || ioctl(handle, TUNSETIFF, &request) < 0)
        skipTest("no TUN device");
    sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(&request.ifr_addr, &address, sizeof(address));
    ck_assert_int_eq(ioctl(sender, SIOCSIFADDR, &request), 0);
    address.sin_addr.s_addr = htonl(0xffffff00);
    memcpy(&request.ifr_netmask, &address, sizeof(address));
    ck_assert_int_eq(ioctl(sender, SIOCSIFNETMASK, &request), 0);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    ck_assert_int_eq(ioctl(sender, SIOCSIFFLAGS, &request), 0);
    openFile(&scene, handle, &scene.ours);
    address.sin_addr.s_addr = htonl(0x0a080002);
    address.sin_port = htons(9);
    for (int index = 0; index < PACKETS; index++)
        ck_assert_int_eq(
            (int)sendto(sender, "0123456789", 10, 0, (struct sockaddr*)&address, sizeof(address)),
            10);
    waitInput(&scene.ours, (size_t)PACKETS * 38);
    while (count < PACKETS) {
        const uint8_t* packet = NULL;
        size_t length = 0;
        waitInput(&scene.ours, 1);
        buffer = ReceiveFastSocketBuffer(scene.ours.socket);
        packet = GetFastBufferData(buffer);
        length = GetFastBufferLength(buffer);
        if (packet[0] >> 4 == 4) { /* not those by which IPv6 looks for neighbours */
            ck_assert_uint_eq(length, 38);
            ck_assert_uint_eq(((size_t)packet[2] << 8) | packet[3], 38);
            count++;
        }
        ReleaseFastBuffer(buffer);
    }
    ReleaseFastSocket(scene.ours.socket);
    close(sender);
}

/* §2.5 packets: ReceiveFastSocketData reads over their borders, as of any stream */
CASE(filePacket, readsOverBorders)
{
    char data[64] = "";

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_DIRECT), 0);
    openFile(&scene, ends[0], &scene.ours);
    writeText(ends[1], "one ");
    writeText(ends[1], "two ");
    writeText(ends[1], "three");
    waitInput(&scene.ours, 13);
    ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, data, 6, 0), 6);
    ck_assert_str_eq(data, "one tw");
    ck_assert_int_eq((int)ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0), 7);
    ck_assert_mem_eq(data, "o three", 7);
    ReleaseFastSocket(scene.ours.socket);
    close(ends[1]);
}

/* §2.5 packets, §2.3 back-pressure: many small ones hold no multiple of the mark, and none is
 * lost */
CASE(filePacket, boundsMemoryOfPackets)
{
    const uint64_t high = 16 * 1024;
    const uint64_t one = 1;
    uint64_t before = 0;
    int count = 0;

    reopenScene(.buffers = 4, .bufferLength = 65536);
    ends[0] = eventfd(MANY, EFD_CLOEXEC | EFD_SEMAPHORE | EFD_NONBLOCK);
    ends[1] = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    openFile(&scene, ends[0], &scene.ours);
    before = readRing(scene.ring).bufferBytes;
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, high);
    waitFor(scene.ring, hasInput, &scene.ours);
    runIdle(scene.ring);
    ck_assert_uint_gt(readSocket(scene.ours.socket).receivePauses, 0);
    ck_assert_uint_lt(readRing(scene.ring).bufferBytes - before, 18 * high + 4 * 65536);
    while (count < MANY) {
        waitFor(scene.ring, hasInput, &scene.ours);
        expectBuffer(&one, sizeof(one));
        count++;
    }
    runIdle(scene.ring);
    ck_assert_uint_eq(GetFastSocketInboundLength(scene.ours.socket), 0);
    ReleaseFastSocket(scene.ours.socket);
    close(ends[1]);
}

/* §2.5 packets, §2.3 back-pressure: who only looks until a line is whole gets the rest of it,
 * however small the pieces are that it comes in */
CASE(filePacket, lineInSmallPiecesBecomesWhole)
{
    char line[4096];
    ssize_t length = 0;

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    openFile(&scene, ends[0], &scene.ours);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 64 * 1024);
    for (int count = 1; count < 4000; count++) {
        writeText(ends[1], count < 3999 ? "x" : "\n");
        for (int turn = 0; turn < 100 && length < count; turn++) {
            ck_assert_int_eq(WaitForFastRing(scene.ring, 10, NULL), 0);
            length = ReceiveFastSocketData(scene.ours.socket, line, sizeof(line), MSG_PEEK);
        }
        ck_assert_int_eq((int)length, count);
    }
    ck_assert_int_eq(line[length - 1], '\n');
    ReleaseFastSocket(scene.ours.socket);
    close(ends[1]);
}
