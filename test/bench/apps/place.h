/* The command line of the application servers, and how each begins: alike for every contender. */
#ifndef PLACE_H
#define PLACE_H

#include "../bench.h"
#include "service.h"

struct Place
{
    const struct Service* service;
    uint16_t port;
    uint32_t length;     /* of a receive buffer */
    uint32_t count;      /* of receive buffers, where the kernel gets them beforehand */
    const char* variant; /* which of the server's ways; "": the usual one */
};

/*
 * Reads the command line, and pins the process:
 *
 *     SERVER redis|http|pong|pong-udp|broadcast [-p PORT] [-C CPU] [-b LENGTH] [-n COUNT]
 *            [-t SECONDS] [-x VARIANT]
 *
 * -t is how long the server lives at most. variants are the names that -x may have, ended by NULL.
 */
struct Place beginPlace(int count, char** arguments, const char* const* variants);

bool isPlaceVariant(const struct Place* place, const char* name);

/* Opens the service's socket and writes its port to the standard output. */
int openPlace(const struct Place* place);

#endif
