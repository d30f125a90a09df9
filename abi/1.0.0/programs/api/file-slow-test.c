/* FASTSOCKET_MODE_FILE_IO: files of a file system whose server, a process like others, takes its time. */
#include "files.h"

#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <sys/wait.h>

static struct Fixture fixture;
static struct Recorder recorder;
static int server; /* tells of a read that is held; when this is closed, reads are answered */
static pid_t process;

static void reply(int device, uint64_t unique, int error, const void* data, size_t size)
{
    struct fuse_out_header header = {
        .len = (uint32_t)(sizeof(header) + size),
        .error = error,
        .unique = unique,
    };
    struct iovec parts[] = {{&header, sizeof(header)}, {(void*)(uintptr_t)data, size}};

    if (writev(device, parts, 2) < 0)
        _exit(1);
}

static struct fuse_attr attributesOf(uint64_t node)
{
    return (struct fuse_attr){
        .ino = node,
        .mode = node == 1 ? S_IFDIR | 0700 : S_IFREG | 0600,
        .nlink = 1,
        .size = node == 1 ? 0 : 4096,
    };
}

static void answer(int device, const struct fuse_in_header* header)
{
    struct fuse_attr attributes = attributesOf(header->nodeid);

    switch (header->opcode) {
    case FUSE_INIT: {
        struct fuse_init_out out = {.major = 7, .minor = 31, .max_write = 4096};
        reply(device, header->unique, 0, &out, sizeof(out));
        return;
    }
    case FUSE_GETATTR: {
        struct fuse_attr_out out = {.attr_valid = 1000, .attr = attributes};
        reply(device, header->unique, 0, &out, sizeof(out));
        return;
    }
    case FUSE_LOOKUP: {
        struct fuse_entry_out out = {.nodeid = 2, .attr_valid = 1000, .entry_valid = 1000};
        out.attr = attributesOf(2);
        reply(device, header->unique, 0, &out, sizeof(out));
        return;
    }
    case FUSE_OPEN: {
        struct fuse_open_out out = {.open_flags = FOPEN_DIRECT_IO};
        reply(device, header->unique, 0, &out, sizeof(out));
        return;
    }
    case FUSE_INTERRUPT:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
        return;
    case FUSE_READ:
        reply(device, header->unique, 0, "slow", 4);
        return;
    default:
        reply(device, header->unique, -ENOSYS, NULL, 0);
    }
}

/* Serves all but reads, until told; a read that was asked for is answered then. */
static void serve(int device, int told)
{
    static union
    {
        struct fuse_in_header header;
        char bytes[1 << 16];
    } request;
    struct fuse_in_header held = {0};
    struct pollfd states[] = {{.fd = device, .events = POLLIN}, {.fd = told, .events = POLLIN}};

    alarm(30);
    for (;;) {
        if (poll(states, 2, -1) < 0)
            _exit(1);
        if (states[1].revents && held.unique != 0) {
            answer(device, &held);
            states[1].fd = -1;
            held.unique = 0;
        }
        if (!states[0].revents)
            continue;
        if (read(device, &request, sizeof(request)) < 0) {
            if (errno == EINTR || errno == ENOENT || errno == EAGAIN)
                continue;
            _exit(0); /* unmounted */
        }
        if (request.header.opcode == FUSE_READ && states[1].fd >= 0) {
            held = request.header;
            (void)!write(told, "h", 1);
        } else
            answer(device, &request.header);
    }
}

/* A file of a server of our own, open for reading; negative where such a thing may not be mounted. */
static int openSlow(void)
{
    char directory[] = "/tmp/fastsocket-slow-XXXXXX";
    char path[sizeof(directory) + 8];
    char options[80];
    int control[2];
    int handle = -1;
    int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);

    if (device < 0)
        return -1;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%d,group_id=%d", device, getuid(), getgid());
    if (mount("slow", directory, "fuse", 0, options) == 0) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control), 0);
        process = fork();
        ck_assert_int_ge(process, 0);
        if (process == 0) {
            close(control[1]);
            serve(device, control[0]);
        }
        close(control[0]);
        server = control[1];
        snprintf(path, sizeof(path), "%s/file", directory);
        handle = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_ge(handle, 0);
        ck_assert_int_eq(umount2(directory, MNT_DETACH), 0);
    }
    close(device);
    rmdir(directory);
    return handle;
}

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
    if (process > 0)
        waitpid(process, NULL, 0);
}

/* §2.5 kinds: the loop goes on while a file's server is waited for, whatever the user does meanwhile, and
 * does not try to end the read over and over */
START_TEST(waitsForSlowFile)
{
    int handle = openSlow();
    uint64_t before = 0;

    if (handle < 0)
        skipTest("no FUSE file system may be mounted here");
    openFile(&fixture, handle, &recorder);
    runTurns(fixture.ring, 10); /* would wait for the server, for ever */
    ck_assert_int_eq(recorder.in + recorder.hup, 0);
    expectRead(server, "h");
    before = readRing(fixture.ring).completions;
    ReleaseFastSocket(recorder.socket);
    runTurns(fixture.ring, 1000);
    ck_assert_uint_lt(readRing(fixture.ring).completions - before, 100);
    ck_assert_uint_eq(GetFastRingPending(fixture.ring), 1);
    close(server);
}
END_TEST

/* … and what comes is taken */
START_TEST(readsSlowFile)
{
    int handle = openSlow();

    if (handle < 0)
        skipTest("no FUSE file system may be mounted here");
    openFile(&fixture, handle, &recorder);
    runTurns(fixture.ring, 10);
    expectRead(server, "h");
    close(server);
    receiveText(&recorder, "slow");
    ReleaseFastSocket(recorder.socket);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("file-slow");
    TCase* area = tcase_create("file-slow");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, waitsForSlowFile);
    tcase_add_test(area, readsSlowFile);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
