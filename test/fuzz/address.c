/*
 * Addresses: what the library is given as one (address-socket.c), and the texts that it reads
 * and prints (address-text.c).
 */
#include "address-socket.h"
#include "address-text.h"
#include "fuzz.h"
#include "kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    struct Chance chance = beginInput(data, size);

    if (draw(&chance, 4) == 0)
        readTexts(&chance);
    else
        sendToAddresses(&chance);
    endInput();
    return 0;
}
