/* The command line and the socket of every application server: no contender has better ones. */
#include "place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum
{
    LIFE = 120 /* seconds, if nothing else is said */
};

static noreturn void explain(void)
{
    fputs("SERVER redis|http|pong|pong-udp|broadcast [-p PORT] [-C CPU] [-b LENGTH] [-n COUNT]\n"
          "       [-t SECONDS] [-x VARIANT]\n",
          stderr);
    exit(2);
}

static const char* variantOf(const char* name, const char* const* variants)
{
    for (; *variants != NULL; variants++)
        if (strcmp(*variants, name) == 0)
            return *variants;
    explain();
}

struct Place beginPlace(int count, char** arguments, const char* const* variants)
{
    struct Place place = {.length = 16384, .count = 256, .variant = ""};
    unsigned life = LIFE;
    int cpu = -1;
    int option;

    place.service = (count > 1) ? findService(arguments[1]) : NULL;
    if (place.service == NULL)
        explain();
    while ((option = getopt(count - 1, arguments + 1, "p:C:b:n:t:x:")) != -1) {
        switch (option) {
        case 'p': place.port = (uint16_t)numberOf(optarg); break;
        case 'C': cpu = (int)numberOf(optarg); break;
        case 'b': place.length = (uint32_t)numberOf(optarg); break;
        case 'n': place.count = (uint32_t)numberOf(optarg); break;
        case 't': life = (unsigned)numberOf(optarg); break;
        case 'x': place.variant = variantOf(optarg, variants); break;
        default: explain();
        }
    }
    beginProgram(cpu, life);
    return place;
}

bool isPlaceVariant(const struct Place* place, const char* name)
{
    return strcmp(place->variant, name) == 0;
}

int openPlace(const struct Place* place)
{
    int handle = place->service->datagrams ? openDatagrams(place->port)
                                           : openListener(place->port);

    printf("%u\n", portOf(handle));
    fflush(stdout);
    return handle;
}
