/* Sockets that send to addresses of any bytes and any length. */
#ifndef TEST_FUZZ_ADDRESS_SOCKET_H
#define TEST_FUZZ_ADDRESS_SOCKET_H

#include "chance.h"

/* A socket on a ring, from its creation to its end. */
void sendToAddresses(struct Chance* chance);

#endif
