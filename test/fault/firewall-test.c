/*
 * A real firewall of the kernel's own, in a network of the case's: what it drops on its way out
 * fails with EPERM for datagrams, and is silence for TCP; what it rejects is an error or a reset.
 */
#include "load.h"
#include "network.h"

SCENE_AREA(firewall, "firewall");

/* ---- nft ---- */

static bool commandFirewall(const char* command)
{
    return runTool((const char* const[]){"nft", command, NULL});
}

static bool raiseFirewall(void)
{
    return enterNetwork() &&
           commandFirewall("add table ip fault; add chain ip fault out "
                           "{ type filter hook output priority 0; }");
}

#define FIREWALL_SKIP "nft and a network of its own are needed, which takes root and netfilter"

/* What goes to the port has this end from now on; NULL: its own. */
static void ruleFor(const char* protocol, uint16_t port, const char* verdict)
{
    char command[128];

    ck_assert(commandFirewall("flush chain ip fault out"));
    if (verdict == NULL)
        return;
    snprintf(command, sizeof(command), "add rule ip fault out %s dport %u %s", protocol,
             ntohs(port), verdict);
    ck_assert(commandFirewall(command));
}

/* ---- datagrams ---- */

static struct sockaddr_in addresses[2];

static void openUdp(void)
{
    for (int index = 0; index < 2; index++)
        scene.pair[index] = bindUdp(&addresses[index]);
    for (int index = 0; index < 2; index++)
        ck_assert_int_eq(connect(scene.pair[index], (struct sockaddr*)&addresses[1 - index],
                                 sizeof(addresses[0])),
                         0);
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    waitCount(scene.ring, &scene.ours.out, 1);
}

static void expectArrival(const char* text)
{
    char data[64] = "";

    while (recv(scene.peer, data, sizeof(data) - 1, MSG_DONTWAIT) < 0) {
        ck_assert_int_eq(errno, EAGAIN);
        runTurns(scene.ring, 1);
    }
    ck_assert_str_eq(data, text);
}

/* what a firewall drops is an error of the datagram's, each time, and none of the socket's: the
 * next one is sent again */
CASE(firewall, dropsDatagrams)
{
    int rounds = (int)loadOf(20, 2000);

    if (!raiseFirewall())
        skipTest(FIREWALL_SKIP);
    openUdp();
    ruleFor("udp", addresses[1].sin_port, "drop");
    for (int round = 1; round <= rounds; round++) {
        transmitText(scene.ours.socket, "dropped");
        waitCount(scene.ring, &scene.ours.err, round);
        ck_assert_int_eq(scene.ours.lastError, EPERM);
    }
    ruleFor("udp", 0, NULL);
    transmitText(scene.ours.socket, "passed");
    expectArrival("passed");
    ck_assert_int_eq(scene.ours.err, rounds);
    ck_assert_int_eq(scene.ours.hup, 0);
    tell("%d datagrams dropped: POLLERR with EPERM each, the next one passed", rounds);
    closePair();
}

/* of datagrams that go together those for a closed port fail, and the others arrive */
CASE(firewall, dropsSomeOfMany)
{
    struct sockaddr_in other;
    int reader = -1;
    char data[64];
    int arrived = 0;

    if (!raiseFirewall())
        skipTest(FIREWALL_SKIP);
    scene.pair[0] = bindUdp(&addresses[0]);
    scene.pair[1] = bindUdp(&addresses[1]);
    reader = bindUdp(&other);
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    waitCount(scene.ring, &scene.ours.out, 1);
    ruleFor("udp", addresses[1].sin_port, "drop");
    for (int index = 0; index < 20; index++) {
        struct sockaddr_in* target = (index & 1) ? &addresses[1] : &other;
        ck_assert_int_eq(TransmitFastSocketData(scene.ours.socket, (struct sockaddr*)target,
                                                sizeof(*target), "some", 4, 0),
                         0);
    }
    while (arrived < 10) {
        if (recv(reader, data, sizeof(data), MSG_DONTWAIT) == 4)
            arrived++;
        else
            runTurns(scene.ring, 1);
    }
    waitCount(scene.ring, &scene.ours.out, 2);
    ck_assert_int_ge(scene.ours.err, 1); /* those of a turn are merged */
    ck_assert_int_eq(scene.ours.lastError, EPERM);
    ck_assert_int_eq(scene.ours.hup, 0);
    ck_assert_int_eq(recv(scene.peer, data, sizeof(data), MSG_DONTWAIT), -1);
    close(reader);
    closePair();
}

/* ---- connections ---- */

static uint16_t openTcp(void)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);

    pairKind(KIND_TCP, scene.pair);
    ck_assert_int_eq(getpeername(scene.handle, (struct sockaddr*)&address, &length), 0);
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    waitCount(scene.ring, &scene.ours.out, 1);
    return address.sin_port;
}

/* a stream whose packets are dropped is silent, and goes on behind that: nothing is lost */
CASE(firewall, dropsAStreamForAWhile)
{
    const uint64_t size = 1000000;
    uint16_t port = 0;

    if (!raiseFirewall())
        skipTest(FIREWALL_SKIP);
    port = openTcp();
    for (int round = 0; round < loadOf(1, 10); round++) {
        ruleFor("tcp", port, "drop");
        transmitPattern(scene.ours.socket, size, (uint64_t)round * size);
        runTurns(scene.ring, 50);
        ruleFor("tcp", port, NULL);
        expectPattern(scene.peer, size, (uint64_t)round * size);
    }
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
    closePair();
}

/* a connection that a firewall resets has its one error, and its end */
CASE(firewall, resetsAStream)
{
    uint16_t port = 0;

    if (!raiseFirewall())
        skipTest(FIREWALL_SKIP);
    port = openTcp();
    ruleFor("tcp", port, "reject with tcp reset");
    transmitPattern(scene.ours.socket, 100000, 0);
    waitHangup(&scene.ours);
    expectFailure(&scene.ours, ECONNRESET);
    closePair();
}

/* … and one that may not begin is refused, in the words of the firewall */
CASE_ROUNDS(firewall, refusesAConnect, 2)
{
    static const char* const verdicts[] = {"reject with tcp reset",
                                           "reject with icmp admin-prohibited"};
    static const int errors[] = {ECONNREFUSED, EHOSTUNREACH};
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    int result = 0;

    if (!raiseFirewall())
        skipTest(FIREWALL_SKIP);
    scene.pair[1] = listenTcp(&address, &length);
    ruleFor("tcp", ((struct sockaddr_in*)&address)->sin_port, verdicts[round]);
    scene.pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(scene.handle, (struct sockaddr*)&address, length) < 0)
        ck_assert_int_eq(errno, EINPROGRESS);
    openRecorded(&scene, scene.handle, NULL, 0, &scene.ours);
    result = TransmitFastSocketData(scene.ours.socket, NULL, 0, "never", 5, 0);
    ck_assert((result == 0) || (result == -EPIPE)); /* it may have failed by now */
    waitHangup(&scene.ours);
    expectFailure(&scene.ours, errors[round]);
    closePair();
}
