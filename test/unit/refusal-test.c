/* Why an engine is not to be had, in words, on systems that each refuse it in another way. */
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <check.h>

#include "base/cause.h"
#include "base/setting.h"
#include "engine/refusal.h"
#include "suite.h"

/* The system. */
static int setup;        /* what io_uring_setup without parameters gives */
static int64_t disabled; /* kernel.io_uring_disabled; -1: there is none */
static int64_t filter;   /* Seccomp of /proc/self/status */
static rlim_t descriptors;
static rlim_t locked;

/* The linker makes these names. NOLINTBEGIN(bugprone-reserved-identifier) */
int __wrap_io_uring_setup(unsigned entries, struct io_uring_params* parameters);
int64_t __wrap_FastSettingRead(const char* path, const char* word, int64_t missing);
int __wrap_getrlimit(__rlimit_resource_t resource, struct rlimit* limit);
int __wrap_getrlimit64(__rlimit_resource_t resource, struct rlimit* limit);
int __wrap_uname(struct utsname* system);

int __wrap_io_uring_setup(unsigned entries, struct io_uring_params* parameters)
{
    ck_assert_uint_eq(entries, 1);
    ck_assert_ptr_null(parameters);
    return setup;
}

int64_t __wrap_FastSettingRead(const char* path, const char* word, int64_t missing)
{
    if (strcmp(path, "/proc/sys/kernel/io_uring_disabled") == 0)
        return disabled >= 0 ? disabled : missing;
    if (strcmp(path, "/proc/sys/fs/file-max") == 0)
        return 4711;
    ck_assert_str_eq(path, "/proc/self/status");
    ck_assert_str_eq(word, "Seccomp:");
    return filter;
}

int __wrap_getrlimit(__rlimit_resource_t resource, struct rlimit* limit)
{
    limit->rlim_cur = resource == RLIMIT_NOFILE ? descriptors : locked;
    limit->rlim_max = limit->rlim_cur;
    return 0;
}

/* Which of the two it is depends on how the C library's headers were read. */
int __wrap_getrlimit64(__rlimit_resource_t resource, struct rlimit* limit)
{
    return __wrap_getrlimit(resource, limit);
}

int __wrap_uname(struct utsname* system)
{
    snprintf(system->release, sizeof(system->release), "5.15.0-odd");
    return 0;
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void openSystem(void)
{
    setup = -EFAULT;
    disabled = 0;
    filter = 0;
    descriptors = 64;
    locked = 65536;
    FastCauseForget();
}

AREA(refusal, "refusal", .open = openSystem);

static void expect(int error, bool uring, const char* one, const char* other)
{
    errno = 0;
    FastRefusalSay(error, uring);
    const char* text = FastCauseGet();
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(strstr(text, one) != NULL, "no «%s» in: %s", one, text);
    ck_assert_msg(strstr(text, other) != NULL, "no «%s» in: %s", other, text);
    ck_assert_msg(strstr(text, "fastsocket-probe") != NULL, "no probe in: %s", text);
    ck_assert_int_lt(strlen(text), 500);
}

/* §3.2 create error of a refusal: the switch, the filter, the kernel, whatever is left */
CASE(refusal, findsTheSwitch)
{
    disabled = 2;
    filter = 2; /* the switch is more certain */
    expect(-EPERM, true, "kernel.io_uring_disabled is 2", "set it to 0");
    disabled = 1;
    expect(-EPERM, true, "kernel.io_uring_disabled is 1", "kernel.io_uring_group");
    disabled = -1;
    expect(-EPERM, true, "seccomp", "FASTSOCKET_ENGINE");
}

CASE(refusal, findsTheFilter)
{
    filter = 2;
    setup = -EPERM;
    expect(-EPERM, true, "EPERM", "io_uring_setup");
    expect(-ENOSYS, true, "ENOSYS", "seccomp filter");
    expect(-EACCES, true, "EACCES", "seccomp filter");
}

CASE(refusal, findsTheKernel)
{
    expect(-ENOSYS, true, "5.15.0-odd", "lacks what is needed");
    disabled = 2; /* which gives EPERM */
    setup = -ENOSYS;
    expect(-ENOSYS, true, "5.15.0-odd", "has no io_uring");
}

CASE(refusal, findsWhateverIsLeft)
{
    setup = -EACCES;
    expect(-EACCES, true, "EACCES", "security module");
    expect(-EIO, true, "io_uring", "EIO");
    expect(-EPERM, false, "epoll", "EPERM");
    expect(-100000, false, "epoll", "unknown");
}

/* §3.2 create error of memory: that may be locked, or any */
CASE(refusal, findsMemory)
{
    expect(-ENOMEM, true, "RLIMIT_MEMLOCK, which is 64 KiB", "ulimit -l");
    locked = RLIM_INFINITY;
    expect(-ENOMEM, true, "not enough memory", "control group");
    locked = 65536;
    expect(-ENOMEM, false, "not enough memory", "control group");
}

/* §3.2 create error of descriptors: of the process, or of the system */
CASE(refusal, findsDescriptors)
{
    expect(-EMFILE, true, "RLIMIT_NOFILE, which is 64,", "ulimit -n");
    expect(-EMFILE, false, "RLIMIT_NOFILE, which is 64,", "LimitNOFILE=");
    expect(-ENFILE, false, "fs.file-max", "4711");
}
