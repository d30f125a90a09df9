/* Prints the features of a ring that has run a turn, in hexadecimal. */
#include <Ring/FastRing.h>

#include <inttypes.h>
#include <stdio.h>

int main(void)
{
    struct FastRing* ring = CreateFastRing(0);
    if (ring == NULL || WaitForFastRing(ring, 0, NULL) < 0) {
        perror("ring");
        return 1;
    }
    printf("%#" PRIx64 "\n", GetFastRingFeatures(ring));
    ReleaseFastRing(ring);
    return 0;
}
