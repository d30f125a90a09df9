/*
 * The thread has a list of the packets on their way, in the order of their times. What finds no
 * room there is lost, as in a full queue of a router.
 */
#include "path.h"
#include "network.h"

#include <linux/if_tun.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

enum
{
    NEAR = 0x0a090001,
    FAR = 0x0a090002,
    LARGEST = 2048,
    ROOM = 2048, /* packets on their way */
    REORDER_MS = 10,
    IP_BYTES = 20,
};

struct Packet
{
    struct Packet* next;
    int64_t due; /* nanoseconds, CLOCK_MONOTONIC */
    size_t size;
    uint8_t data[LARGEST];
};

static struct
{
    int device;
    char name[IFNAMSIZ];
    pthread_t thread;
    pthread_mutex_t lock;
    struct PathFaults faults;
    struct PathCounts counts;
    int ended;
    unsigned seed;
    struct Packet* first;
    struct Packet* spare;
    int64_t free; /* when a packet may leave at the bounded rate */
} path = {.device = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static bool happens(int perMille)
{
    return (int)((unsigned)rand_r(&path.seed) % 1000) < perMille;
}

/* ---- packets --------------------------------------------------------------------------------- */

/* A sum of words doesn't know their order: checksums stay right. */
static void exchangeAddresses(uint8_t* packet)
{
    uint8_t source[4];

    memcpy(source, packet + 12, 4);
    memcpy(packet + 12, packet + 16, 4);
    memcpy(packet + 16, source, 4);
}

static void insert(const uint8_t* data, size_t size, int64_t due)
{
    struct Packet* packet = path.spare;
    struct Packet** link = &path.first;

    if (packet == NULL) {
        path.counts.lost++;
        return;
    }
    path.spare = packet->next;
    packet->due = due;
    packet->size = size;
    memcpy(packet->data, data, size);
    while ((*link != NULL) && ((*link)->due <= due))
        link = &(*link)->next;
    packet->next = *link;
    *link = packet;
}

/* Says to the sender that nobody is there. */
static void answerUnreachable(const uint8_t* data)
{
    struct
    {
        struct iphdr ip;
        struct icmphdr icmp;
        uint8_t quoted[IP_BYTES + 8];
    } answer = {
        .ip = {.version = 4,
               .ihl = 5,
               .tot_len = htons(sizeof(answer)),
               .ttl = 64,
               .protocol = IPPROTO_ICMP,
               .saddr = htonl(FAR),
               .daddr = htonl(NEAR)},
        .icmp = {.type = ICMP_DEST_UNREACH, .code = ICMP_HOST_UNREACH},
    };

    memcpy(answer.quoted, data, sizeof(answer.quoted));
    answer.ip.check = sumInternet(&answer.ip, sizeof(answer.ip));
    answer.icmp.checksum = sumInternet(&answer.icmp, sizeof(answer) - sizeof(answer.ip));
    insert((const uint8_t*)&answer, sizeof(answer), 0);
}

static void forward(uint8_t* data, size_t size)
{
    const struct PathFaults* faults = &path.faults;
    int64_t due = now();

    if (happens(faults->lostPerMille)) {
        path.counts.lost++;
        return;
    }
    if (faults->bytesPerSecond > 0) {
        path.free = (path.free > due ? path.free : due) +
                    (int64_t)size * 1000000000 / faults->bytesPerSecond;
        due = path.free;
    }
    due += (int64_t)faults->delayMs * 1000000;
    if (happens(faults->reorderedPerMille)) {
        path.counts.reordered++;
        due += (int64_t)REORDER_MS * 1000000;
    }
    exchangeAddresses(data);
    insert(data, size, due);
    path.counts.passed++;
    if (happens(faults->doubledPerMille)) {
        path.counts.doubled++;
        insert(data, size, due);
    }
}

/* IPv6 looks for neighbours, whom it has not. */
static void take(uint8_t* data, ssize_t size)
{
    if ((size < IP_BYTES + 8) || (data[0] >> 4 != 4))
        return;
    if (path.faults.unreachable)
        answerUnreachable(data);
    else
        forward(data, (size_t)size);
}

static void deliver(void)
{
    while ((path.first != NULL) && (path.first->due <= now())) {
        struct Packet* packet = path.first;
        (void)!write(path.device, packet->data, packet->size); /* the device may be down */
        path.first = packet->next;
        packet->next = path.spare;
        path.spare = packet;
    }
}

static void* carry(void* closure)
{
    uint8_t data[LARGEST];

    (void)closure;
    while (__atomic_load_n(&path.ended, __ATOMIC_ACQUIRE) == 0) {
        struct pollfd state = {.fd = path.device, .events = POLLIN};
        ssize_t size = 0;
        (void)poll(&state, 1, path.first != NULL ? 1 : 20);
        pthread_mutex_lock(&path.lock);
        while ((size = read(path.device, data, sizeof(data))) > 0)
            take(data, size);
        deliver();
        pthread_mutex_unlock(&path.lock);
    }
    return NULL;
}

/* ---- the device ------------------------------------------------------------------------------ */

static void setUp(struct ifreq* request)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(NEAR)};
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(&request->ifr_addr, &address, sizeof(address));
    ck_assert_int_eq(ioctl(handle, SIOCSIFADDR, request), 0);
    address.sin_addr.s_addr = htonl(0xffffff00);
    memcpy(&request->ifr_netmask, &address, sizeof(address));
    ck_assert_int_eq(ioctl(handle, SIOCSIFNETMASK, request), 0);
    request->ifr_flags = IFF_UP | IFF_RUNNING;
    ck_assert_int_eq(ioctl(handle, SIOCSIFFLAGS, request), 0);
    close(handle);
}

bool openPath(void)
{
    static struct Packet packets[ROOM];
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};

    if (!enterNetwork())
        return false;
    path.device = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (path.device < 0)
        return false;
    if (ioctl(path.device, TUNSETIFF, &request) < 0) {
        close(path.device);
        return false;
    }
    memcpy(path.name, request.ifr_name, IFNAMSIZ);
    setUp(&request);
    path.first = NULL;
    path.spare = NULL;
    for (int index = 0; index < ROOM; index++) {
        packets[index].next = path.spare;
        path.spare = &packets[index];
    }
    path.ended = 0;
    path.seed = 1;
    path.faults = (struct PathFaults){0};
    path.counts = (struct PathCounts){0};
    ck_assert_int_eq(pthread_create(&path.thread, NULL, carry, NULL), 0);
    return true;
}

void closePath(void)
{
    __atomic_store_n(&path.ended, 1, __ATOMIC_RELEASE);
    ck_assert_int_eq(pthread_join(path.thread, NULL), 0);
    close(path.device);
    path.device = -1;
}

void setPath(struct PathFaults faults)
{
    pthread_mutex_lock(&path.lock);
    path.faults = faults;
    pthread_mutex_unlock(&path.lock);
}

struct PathCounts countPath(void)
{
    struct PathCounts counts;

    pthread_mutex_lock(&path.lock);
    counts = path.counts;
    pthread_mutex_unlock(&path.lock);
    return counts;
}

void cutPath(void)
{
    struct ifreq request = {.ifr_flags = 0};
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(request.ifr_name, path.name, IFNAMSIZ);
    ck_assert_int_eq(ioctl(handle, SIOCSIFFLAGS, &request), 0);
    close(handle);
}

/* ---- sockets --------------------------------------------------------------------------------- */

static struct sockaddr_in addressOf(uint32_t address, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(address), .sin_port = port};
}

static int bindPath(int type, struct sockaddr_in* address)
{
    int handle = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof(*address);

    *address = addressOf(NEAR, 0);
    ck_assert_int_eq(bind(handle, (struct sockaddr*)address, length), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)address, &length), 0);
    return handle;
}

int listenPath(struct sockaddr_in* address)
{
    int handle = bindPath(SOCK_STREAM, address);

    ck_assert_int_eq(listen(handle, 128), 0);
    address->sin_addr.s_addr = htonl(FAR);
    return handle;
}

void pairPath(int pair[2])
{
    struct sockaddr_in address;
    int listener = listenPath(&address);

    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(pair[0], (struct sockaddr*)&address, sizeof(address)), 0);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(pair[1], 0);
    close(listener);
}

void pairPathUdp(int pair[2])
{
    struct sockaddr_in addresses[2];

    for (int index = 0; index < 2; index++)
        pair[index] = bindPath(SOCK_DGRAM, &addresses[index]);
    for (int index = 0; index < 2; index++) {
        addresses[1 - index].sin_addr.s_addr = htonl(FAR);
        ck_assert_int_eq(connect(pair[index], (struct sockaddr*)&addresses[1 - index],
                                 sizeof(addresses[0])),
                         0);
    }
}
