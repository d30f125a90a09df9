/* What the tests share that need a network of their own: errors that routers would send. */
#ifndef TEST_NETWORK_H
#define TEST_NETWORK_H

#include "fixture.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

/* Gives the case's process a network with loopback alone; false where that is refused. */
static inline bool enterNetwork(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int handle = -1;
    bool up = false;

    if (unshare(CLONE_NEWNET) < 0)
        return false;
    handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (ioctl(handle, SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags |= IFF_UP;
        up = ioctl(handle, SIOCSIFFLAGS, &request) == 0;
    }
    close(handle);
    return up;
}

#define NETWORK_SKIP "a network namespace is needed, which takes root"

/* Whether a program that sets up the network is there and was content; what it complains of is not
 * shown, since a kernel that lacks what it wants is no failure of the test's. */
static inline bool runTool(const char* const* words)
{
    posix_spawn_file_actions_t actions;
    pid_t child = -1;
    int status = -1;

    ck_assert_int_eq(posix_spawn_file_actions_init(&actions), 0);
    ck_assert_int_eq(posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0), 0);
    if (posix_spawnp(&child, words[0], &actions, NULL, (char* const*)words, environ) == 0)
        ck_assert_int_eq(waitpid(child, &status, 0), child);
    posix_spawn_file_actions_destroy(&actions);
    return status == 0;
}

static inline void writeSetting(const char* path, const char* text)
{
    int handle = open(path, O_WRONLY | O_CLOEXEC);

    ck_assert_msg(handle >= 0, "%s: %s", path, strerror(errno));
    ck_assert_int_eq(write(handle, text, strlen(text)), (ssize_t)strlen(text));
    close(handle);
}

static inline struct sockaddr_in loopbackAddress(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* A bound UDP socket; the address gets its port. */
static inline int bindUdp(struct sockaddr_in* address)
{
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof(*address);

    *address = loopbackAddress();
    ck_assert_int_eq(bind(handle, (struct sockaddr*)address, length), 0);
    ck_assert_int_eq(getsockname(handle, (struct sockaddr*)address, &length), 0);
    return handle;
}

static inline uint16_t sumInternet(const void* data, size_t size)
{
    const uint16_t* word = data;
    uint32_t sum = 0;

    for (size_t index = 0; index < size / 2; index++)
        sum += word[index];
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t) ~(sum + (sum >> 16));
}

/* The destination of a datagram from one address of the loopback to another can't be reached:
 * code says why. */
static inline void sendUnreachable(const struct sockaddr_in* from, const struct sockaddr_in* target,
                                   int code)
{
    struct
    {
        struct icmphdr icmp;
        struct iphdr ip;
        struct udphdr udp;
    } packet = {
        .icmp = {.type = ICMP_DEST_UNREACH, .code = (uint8_t)code},
        .ip = {.version = 4,
               .ihl = 5,
               .tot_len = htons(sizeof(struct iphdr) + sizeof(struct udphdr) + 4),
               .ttl = 64,
               .protocol = IPPROTO_UDP,
               .saddr = from->sin_addr.s_addr,
               .daddr = target->sin_addr.s_addr},
        .udp = {.source = from->sin_port,
                .dest = target->sin_port,
                .len = htons(sizeof(struct udphdr) + 4)},
    };
    int handle = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);

    if (code == ICMP_FRAG_NEEDED)
        packet.icmp.un.frag.mtu = htons(1400);
    packet.ip.check = sumInternet(&packet.ip, sizeof(packet.ip));
    packet.icmp.checksum = sumInternet(&packet, sizeof(packet));
    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(
        sendto(handle, &packet, sizeof(packet), 0, (const struct sockaddr*)from, sizeof(*from)),
        (ssize_t)sizeof(packet));
    close(handle);
}

#endif
