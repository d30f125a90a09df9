/*
 * For fixed-test.py: a socket whose provider is made with AllocateRingFastBuffer, as this program
 * knows it. In one that is linked at a fixed address that is a stub of its own. The output tells
 * whose the function is: «program» or «library».
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <Ring/FastSocket.h>

#define CHECK(condition)                                             \
    do {                                                             \
        if (!(condition)) {                                          \
            fprintf(stderr, "%d: %s fails\n", __LINE__, #condition); \
            exit(1);                                                 \
        }                                                            \
    } while (0)

static int ended;

static void onEvent(struct FastSocket* socket, int event, int parameter)
{
    char text[16];

    (void)parameter;
    if (event == POLLIN) {
        ssize_t length = ReceiveFastSocketData(socket, text, sizeof(text), 0);
        CHECK(length == 5 && memcmp(text, "hello", 5) == 0);
        CHECK(TransmitFastSocketData(socket, NULL, 0, text, (size_t)length, 0) == 0);
    }
    ended |= event == POLLHUP;
}

static void* function = (void*)AllocateRingFastBuffer;

int main(void)
{
    struct FastRing* ring = CreateFastRing(0);
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    struct FastRingBufferProvider* provider;
    struct FastSocket* socket;
    Dl_info info;
    char text[16];
    int pair[2];

    CHECK(pool != NULL && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    provider = CreateFastRingBufferProvider(ring, 0, 4, 4096, AllocateRingFastBuffer, pool);
    CHECK(provider != NULL);
    socket = CreateFastSocket(ring, provider, pool, pool, pair[0], NULL, 0, 0, 0, onEvent, NULL);
    CHECK(socket != NULL);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(pool); /* held by who needs it */
    CHECK(write(pair[1], "hello", 5) == 5 && shutdown(pair[1], SHUT_WR) == 0);
    while (!ended || GetFastSocketOutboundLength(socket) > 0)
        CHECK(WaitForFastRing(ring, 10000, NULL) == 0);
    CHECK(read(pair[1], text, sizeof(text)) == 5 && memcmp(text, "hello", 5) == 0);
    ReleaseFastSocket(socket);
    ReleaseFastRing(ring);
    close(pair[1]);

    CHECK(dladdr(function, &info) != 0);
    puts(strstr(info.dli_fname, "libfastsocket") != NULL ? "library" : "program");
    return 0;
}
