/*
 * A path between two addresses that loses, delays, doubles and reorders packets: netem where the
 * kernel has none. It begins and ends on this machine: a TUN device in a network of the case's own,
 * from which a thread reads each packet, exchanges its addresses, and writes it back. So what is
 * sent from NEAR to FAR comes to NEAR from FAR, and both ends of a connection have the kernel's own
 * TCP, which meets real loss.
 */
#ifndef TEST_PATH_H
#define TEST_PATH_H

#include "fixture.h"

#include <netinet/in.h>

/* All zero: each packet arrives at once. */
struct PathFaults
{
    int lostPerMille;
    int doubledPerMille;
    int reorderedPerMille; /* overtaken by those of the next milliseconds */
    int delayMs;
    int bytesPerSecond; /* 0: no bound */
    bool unreachable;   /* each packet is answered by an ICMP error */
};

struct PathCounts
{
    uint64_t passed;
    uint64_t lost;
    uint64_t doubled;
    uint64_t reordered;
};

/* false: a network or a device of our own is refused. */
bool openPath(void);
void closePath(void);

/* From now on. */
void setPath(struct PathFaults faults);
struct PathCounts countPath(void);

/* The device goes down, and packets nowhere. */
void cutPath(void);

/* A listening socket at NEAR; the address is the one to connect to. */
int listenPath(struct sockaddr_in* address);

/* A connection over the path, by system calls that wait. */
void pairPath(int pair[2]);

/* The same of connected UDP sockets. */
void pairPathUdp(int pair[2]);

#define PATH_SKIP "a network device of its own is needed, which takes root"

#endif
