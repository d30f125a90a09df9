/* Datagrams of UDP that are sent together: peers see each as it was handed over, whole and in the
 * order of its destination. */
#include "fixture.h"
#include "network.h"

#include <linux/errqueue.h>
#include <linux/if_tun.h>
#include <linux/net_tstamp.h>
#include <liburing.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stddef.h>

SCENE_AREA_OF(run, "run", .buffers = 64, .bufferLength = 65536);

enum
{
    PEERS = 20,
    ROUNDS = 130, /* two runs and more */
    LARGEST = 1400,
};

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* ---- datagrams that say what they are ---- */

static void fill(uint8_t* data, size_t size, uint32_t peer, uint32_t number)
{
    for (size_t index = 0; index < size; index++)
        data[index] = (uint8_t)(peer * 7 + number * 31 + index);
}

static void transmitTo(const struct sockaddr* address, socklen_t length, uint32_t peer,
                       uint32_t number, size_t size)
{
    uint8_t data[65536];
    struct sockaddr_storage copy = {.ss_family = AF_UNSPEC};
    if (length > 0)
        memcpy(&copy, address, length);
    fill(data, size, peer, number);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket,
                                            length > 0 ? (struct sockaddr*)&copy : NULL, length,
                                            data, size, 0),
                     0);
}

static void expectDatagram(int handle, uint32_t peer, uint32_t number, size_t size)
{
    uint8_t wanted[65536];
    uint8_t data[65536];
    fill(wanted, size, peer, number);
    ck_assert_int_eq(recv(handle, data, sizeof(data), MSG_DONTWAIT), (ssize_t)size);
    ck_assert_mem_eq(data, wanted, size);
}

/* Sizes by number: equal; the last of eight shorter; any. */
static size_t sizeOf(int form, uint32_t peer, uint32_t number)
{
    switch (form) {
    case 0:
        return 64;
    case 1:
        return number % 8 == 7 ? 100 : 300;
    case 2:
        return (number * 7919 + peer * 104729) % LARGEST;
    default:
        return number % 5 == 0 ? 0 : 200; /* empty ones among them */
    }
}

static int peers[PEERS];
static struct sockaddr_storage addresses[PEERS];
static socklen_t addressLength;

static void openPeers(int family)
{
    int space = 4 << 20;
    for (int index = 0; index < PEERS; index++) {
        struct sockaddr_in6 address6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
        struct sockaddr_in address4 = loopbackAddress();
        const void* address = family == AF_INET ? (void*)&address4 : (void*)&address6;
        addressLength = family == AF_INET ? sizeof(address4) : sizeof(address6);
        peers[index] = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(peers[index], address, addressLength), 0);
        ck_assert_int_eq(getsockname(peers[index], (struct sockaddr*)&addresses[index],
                                     &addressLength),
                         0);
        setsockopt(peers[index], SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof(space));
    }
    openRecorded(&scene, socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), NULL, 0, &scene.ours);
}

static void closePeers(void)
{
    for (int index = 0; index < PEERS; index++)
        close(peers[index]);
}

/* §2.4 order, §2.4 return 0: to each of several peers, whatever the sizes; nothing is lost, and
 * nothing comes twice */
CASE_ROUNDS(run, reachesEachPeer, 8)
{
    int form = round % 4;
    int family = round < 4 ? AF_INET : AF_INET6;
    if (family == AF_INET6 && !hasKind(KIND_TCP6))
        skipTest("the machine has no IPv6");
    openPeers(family);
    for (uint32_t first = 0; first < ROUNDS; first += 26) { /* as a small receive buffer holds */
        for (uint32_t number = first; number < first + 26; number++)
            for (uint32_t index = 0; index < PEERS; index++)
                transmitTo((struct sockaddr*)&addresses[index], addressLength, index, number,
                           sizeOf(form, index, number));
        waitFor(scene.ring, isNothingPending, scene.ring); /* empty ones have no length */
        for (uint32_t index = 0; index < PEERS; index++)
            for (uint32_t number = first; number < first + 26; number++)
                expectDatagram(peers[index], index, number, sizeOf(form, index, number));
    }
    for (uint32_t index = 0; index < PEERS; index++)
        expectNothing(peers[index]);
    ck_assert_int_eq(scene.ours.err, 0);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 0);
    closePeers();
}

/* Where the kernel takes them together, it is entered less often than there are datagrams. */
CASE(run, needsFewOperations)
{
    openPeers(AF_INET);
    for (uint32_t number = 0; number < 40; number++)
        transmitTo((struct sockaddr*)&addresses[number % 2], addressLength, number % 2, number / 2,
                   64);
    waitDrained(&scene.ours);
    ck_assert_uint_le(readSocket(scene.ours.socket).sentOperations, 8);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, 40 * 64);
    for (uint32_t number = 0; number < 40; number++)
        expectDatagram(peers[number % 2], number % 2, number / 2, 64);
    closePeers();
}

/* ---- a connected socket ---- */

static void openConnected(struct sockaddr_in* theirs)
{
    scene.peer = bindUdp(theirs);
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(handle, (struct sockaddr*)theirs, sizeof(*theirs)), 0);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
}

/* §2.4 order: also of 65 and more, from one turn */
CASE(run, reachesItsPeer)
{
    struct sockaddr_in theirs;
    openConnected(&theirs);
    for (uint32_t number = 0; number < ROUNDS; number++)
        transmitTo(NULL, 0, 0, number, 64);
    waitDrained(&scene.ours);
    for (uint32_t number = 0; number < ROUNDS; number++)
        expectDatagram(scene.peer, 0, number, 64);
    expectNothing(scene.peer);
}

/* §2.1 POLLERR non-fatal (datagram), §2.4 earlier error: a burst to a port that nobody has:
 * refused, told as such, and the next burst arrives where there is somebody again */
CASE(run, survivesAClosedPort)
{
    struct sockaddr_in theirs;
    openConnected(&theirs);
    close(scene.peer);
    for (int round = 1; round <= 3; round++) {
        for (uint32_t number = 0; number < 70; number++)
            transmitTo(NULL, 0, 0, number, 64);
        waitDrained(&scene.ours);
        waitCount(scene.ring, &scene.ours.err, round);
        ck_assert_int_eq(scene.ours.lastError, ECONNREFUSED);
    }
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.hup, 0);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 0); /* all were sent */
    scene.peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(scene.peer, (struct sockaddr*)&theirs, sizeof(theirs)), 0);
    for (uint32_t number = 0; number < 70; number++)
        transmitTo(NULL, 0, 0, number, 64);
    waitDrained(&scene.ours);
    for (uint32_t number = 0; number < 70; number++)
        expectDatagram(scene.peer, 0, number, 64);
}

/* §2.4 TransmitFastSocketBuffer: handed over, and sent together */
CASE(run, takesBuffers)
{
    struct sockaddr_in theirs;
    openConnected(&theirs);
    for (uint32_t number = 0; number < 30; number++) {
        size_t size = number % 10 == 9 ? 20000 : 500;
        struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, size, 0);
        ck_assert_ptr_nonnull(buffer);
        fill(GetFastBufferData(buffer), size, 0, number);
        ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0, buffer, 0, size, 0),
                         0);
    }
    waitDrained(&scene.ours);
    for (uint32_t number = 0; number < 30; number++)
        expectDatagram(scene.peer, 0, number, number % 10 == 9 ? 20000 : 500);
}

/* §2.4 flags (send): pieces (MSG_MORE) make one datagram, and those around them stay theirs */
CASE(run, keepsPiecesTogether)
{
    struct sockaddr_in theirs;
    openConnected(&theirs);
    for (uint32_t number = 0; number < 5; number++)
        transmitTo(NULL, 0, 0, number, 64);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "one ", 4, MSG_MORE), 0);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "two ", 4, MSG_MORE), 0);
    ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, NULL, 0, "six ", 4, 0), 0);
    for (uint32_t number = 5; number < 10; number++)
        transmitTo(NULL, 0, 0, number, 64);
    waitDrained(&scene.ours);
    for (uint32_t number = 0; number < 5; number++)
        expectDatagram(scene.peer, 0, number, 64);
    expectText(scene.peer, "one two six ");
    for (uint32_t number = 5; number < 10; number++)
        expectDatagram(scene.peer, 0, number, 64);
}

/* What the user has set on the descriptor before anything was joined is his: a corked datagram has
 * no borders inside; and what is to be cut at his size is. */
CASE_ROUNDS(run, respectsTheDescriptor, 2)
{
    struct sockaddr_in theirs;
    int handle;
    openConnected(&theirs);
    handle = GetFastSocketHandle(scene.ours.socket);
    for (uint32_t number = 0; number < 2; number++) {
        transmitTo(NULL, 0, 0, number, 64);
        waitDrained(&scene.ours);
    }
    setsockopt(handle, IPPROTO_UDP, round == 0 ? UDP_CORK : UDP_SEGMENT,
               &(int){round == 0 ? 1 : 32}, sizeof(int));
    for (uint32_t number = 2; number < 6; number++)
        transmitTo(NULL, 0, 0, number, 64);
    waitDrained(&scene.ours);
    setsockopt(handle, IPPROTO_UDP, UDP_CORK, &(int){0}, sizeof(int));
    expectDatagram(scene.peer, 0, 0, 64);
    expectDatagram(scene.peer, 0, 1, 64);
    uint8_t wanted[4 * 64];
    uint8_t data[4 * 64 + 1];
    for (uint32_t number = 2; number < 6; number++)
        fill(wanted + (number - 2) * 64, 64, 0, number);
    for (size_t place = 0; place < sizeof(wanted);) {
        ssize_t size = recv(scene.peer, data, sizeof(data), MSG_DONTWAIT);
        ck_assert_int_eq(size, round == 0 ? 4 * 64 : 32);
        ck_assert_mem_eq(data, wanted + place, (size_t)size);
        place += (size_t)size;
    }
    expectNothing(scene.peer);
}

/* … nor where he has asked for a time stamp of each. */
CASE(run, leavesATimeStampForEach)
{
    struct sockaddr_in theirs;
    int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
                SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY;
    openConnected(&theirs);
    int handle = GetFastSocketHandle(scene.ours.socket);
    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)), 0);
    for (uint32_t number = 0; number < 3; number++)
        transmitTo(NULL, 0, 0, number, 64);
    waitDrained(&scene.ours);
    for (uint32_t number = 0; number < 3; number++) {
        struct sock_extended_err error = {0};
        uint8_t control[512];
        struct msghdr message = {.msg_control = control, .msg_controllen = sizeof(control)};
        ck_assert_int_ge(recvmsg(handle, &message, MSG_ERRQUEUE | MSG_DONTWAIT), 0);
        for (struct cmsghdr* each = CMSG_FIRSTHDR(&message); each != NULL;
             each = CMSG_NXTHDR(&message, each))
            if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_RECVERR)
                memcpy(&error, CMSG_DATA(each), sizeof(error));
        ck_assert_int_eq(error.ee_origin, SO_EE_ORIGIN_TIMESTAMPING);
        ck_assert_uint_eq(error.ee_data, number);
        expectDatagram(scene.peer, 0, number, 64);
    }
    ck_assert_int_eq(scene.ours.err, 0);
}

/* ---- … and set later, when bursts have gone out together ---- */

enum
{
    LATE = 20, /* datagrams of a burst that goes together */
};

/* Bursts of some, which are sent together, to a peer that has them all. */
static int openLate(struct sockaddr_in* theirs)
{
    openConnected(theirs);
    for (uint32_t number = 0; number < 3 * LATE; number++) {
        transmitTo(NULL, 0, 0, number, 100);
        if (number % LATE == LATE - 1)
            waitDrained(&scene.ours);
    }
    ck_assert_uint_le(readSocket(scene.ours.socket).sentOperations, 3 * 3);
    for (uint32_t number = 0; number < 3 * LATE; number++)
        expectDatagram(scene.peer, 0, number, 100);
    return GetFastSocketHandle(scene.ours.socket);
}

/* Few, and as many as go together. */
static uint32_t transmitLate(int round)
{
    uint32_t count = round == 0 ? 4 : LATE;
    for (uint32_t number = 0; number < count; number++)
        transmitTo(NULL, 0, 0, number, 100);
    return count;
}

/* §2.4 options of the descriptor: UDP_SEGMENT cuts what is sent from then on */
CASE_ROUNDS(run, isCutFromThenOn, 2)
{
    struct sockaddr_in theirs;
    uint8_t wanted[100];
    int handle = openLate(&theirs);
    ck_assert_int_eq(setsockopt(handle, IPPROTO_UDP, UDP_SEGMENT, &(int){10}, sizeof(int)), 0);
    uint32_t count = transmitLate(round);
    waitDrained(&scene.ours);
    for (uint32_t number = 0; number < count; number++) {
        fill(wanted, sizeof(wanted), 0, number);
        for (size_t place = 0; place < sizeof(wanted); place += 10) {
            uint8_t data[128];
            ck_assert_int_eq(recv(scene.peer, data, sizeof(data), MSG_DONTWAIT), 10);
            ck_assert_mem_eq(data, wanted + place, 10);
        }
    }
    expectNothing(scene.peer);
}

/* §2.4 options of the descriptor: what goes out under UDP_CORK is one datagram */
CASE_ROUNDS(run, isCorkedFromThenOn, 2)
{
    struct sockaddr_in theirs;
    uint8_t wanted[LATE * 100];
    uint8_t data[LATE * 100 + 1];
    int handle = openLate(&theirs);
    ck_assert_int_eq(setsockopt(handle, IPPROTO_UDP, UDP_CORK, &(int){1}, sizeof(int)), 0);
    uint32_t count = transmitLate(round);
    waitDrained(&scene.ours);
    expectNothing(scene.peer);
    ck_assert_int_eq(setsockopt(handle, IPPROTO_UDP, UDP_CORK, &(int){0}, sizeof(int)), 0);
    for (uint32_t number = 0; number < count; number++)
        fill(wanted + (size_t)number * 100, 100, 0, number);
    ck_assert_int_eq(recv(scene.peer, data, sizeof(data), MSG_DONTWAIT), (int)count * 100);
    ck_assert_mem_eq(data, wanted, (size_t)count * 100);
    expectNothing(scene.peer);
}

static uint32_t countStamps(int handle)
{
    uint32_t count = 0;
    uint8_t control[512];
    struct msghdr message = {.msg_control = control, .msg_controllen = sizeof(control)};
    while (recvmsg(handle, &message, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0) {
        message.msg_controllen = sizeof(control);
        count++;
    }
    return count;
}

/* §2.4 options of the descriptor: each datagram has its time stamp from then on */
CASE_ROUNDS(run, isStampedFromThenOn, 2)
{
    struct sockaddr_in theirs;
    int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
                SOF_TIMESTAMPING_OPT_TSONLY;
    int handle = openLate(&theirs);
    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)), 0);
    uint32_t count = transmitLate(round);
    waitDrained(&scene.ours);
    ck_assert_uint_eq(countStamps(handle), count);
    for (uint32_t number = 0; number < count; number++)
        expectDatagram(scene.peer, 0, number, 100);
    ck_assert_int_eq(scene.ours.err, 0);
}

/* ---- what a path takes ---- */

static void setMtu(int mtu)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_mtu = mtu};
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(ioctl(handle, SIOCSIFMTU, &request), 0);
    close(handle);
}

/* Of several, each has a queue of loopback's: pieces of datagrams may pass each other there. */
static void stayOnThisProcessor(void)
{
    cpu_set_t processors;
    CPU_ZERO(&processors);
    CPU_SET(sched_getcpu(), &processors);
    ck_assert_int_eq(sched_setaffinity(0, sizeof(processors), &processors), 0);
}

/* §2.4 transient send results: datagrams that the path takes in pieces only can't be joined: each
 * is sent, in order, and the user hears of nothing; smaller ones still go together */
CASE(run, goesOverANarrowPath)
{
    struct sockaddr_in theirs;
    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    stayOnThisProcessor();
    setMtu(1500);
    openConnected(&theirs);
    for (uint32_t number = 0; number < 10; number++)
        transmitTo(NULL, 0, 0, number, 2000);
    waitDrained(&scene.ours);
    for (uint32_t number = 10; number < 15; number++)
        transmitTo(NULL, 0, 0, number, number == 12 ? 1900 : 2000);
    waitDrained(&scene.ours);
    for (uint32_t number = 0; number < 15; number++)
        expectDatagram(scene.peer, 0, number, number == 12 ? 1900 : 2000);
    uint64_t before = readSocket(scene.ours.socket).sentOperations;
    for (uint32_t number = 15; number < 25; number++)
        transmitTo(NULL, 0, 0, number, 500);
    waitDrained(&scene.ours);
    for (uint32_t number = 15; number < 25; number++)
        expectDatagram(scene.peer, 0, number, 500);
    ck_assert_uint_lt(readSocket(scene.ours.socket).sentOperations - before, 10);
    ck_assert_int_eq(scene.ours.err, 0);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 0);
}

/* §2.1 POLLERR non-fatal (datagram): … and where pieces are forbidden, each fails for itself: none
 * of those that fit is lost with them */
CASE(run, failsWhatDoesNotFit)
{
    struct sockaddr_in theirs;
    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    setMtu(1500);
    openConnected(&theirs);
    ck_assert_int_eq(setsockopt(GetFastSocketHandle(scene.ours.socket), IPPROTO_IP, IP_MTU_DISCOVER,
                                &(int){IP_PMTUDISC_DO}, sizeof(int)),
                     0);
    for (uint32_t number = 0; number < 6; number++)
        transmitTo(NULL, 0, 0, number, number % 3 == 2 ? 1000 : 2000);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    expectDatagram(scene.peer, 0, 2, 1000);
    expectDatagram(scene.peer, 0, 5, 1000);
    expectNothing(scene.peer);
    ck_assert_int_ge(scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.lastError, EMSGSIZE);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 4);
}

/* §2.1 POLLERR non-fatal (datagram): no route: each of a burst fails, told once a turn */
CASE(run, failsWithoutARoute)
{
    struct sockaddr_in nowhere = {.sin_family = AF_INET, .sin_port = htons(9)};
    nowhere.sin_addr.s_addr = htonl(0x0a636363);
    if (!enterNetwork())
        skipTest(NETWORK_SKIP);
    openRecorded(&scene, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), NULL, 0, &scene.ours);
    for (uint32_t number = 0; number < 5; number++)
        transmitTo((struct sockaddr*)&nowhere, sizeof(nowhere), 0, number, 64);
    waitDrained(&scene.ours);
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.lastError, ENETUNREACH);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 5);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, 0);
}

/* §2.1 POLLERR non-fatal (datagram): who sends from port 0 can't be answered, and keeps nobody
 * else's from going together */
CASE(run, answersOthersThanPort0)
{
    struct sockaddr_in nobody = loopbackAddress();
    openPeers(AF_INET);
    nobody.sin_port = 0;
    transmitTo((struct sockaddr*)&nobody, sizeof(nobody), 0, 0, 1);
    transmitTo((struct sockaddr*)&nobody, sizeof(nobody), 0, 1, 1);
    waitDrained(&scene.ours);
    waitCount(scene.ring, &scene.ours.err, 1);
    ck_assert_int_eq(scene.ours.lastError, EINVAL);
    ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 2);
    for (uint32_t number = 0; number < 40; number++)
        transmitTo((struct sockaddr*)&addresses[0], addressLength, 0, number, 64);
    waitDrained(&scene.ours);
    ck_assert_uint_le(readSocket(scene.ours.socket).sentOperations, 8);
    for (uint32_t number = 0; number < 40; number++)
        expectDatagram(peers[0], 0, number, 64);
    closePeers();
}

/* ---- a full send buffer ---- */

/* A network device that nobody answers on, until its neighbour is known: so long the kernel keeps
 * what was sent. Returns what is read from it; -1: there is none. */
static int openDevice(struct ifreq* request)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a080001)};
    char path[128];
    int handle = -1;
    int other = -1;
    *request = (struct ifreq){.ifr_flags = IFF_TAP | IFF_NO_PI};
    if (!enterNetwork())
        return -1;
    handle = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (handle < 0 || ioctl(handle, TUNSETIFF, request) < 0)
        return -1;
    other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(&request->ifr_addr, &address, sizeof(address));
    ck_assert_int_eq(ioctl(other, SIOCSIFADDR, request), 0);
    address.sin_addr.s_addr = htonl(0xffffff00);
    memcpy(&request->ifr_netmask, &address, sizeof(address));
    ck_assert_int_eq(ioctl(other, SIOCSIFNETMASK, request), 0);
    request->ifr_flags = IFF_UP | IFF_RUNNING;
    ck_assert_int_eq(ioctl(other, SIOCSIFFLAGS, request), 0);
    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/neigh/%s/mcast_solicit", request->ifr_name);
    writeSetting(path, "100000"); /* it is looked for as long as the case runs */
    close(other);
    return handle;
}

static void nameNeighbour(const struct ifreq* device, const struct sockaddr_in* address)
{
    struct arpreq request = {.arp_flags = ATF_COM | ATF_PERM, .arp_ha.sa_data = {2, 0, 0, 0, 0, 9}};
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(&request.arp_pa, address, sizeof(*address));
    memcpy(request.arp_dev, device->ifr_name, sizeof(request.arp_dev) - 1);
    ck_assert_int_eq(ioctl(handle, SIOCSARP, &request), 0);
    close(handle);
}

/* The next of ours on the device, others passed over. */
static void expectFrame(int device, uint16_t port, uint32_t number, size_t size)
{
    enum
    {
        ETHERNET = 14,
        HEADERS = ETHERNET + sizeof(struct iphdr) + sizeof(struct udphdr),
    };
    uint8_t frame[4096];
    uint8_t wanted[4096];
    struct udphdr udp = {.dest = 0};
    ssize_t length = 0;
    do {
        length = read(device, frame, sizeof(frame));
        ck_assert_int_gt(length, 0);
        if ((size_t)length >= HEADERS)
            memcpy(&udp, frame + HEADERS - sizeof(udp), sizeof(udp));
    } while ((size_t)length < HEADERS || frame[ETHERNET] >> 4 != 4 || frame[ETHERNET + 9] != 17 ||
             udp.dest != port);
    fill(wanted, size, 0, number);
    ck_assert_int_eq(ntohs(udp.len), (int)(sizeof(udp) + size));
    ck_assert_mem_eq(frame + HEADERS, wanted, size);
}

/* Runs of another socket of the ring, of other sizes, which are received. */
static void transmitBeside(struct Recorder* other)
{
    static const uint8_t data[128];
    uint8_t received[256];
    int pair[2];

    pairUdp(pair);
    openRecorded(&scene, pair[0], NULL, 0, other);
    for (size_t number = 0; number < 9; number++)
        ck_assert_int_eq(TransmitFastSocketData(other->socket, NULL, 0, data, 100 + number / 3, 0),
                         0);
    runIdle(scene.ring);
    for (size_t number = 0; number < 9; number++)
        ck_assert_int_eq(recv(pair[1], received, sizeof(received), MSG_DONTWAIT),
                         100 + (ssize_t)number / 3);
    close(pair[1]);
}

/* §2.4 order, §2.4 transient send results: what the kernel has no room for is sent when there is
 * some, in order, whether the socket blocks or not, and whether or not it goes together */
CASE_ROUNDS(run, waitsForRoom, 4)
{
    static struct Recorder other;
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(9000)};
    struct ifreq request;
    int device = openDevice(&request);
    if (device < 0)
        skipTest("no network device of its own");
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | (round & 1 ? SOCK_NONBLOCK : 0), 0);
    target.sin_addr.s_addr = htonl(0x0a080002);
    ck_assert_int_eq(setsockopt(handle, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
    openRecorded(&scene, handle, NULL, 0, &scene.ours);
    for (uint32_t number = 0; number < ROUNDS; number++)
        transmitTo((struct sockaddr*)&target, sizeof(target), 0, number,
                   round & 2 ? 1 + number * 7919 % LARGEST : 400);
    runIdle(scene.ring);
    ck_assert_uint_gt(GetFastSocketOutboundLength(scene.ours.socket), 0);
    transmitBeside(&other);
    nameNeighbour(&request, &target);
    waitDrained(&scene.ours);
    for (uint32_t number = 0; number < ROUNDS; number++)
        expectFrame(device, target.sin_port, number, round & 2 ? 1 + number * 7919 % LARGEST : 400);
    ck_assert_int_eq(scene.ours.err, 0);
    ReleaseFastSocket(other.socket);
    close(device);
}

/* §2.4 order, §2.4 return 0: what one row waits for, another socket's does not disturb */
CASE(run, sharesTheRing)
{
    static struct Recorder other;
    int to[2];
    for (int turn = 0; turn < 20; turn++) {
        pairUdp(to);
        openRecorded(&scene, to[0], NULL, 0, &scene.ours);
        runIdle(scene.ring);
        for (uint32_t number = 0; number < 9; number++)
            transmitTo(NULL, 0, 0, number, 300 + number / 3);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), 0);
        transmitBeside(&other);
        for (uint32_t number = 0; number < 9; number++)
            expectDatagram(to[1], 0, number, 300 + number / 3);
        ck_assert_int_eq(scene.ours.err, 0);
        ReleaseFastSocket(scene.ours.socket);
        ReleaseFastSocket(other.socket);
        close(to[1]);
    }
}

/* ---- the end ---- */

/* §2.6 flush: what was queued in the turn of the release arrives */
CASE(run, arrivesAfterTheRelease)
{
    openPeers(AF_INET);
    for (uint32_t number = 0; number < 10; number++)
        for (uint32_t index = 0; index < PEERS; index++)
            transmitTo((struct sockaddr*)&addresses[index], addressLength, index, number, 64);
    ReleaseFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    for (uint32_t index = 0; index < PEERS; index++)
        for (uint32_t number = 0; number < 10; number++)
            expectDatagram(peers[index], index, number, 64);
    closePeers();
}

/* §2.6 AbortFastSocket: whatever is queued or in flight, at once */
CASE_ROUNDS(run, isAborted, 2)
{
    openPeers(AF_INET);
    for (uint32_t number = 0; number < 10; number++)
        for (uint32_t index = 0; index < PEERS; index++)
            transmitTo((struct sockaddr*)&addresses[index], addressLength, index, number, 64);
    if (round == 1)
        runTurns(scene.ring, 1);
    AbortFastSocket(scene.ours.socket);
    waitFor(scene.ring, isNothingPending, scene.ring);
    closePeers();
}

/* ---- received together ---- */

/* §2.3 datagram: where the program has set UDP_GRO, and has room for control data, a buffer may
 * hold several datagrams: their size is in the control data */
CASE(run, receivesTogetherWhereAskedFor)
{
    struct msghdr header = {.msg_controllen = CMSG_SPACE(sizeof(int))};
    struct sockaddr_in ours;
    uint8_t data[10 * 1400];
    int handle = bindUdp(&ours);
    ck_assert_int_eq(setsockopt(handle, IPPROTO_UDP, UDP_GRO, &(int){1}, sizeof(int)), 0);
    scene.peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(scene.peer, (struct sockaddr*)&ours, sizeof(ours)), 0);
    ck_assert_int_eq(setsockopt(scene.peer, IPPROTO_UDP, UDP_SEGMENT, &(int){1400}, sizeof(int)),
                     0);
    openRecorded(&scene, handle, &header, 0, &scene.ours);
    fill(data, sizeof(data), 0, 0);
    ck_assert_int_eq(send(scene.peer, data, sizeof(data) - 100, 0), sizeof(data) - 100);
    for (size_t place = 0; place < sizeof(data) - 100;) {
        waitInput(&scene.ours, 1);
        struct FastBuffer* buffer = ReceiveFastSocketBuffer(scene.ours.socket);
        struct msghdr* form = GetFastSocketMessageHeader(scene.ours.socket);
        int length = (int)GetFastBufferLength(buffer);
        struct io_uring_recvmsg_out* out =
            io_uring_recvmsg_validate(GetFastBufferData(buffer), length, form);
        struct cmsghdr* control = io_uring_recvmsg_cmsg_firsthdr(out, form);
        size_t size = io_uring_recvmsg_payload_length(out, length, form);
        ck_assert_mem_eq(io_uring_recvmsg_payload(out, form), data + place, size);
        if (size > 1400) {
            int segment;
            ck_assert_ptr_nonnull(control);
            ck_assert_int_eq(control->cmsg_level, IPPROTO_UDP);
            ck_assert_int_eq(control->cmsg_type, UDP_GRO);
            memcpy(&segment, CMSG_DATA(control), sizeof(segment));
            ck_assert_int_eq(segment, 1400);
        }
        place += size;
        ReleaseFastBuffer(buffer);
    }
}
