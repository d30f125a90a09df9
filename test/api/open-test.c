/* OpenFastSocket: with what the ring has itself. */
#include "services.h"

static struct FastRing* ring;
static struct Recorder ours;
static int pair[2];
static int descriptors;

static void openRing(void)
{
    descriptors = countDescriptors();
    ring = CreateFastRing(64);
    ck_assert_ptr_nonnull(ring);
    memset(&ours, 0, sizeof(ours));
}

static void closeRing(void)
{
    ReleaseFastSocket(ours.socket);
    ReleaseFastRing(ring);
    ck_assert_int_eq(countDescriptors(), descriptors);
}

AREA(open, "open", .open = openRing, .close = closeRing);

static void openOurs(enum Kind kind)
{
    pairKind(kind, pair);
    ours.socket = OpenFastSocket(ring, pair[0], 0, recordEvent, &ours);
    ck_assert_msg(ours.socket != NULL, "OpenFastSocket: %s", strerror(errno));
}

static uint64_t readOption(int option)
{
    uint64_t value = 0;

    ck_assert_int_eq(GetFastRingOption(ring, option, &value), 0);
    return value;
}

/* §3.1 own buffers: a socket without a provider or pools of its user's works as any other */
CASE(open, works)
{
    for (enum Kind kind = KIND_FIRST; kind < KIND_COUNT; kind++) {
        if (!hasKind(kind))
            continue;
        openOurs(kind);
        transmitText(ours.socket, "there");
        waitDrained(&ours);
        expectText(pair[1], "there");
        sendText(pair[1], "and back");
        receiveText(&ours, "and back");
        ReleaseFastSocket(ours.socket);
        ours.socket = NULL;
        close(pair[1]);
    }
}

/* §3.1 own buffers: made by the first socket, and of the size that the options say */
CASE(open, isSizedByOptions)
{
    struct FastBuffer* buffer = NULL;

    ck_assert_uint_eq(readOption(FASTRING_OPTION_BUFFER_COUNT), 256);
    ck_assert_uint_eq(readOption(FASTRING_OPTION_BUFFER_LENGTH), 16384);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_COUNT, 4), 0);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_LENGTH, 256), 0);
    ck_assert_uint_eq(readRing(ring).buffers, 0);
    openOurs(KIND_UNIX_STREAM);
    ck_assert_uint_gt(readRing(ring).buffers, 0);
    ck_assert_uint_le(readRing(ring).buffers, 4);
    sendText(pair[1], "in a small one");
    waitInput(&ours, 1);
    buffer = ReceiveFastSocketBuffer(ours.socket);
    ck_assert_uint_eq(GetFastBufferSize(buffer), 256);
    ReleaseFastBuffer(buffer);
    close(pair[1]);
}

/* §3.1 own buffers: afterwards the options stand, and their bounds are kept before */
CASE(open, optionsAreFixedThen)
{
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_COUNT, 0), -EINVAL);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_COUNT, 32769), -EINVAL);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_LENGTH, 63), -EINVAL);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_LENGTH, (16 << 20) + 1),
                     -EINVAL);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_COUNT, 32768), 0);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_COUNT, 8), 0);
    openOurs(KIND_UNIX_STREAM);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_COUNT, 16), -EBUSY);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_BUFFER_LENGTH, 4096), -EBUSY);
    ck_assert_uint_eq(readOption(FASTRING_OPTION_BUFFER_COUNT), 8);
    ck_assert_uint_eq(readOption(FASTRING_OPTION_BUFFER_LENGTH), 16384);
    close(pair[1]);
}

/* §3.1 own buffers: they go with the ring, and what a program still holds stays */
CASE(open, goesWithTheRing)
{
    struct FastBuffer* buffer = NULL;

    openOurs(KIND_UNIX_STREAM);
    sendText(pair[1], "kept");
    waitInput(&ours, 4);
    buffer = ReceiveFastSocketBuffer(ours.socket);
    ck_assert_ptr_nonnull(buffer);
    ReleaseFastRing(ring);
    ring = NULL;
    ck_assert_mem_eq(GetFastBufferData(buffer), "kept", 4);
    ReleaseFastBuffer(buffer);
    close(pair[1]);
}

/* §3.1 own buffers: two sockets share them, and a third after the first are gone */
CASE(open, isSharedByAll)
{
    struct Recorder other = {0};
    int second[2];

    openOurs(KIND_UNIX_STREAM);
    pairStream(second);
    other.socket = OpenFastSocket(ring, second[0], 0, recordEvent, &other);
    ck_assert_ptr_nonnull(other.socket);
    sendText(pair[1], "one");
    sendText(second[1], "two");
    receiveText(&ours, "one");
    receiveText(&other, "two");
    ReleaseFastSocket(other.socket);
    ReleaseFastSocket(ours.socket);
    close(second[1]);
    close(pair[1]);
    openOurs(KIND_TCP);
    sendText(pair[1], "three");
    receiveText(&ours, "three");
    close(pair[1]);
}

static void* openElsewhere(void* closure)
{
    (void)closure;
    refuses(EPERM, OpenFastSocket(ring, 0, 0, recordEvent, NULL));
    refuses(EPERM, ConnectFastSocket(ring, "unix:/nowhere", 0, recordEvent, NULL));
    return NULL;
}

/* §3.1 own buffers: wrong arguments are those of CreateFastSocket */
CASE(open, refusesWhatCreateRefuses)
{
    int ends[2];

    refuses(EINVAL, OpenFastSocket(NULL, 0, 0, recordEvent, NULL));
    refuses(EBADF, OpenFastSocket(ring, -1, 0, recordEvent, NULL));
    refuses(EINVAL, OpenFastSocket(ring, 0, 1, recordEvent, NULL));
    ck_assert_int_eq(pipe(ends), 0);
    refuses(ENOTSOCK, OpenFastSocket(ring, ends[0], 0, recordEvent, NULL));
    ours.socket = OpenFastSocket(ring, ends[0], FASTSOCKET_MODE_FILE_IO, recordEvent, &ours);
    ck_assert_ptr_nonnull(ours.socket);
    ck_assert_int_eq(write(ends[1], "pipe", 4), 4);
    receiveText(&ours, "pipe");
    inThread(openElsewhere, NULL);
    close(ends[1]);
}
