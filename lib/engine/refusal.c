/*
 * What a program can see of why it has no engine: the errno, the limits and settings that may have
 * led to it, and which of io_uring's calls are let through. Most certain first, as fastsocket-probe
 * has it, which sees more and has more time.
 *
 * Good path: none; a ring was not made. Nothing here fails: what can't be asked is not told.
 */
#include "engine/refusal.h"

#include "base/cause.h"
#include "base/missing.h"
#include "base/setting.h"

#include <errno.h>
#include <inttypes.h>
#include <liburing.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#define PROBE  "fastsocket-probe tells more"
#define EITHER "or unset FASTSOCKET_ENGINE, to run on epoll; " PROBE

enum
{
    REFUSAL_KIB = 1024,
};

/* The soft limit; RLIM_INFINITY where there is none, or nobody knows. */
static rlim_t limitOf(int resource)
{
    struct rlimit limit;
    return getrlimit(resource, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

/* ---- what the process lacks ---- */

static void sayDescriptors(int error)
{
    if (error == -ENFILE)
        FastCauseSay("the system has no descriptor left (ENFILE): as root, raise fs.file-max, "
                     "which is %" PRId64 "; " PROBE,
                     FastSettingRead("/proc/sys/fs/file-max", NULL, -1));
    else
        FastCauseSay("this process has no descriptor left (EMFILE): close some, or raise "
                     "RLIMIT_NOFILE, which is %" PRIu64 ", by setrlimit, ulimit -n, or "
                     "LimitNOFILE= of a systemd unit; " PROBE,
                     (uint64_t)limitOf(RLIMIT_NOFILE));
}

static void sayMemory(bool uring)
{
    rlim_t locked = limitOf(RLIMIT_MEMLOCK);
    if (uring && locked != RLIM_INFINITY)
        FastCauseSay("there is not enough memory (ENOMEM), or not enough that may be locked, which "
                     "some kernels charge rings to: raise RLIMIT_MEMLOCK, which is %" PRIu64
                     " KiB, by ulimit -l or LimitMEMLOCK= of a systemd unit, " EITHER,
                     (uint64_t)locked / REFUSAL_KIB);
    else
        FastCauseSay("there is not enough memory (ENOMEM): free some, or raise the limit of the "
                     "process or its control group; " PROBE);
}

/* ---- io_uring is refused ---- */

/* Without parameters it can't succeed; a kernel that has it looks at them. */
static bool passesSetup(void)
{
    return io_uring_setup(1, NULL) == -EFAULT;
}

static bool hasFilter(void)
{
    return FastSettingRead("/proc/self/status", "Seccomp:", 0) != 0;
}

/* A switch of the kernel's, which it had since 6.6. */
static bool saySwitch(void)
{
    int64_t disabled = FastSettingRead("/proc/sys/kernel/io_uring_disabled", NULL, 0);
    if (disabled == 1)
        FastCauseSay("kernel.io_uring_disabled is 1, which leaves io_uring to CAP_SYS_ADMIN and "
                     "the group of kernel.io_uring_group: join it, as root set the former to "
                     "0, " EITHER);
    else if (disabled > 1)
        FastCauseSay("kernel.io_uring_disabled is %" PRId64 ", which refuses io_uring to all: as "
                     "root set it to 0, " EITHER,
                     disabled);
    return disabled > 0;
}

static void sayKernel(void)
{
    struct utsname system;
    memset(&system, 0, sizeof(system));
    (void)uname(&system);
    if (passesSetup())
        FastCauseSay("io_uring of this kernel, Linux %s, lacks what is needed (ENOSYS): use 6.1 or "
                     "later, " EITHER,
                     system.release);
    else
        FastCauseSay("this kernel, Linux %s, has no io_uring (ENOSYS): use 6.1 or later with "
                     "CONFIG_IO_URING, " EITHER,
                     system.release);
}

static void sayRefusal(int error)
{
    if (error != -ENOSYS && saySwitch())
        return;
    if (hasFilter())
        FastCauseSay("io_uring is refused (%s), mostly by the seccomp filter on this process, as "
                     "containers and service managers have one: allow io_uring_setup, "
                     "io_uring_enter and io_uring_register there, " EITHER,
                     strerrorname_np(-error));
    else if (error == -ENOSYS)
        sayKernel();
    else
        FastCauseSay("io_uring is refused (%s), by a security module or what stands in for the "
                     "kernel: allow it there, " EITHER,
                     strerrorname_np(-error));
}

void FastRefusalSay(int error, bool uring)
{
    const char* name = strerrorname_np(-error);
    if (error == -EMFILE || error == -ENFILE)
        sayDescriptors(error);
    else if (error == -ENOMEM)
        sayMemory(uring);
    else if (uring && (error == -EPERM || error == -EACCES || error == -ENOSYS))
        sayRefusal(error);
    else
        FastCauseSay("the engine on %s can't be opened (%s); " PROBE, uring ? "io_uring" : "epoll",
                     name != NULL ? name : "an unknown error");
}
