/* What the servers share. None of it stands in the way of a message that is echoed. */
#include "server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum
{
    LIFE = 120, /* seconds, if nothing else is said */
    GOOD = 6400
};

static const char* const modes[] = {
    [SERVER_ECHO] = "echo",
    [SERVER_DISCARD] = "discard",
    [SERVER_PUSH] = "push",
    [SERVER_DATAGRAMS] = "udp",
};

static noreturn void explain(void)
{
    fputs("SERVER echo|discard|push|udp [-p PORT] [-C CPU] [-b LENGTH] [-n COUNT]\n"
          "       [-s MICROSECONDS] [-t SECONDS] [-x VARIANT] [-k SUMMED] [-g GOOD]\n",
          stderr);
    exit(2);
}

static enum ServerMode modeOf(const char* name)
{
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(modes[i], name) == 0)
            return (enum ServerMode)i;
    }
    explain();
}

static const char* variantOf(const char* name, const char* const* variants)
{
    for (; *variants != NULL; variants++) {
        if (strcmp(*variants, name) == 0)
            return *variants;
    }
    explain();
}

struct ServerOptions beginServer(int count, char** arguments, const char* const* variants)
{
    struct ServerOptions options = {
        .length = 16384, .count = 512, .variant = "", .summed = RECEIPT_MOST, .good = GOOD};
    unsigned life = LIFE;
    int cpu = -1;
    int option;

    if (count < 2)
        explain();
    options.mode = modeOf(arguments[1]);
    while ((option = getopt(count - 1, arguments + 1, "p:C:b:n:s:t:x:k:g:")) != -1) {
        switch (option) {
        case 'p':
            options.port = (uint16_t)numberOf(optarg);
            break;
        case 'C':
            cpu = (int)numberOf(optarg);
            break;
        case 'b':
            options.length = (uint32_t)numberOf(optarg);
            break;
        case 'n':
            options.count = (uint32_t)numberOf(optarg);
            break;
        case 's':
            options.spin = numberOf(optarg);
            break;
        case 't':
            life = (unsigned)numberOf(optarg);
            break;
        case 'x':
            options.variant = variantOf(optarg, variants);
            break;
        case 'k':
            options.summed = numberOf(optarg);
            break;
        case 'g':
            options.good = numberOf(optarg);
            break;
        default:
            explain();
        }
    }
    beginProgram(cpu, life);
    return options;
}

bool isVariant(const struct ServerOptions* options, const char* name)
{
    return strcmp(options->variant, name) == 0;
}

int openServer(const struct ServerOptions* options)
{
    int handle = (options->mode == SERVER_DATAGRAMS) ? openDatagrams(options->port)
                                                     : openListener(options->port);

    printf("%u\n", portOf(handle));
    fflush(stdout);
    return handle;
}

struct Receipt* createReceipt(const struct ServerOptions* options)
{
    struct Receipt* receipt;

    if (options->mode != SERVER_DISCARD)
        return NULL;
    receipt = allocateOrDie(sizeof *receipt);
    beginReceipt(receipt, options->summed);
    return receipt;
}

void sendReceipt(int handle, const struct Receipt* receipt)
{
    if (receipt != NULL)
        send(handle, receipt, sizeof *receipt, MSG_NOSIGNAL);
}

void beginPush(struct Push* push, const void* data, size_t length)
{
    struct PushRequest request;

    if (length != sizeof request)
        die("a request that is none", EPROTO);
    memcpy(&request, data, sizeof request);
    if ((request.magic != PUSH_MAGIC) || (request.size < MESSAGE_HEADER) ||
        (request.size > MESSAGE_LONGEST) || (request.burst == 0) || (push->left > 0))
        die("a request that can't be", EPROTO);
    if (push->size != request.size) {
        push->message = growOrDie(push->message, request.size);
        fillFixedMessage(push->message, request.size);
    }
    push->size = request.size;
    push->burst = request.burst;
    push->left = request.count;
    push->sequence = 0;
}

const uint8_t* nextMessage(struct Push* push)
{
    if (push->left == 0)
        return NULL;
    stampMessage(push->message, 0, push->sequence);
    push->sequence++;
    push->left--;
    return push->message;
}

size_t nextBurst(struct Push* push, uint8_t* data)
{
    size_t length = 0;

    for (uint32_t i = 0; (i < push->burst) && (push->left > 0); i++) {
        memcpy(data + length, nextMessage(push), push->size);
        length += push->size;
    }
    return length;
}

void endPush(struct Push* push)
{
    free(push->message);
    push->message = NULL;
}
