/*
 * The load: the client of every server of the bench. One thread, pinned, bounded in time. It
 * compares every byte that comes back, and gives one line of JSON: per message the server's CPU
 * time in nanoseconds («cpu») and its own («own»), messages a second («rate»), times of answers in
 * microseconds («p50», «p99»), and what was lost.
 *
 *     load WORKLOAD -p PORT [-P PROCESS] [-C CPU] [-c CONNECTIONS] [-d DEPTH] [-s SIZE]
 *          [-w WARM] [-t SECONDS] [-n COUNT] [-b BURST] [-i PATIENCE] [-k SUMMED]
 *
 * WORKLOAD   echo, udp, sink, source, idle, churn
 * -P         the server's process
 * -i         seconds without an answer after which the load gives up
 * -n, -b     of a sink: messages of one push, and how many a server may give away at once
 * -k         of a source: bytes that go into the sum of the receipt, the same as the server's
 *
 * Exit status: 0; 1 something failed; 2 the arguments; 3 WRONG DATA; 4 the server doesn't answer.
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum
{
    SPARE_LIFE = 60 /* seconds for connecting and for what waits at the end */
};

static const struct
{
    const char* name;
    void (*run)(const struct LoadOptions* options);
} workloads[] = {
    {"echo", loadEcho},
    {"udp", loadDatagrams},
    {"sink", loadSink},
    {"source", loadSource},
    {"idle", loadIdle},
    {"churn", loadChurn},
};

static noreturn void explain(void)
{
    fputs("load echo|udp|sink|source|idle|churn -p PORT [-P PROCESS] [-C CPU] [-c CONNECTIONS]\n"
          "     [-d DEPTH] [-s SIZE] [-w WARM] [-t SECONDS] [-n COUNT] [-b BURST] [-i PATIENCE]\n"
          "     [-k SUMMED]\n",
          stderr);
    exit(2);
}

static int readOptions(int count, char** arguments, struct LoadOptions* options)
{
    int cpu = -1;
    int option;

    while ((option = getopt(count, arguments, "p:P:C:c:d:s:w:t:n:b:i:k:")) != -1) {
        switch (option) {
        case 'p':
            options->port = (uint16_t)numberOf(optarg);
            break;
        case 'P':
            options->server = (pid_t)numberOf(optarg);
            break;
        case 'C':
            cpu = (int)numberOf(optarg);
            break;
        case 'c':
            options->connections = (uint32_t)numberOf(optarg);
            break;
        case 'd':
            options->depth = (uint32_t)numberOf(optarg);
            break;
        case 's':
            options->size = numberOf(optarg);
            break;
        case 'w':
            options->warm = strtod(optarg, NULL);
            break;
        case 't':
            options->seconds = strtod(optarg, NULL);
            break;
        case 'n':
            options->count = numberOf(optarg);
            break;
        case 'b':
            options->burst = (uint32_t)numberOf(optarg);
            break;
        case 'i':
            options->patience = (uint32_t)numberOf(optarg);
            break;
        case 'k':
            options->summed = numberOf(optarg);
            break;
        default:
            explain();
        }
    }
    if ((options->port == 0) || (options->connections == 0) || (options->depth == 0) ||
        (options->burst == 0) || (options->count == 0) || (options->size < MESSAGE_HEADER) ||
        (options->size > MESSAGE_LONGEST))
        explain();
    return cpu;
}

int main(int count, char** arguments)
{
    struct LoadOptions options = {.connections = 1,
                                  .depth = 1,
                                  .size = 64,
                                  .burst = 64,
                                  .count = 100000,
                                  .summed = RECEIPT_MOST,
                                  .patience = 20,
                                  .warm = 0.1,
                                  .seconds = 1};
    int cpu;

    if (count < 2)
        explain();
    cpu = readOptions(count - 1, arguments + 1, &options);
    beginProgram(cpu, (unsigned)(options.warm + options.seconds) + SPARE_LIFE);
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
        if (strcmp(workloads[i].name, arguments[1]) == 0) {
            workloads[i].run(&options);
            return 0;
        }
    }
    explain();
}
