/* What the load and the servers share: how they begin and end, clocks, sockets, messages. */
#ifndef BENCH_H
#define BENCH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

/* ---- begin and end ---- */

/* Says what has failed, and ends with 1. The error may be negative; 0: none. */
noreturn void die(const char* what, int error);

/* Pins the program, puts its end at most life seconds away, and takes all descriptors it may. */
void beginProgram(int cpu, unsigned life);

/* A number among the arguments; ends the program if it is none. */
uint64_t numberOf(const char* text);

void* allocateOrDie(size_t size);
void* growOrDie(void* data, size_t size);

/* Monotonic nanoseconds. */
uint64_t timeNow(void);

/* ---- sockets ---- */

/* Loopback, in host order, and a port. */
struct sockaddr_in addressOf(uint32_t host, uint16_t port);

/* What every TCP socket here has: no delay, and cubic, since bbr halves bulk on loopback. Accepted
 * sockets inherit both. */
void tuneStream(int handle);

/* Room for the bursts of UDP. */
void tuneDatagrams(int handle);

void makeNonblocking(int handle);

/* Open a server's socket on loopback; port 0: the kernel's choice, which portOf tells. */
int openListener(uint16_t port);
int openDatagrams(uint16_t port);
uint16_t portOf(int handle);

/* ---- messages ---- */

/*
 * A message is a header of 8 bytes, the number of its connection and its own, then bytes of a
 * pattern: from a place that depends on both numbers, so that no message's body passes for
 * another's; or, if it is fixed, always the same, so that a pushing server has to write the header
 * alone.
 */
enum
{
    MESSAGE_HEADER = 8,
    MESSAGE_LONGEST = 4 * 1024 * 1024
};

void fillMessage(uint8_t* data, size_t size, uint32_t connection, uint64_t sequence);
void fillFixedMessage(uint8_t* data, size_t size);
void stampMessage(uint8_t* data, uint32_t connection, uint64_t sequence);

/* Whether this is all of that very message. */
bool checkMessage(const uint8_t* data, size_t size, uint32_t connection, uint64_t sequence);
uint64_t sequenceOf(const uint8_t* data);

/* Reads a stream of messages, piece by piece. */
struct MessageReader
{
    size_t size;
    size_t offset; /* bytes of the message that is being read */
    uint64_t next; /* its number */
    uint32_t connection;
    bool fixed;
};

/* Compares each byte with what is due, and ends the program with 3 if one differs. Returns how many
 * messages were completed. */
uint64_t readMessages(struct MessageReader* reader, const uint8_t* data, size_t length);

/* Ends the program with 3: a server that is wrong can't win. */
noreturn void refuse(const char* what, uint32_t connection, uint64_t sequence);

/* ---- what is received ---- */

/*
 * What a server that discards has got of a connection, for the load to compare with what it has
 * sent: the number of all bytes, and of those that came first a sum that depends on each byte and
 * its place. A sum takes longer than the kernel's copy; so a measured server sums no more than it
 * gets in the warm-up.
 */
struct Receipt
{
    uint64_t most; /* bytes that are summed */
    uint64_t count;
    uint64_t sum;
};

enum
{
    RECEIPT_MOST = 4 * 1024 * 1024 /* if nothing else is said */
};

void beginReceipt(struct Receipt* receipt, uint64_t most);
void sumReceived(struct Receipt* receipt, const uint8_t* data, size_t length);

/* Takes the next bytes, in pieces of any length. */
static inline void noteReceived(struct Receipt* receipt, const void* data, size_t length)
{
    if (receipt->count < receipt->most)
        sumReceived(receipt, data, length);
    receipt->count += length;
}

/* ---- push ---- */

/* What the load asks a pushing server for: count messages, of which at most burst are given away
 * before those in front are accepted. Whole in one segment, since it is small. */
struct PushRequest
{
    uint32_t magic;
    uint32_t size;
    uint32_t burst;
    uint32_t zero;
    uint64_t count;
};

#define PUSH_MAGIC 0x68737570u

#endif
