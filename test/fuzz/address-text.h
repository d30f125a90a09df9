/* Addresses as texts. */
#ifndef TEST_FUZZ_ADDRESS_TEXT_H
#define TEST_FUZZ_ADDRESS_TEXT_H

#include "chance.h"

/* What the library reads of a text, and writes of an address. */
void readTexts(struct Chance* chance);

#endif
