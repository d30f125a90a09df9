/* Addresses as texts. */
#ifndef TEST_FUZZ_ADDRESS_TEXT_H
#define TEST_FUZZ_ADDRESS_TEXT_H

#include "chance.h"

/* What the examples read of a text, and print of an address. */
void readTexts(struct Chance* chance);

#endif
