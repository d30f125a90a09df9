/*
 * fastsocket-probe: what this machine offers libfastsocket.
 *
 * It makes a ring as any program would, which tells the engine that programs get and what that can; if
 * that is not io_uring it asks for a ring on io_uring and for no other; then it reads the limits that
 * bound such programs. All is collected in a report, which is printed as text or as JSON. When
 * io_uring is refused, the report says by what, as far as a program can see, and what to do.
 *
 * Exit status: 0 io_uring works; 1 it is refused; 2 wrong arguments, or the output can't be written. So
 * it was when there was no other engine, and scripts that ask for io_uring rely on it; which engine a
 * program gets is told by the output.
 */
#define _GNU_SOURCE

#include <Ring/FastSocket.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/io_uring.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef __NR_io_uring_setup
#define __NR_io_uring_setup 425
#endif
#ifndef __NR_io_uring_enter
#define __NR_io_uring_enter 426
#endif
#ifndef __NR_io_uring_register
#define __NR_io_uring_register 427
#endif

enum
{
    CAPABILITY_IPC_LOCK = 14, /* of <linux/capability.h> */
    OLDEST_MAJOR = 6,         /* Linux 6.1 */
    OLDEST_MINOR = 1,
    TEXT_LENGTH = 400,
    EXIT_REFUSED = 1,
    EXIT_USAGE = 2,
};

/* Below these a program of ordinary size notices. */
static const uint64_t memlockEnough = UINT64_C(8) * 1024 * 1024;
static const uint64_t nofileEnough = 4096;

/* ---- the report ---- */

struct Feature
{
    uint64_t bit;
    const char* name;
    const char* kernel;
    const char* gain;    /* with it */
    const char* instead; /* without it */
};

/* An engine without rings of the kernel's has no use for these. */
static const uint64_t ofRings = FASTRING_FEATURE_COOP_TASKRUN | FASTRING_FEATURE_SINGLE_ISSUER |
                                FASTRING_FEATURE_DEFER_TASKRUN | FASTRING_FEATURE_ZERO_COPY_REPORT |
                                FASTRING_FEATURE_NO_SQARRAY | FASTRING_FEATURE_NO_IOWAIT;

static const struct Feature features[] = {
    {FASTRING_FEATURE_COOP_TASKRUN, "COOP_TASKRUN", "5.19",
     "completions don't interrupt the program", "completions interrupt the program"},
    {FASTRING_FEATURE_ACCEPT_MULTISHOT, "ACCEPT_MULTISHOT", "5.19",
     "a raw operation accepts many connections", "a raw operation accepts one connection"},
    {FASTRING_FEATURE_RECEIVE_MULTISHOT, "RECEIVE_MULTISHOT", "6.0",
     "one submission receives again and again", "nothing: the library needs it"},
    {FASTRING_FEATURE_SINGLE_ISSUER, "SINGLE_ISSUER", "6.0",
     "the kernel knows that one thread owns the ring", "the ring is guarded against other threads"},
    {FASTRING_FEATURE_SEND_ZERO_COPY, "SEND_ZERO_COPY", "6.0",
     "large sends go out without a copy", "large sends are copied"},
    {FASTRING_FEATURE_SENDMSG_ZERO_COPY, "SENDMSG_ZERO_COPY", "6.1",
     "so do sends of several pieces, or with an address", "these sends are copied"},
    {FASTRING_FEATURE_DEFER_TASKRUN, "DEFER_TASKRUN", "6.1",
     "completions are made in batches, when the loop asks", "completions as they come (COOP_TASKRUN)"},
    {FASTRING_FEATURE_ZERO_COPY_REPORT, "ZERO_COPY_REPORT", "6.2",
     "zero copy is given up where the kernel copies anyway", "zero copy is used for every large send"},
    {FASTRING_FEATURE_NO_SQARRAY, "NO_SQARRAY", "6.6",
     "submissions without an index array", "an index array, written once"},
    {FASTRING_FEATURE_READ_MULTISHOT, "READ_MULTISHOT", "6.7",
     "one submission reads a file handle again and again", "one submission for each read"},
    {FASTRING_FEATURE_NAPI, "NAPI", "6.9",
     "a ring may poll network devices before it sleeps", "FASTRING_OPTION_NAPI_BUSY_POLL is refused"},
    {FASTRING_FEATURE_RECEIVE_BUNDLE, "RECEIVE_BUNDLE", "6.10",
     "one completion for several buffers", "one completion for each buffer"},
    {FASTRING_FEATURE_ACCEPT_AT_ONCE, "ACCEPT_AT_ONCE", "6.10",
     "a listener of TCP accepts by one system call", "a poll before and after each accept"},
    {FASTRING_FEATURE_MINIMUM_WAIT, "MINIMUM_WAIT", "6.12",
     "a wait may go on for more completions", "FASTRING_OPTION_MINIMUM_WAIT is refused"},
    {FASTRING_FEATURE_NO_IOWAIT, "NO_IOWAIT", "6.15",
     "an idle loop doesn't count as waiting for a disk", "an idle loop shows as iowait in statistics"},
    {FASTRING_FEATURE_RECEIVE_CAP, "RECEIVE_CAP", "6.17",
     "a receive ends by itself at the socket's limit", "the library cancels a receive at the limit"},
    {FASTRING_FEATURE_WRITE_NO_SIGNAL, "WRITE_NO_SIGNAL", "6.18",
     "writes to pipes raise no SIGPIPE", "SIGPIPE is blocked while the kernel writes to a pipe"},
};

enum
{
    FEATURE_COUNT = sizeof(features) / sizeof(features[0]),
};

enum FeatureState
{
    FEATURE_USED,
    FEATURE_UNNEEDED, /* there is something better, or no use for it */
    FEATURE_ABSENT,
    FEATURE_UNKNOWN, /* no ring to ask */
};

static const char* const stateNames[] = {"used", "unneeded", "absent", "unknown"};

/* A limit or a setting, and what follows from it. */
struct Limit
{
    const char* name;
    bool numeric;
    uint64_t value;   /* if numeric; RLIM_INFINITY: no limit */
    const char* word; /* if not */
    bool good;
    char meaning[TEXT_LENGTH];
    char advice[TEXT_LENGTH]; /* empty: nothing to do */
};

enum
{
    LIMIT_MEMLOCK,
    LIMIT_NOFILE,
    LIMIT_DISABLED,
    LIMIT_SECCOMP,
    LIMIT_COUNT,
};

struct Report
{
    struct utsname system;
    int error;                /* why there is no ring on io_uring, or 0 */
    const char* engine;       /* what a program gets; NULL: no ring */
    int engineError;          /* why none */
    uint64_t features;        /* of that engine */
    const char* wanted;       /* FASTSOCKET_ENGINE */
    const char* masked;       /* FASTSOCKET_FEATURES_OFF */
    char choice[TEXT_LENGTH]; /* why that engine */
    char reason[TEXT_LENGTH];
    char advice[TEXT_LENGTH];
    struct Limit limits[LIMIT_COUNT];
};

__attribute__((format(printf, 2, 3))) static void describe(char* text, const char* format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, TEXT_LENGTH, format, arguments);
    va_end(arguments);
}

/* ---- the machine ---- */

static const char seccompAdvice[] =
    "allow io_uring_setup, io_uring_enter and io_uring_register: in a container by "
    "--security-opt seccomp=PROFILE, in a systemd unit by SystemCallFilter=@aio";

/* The rest of the line of /proc/self/status that begins with the name, as a number; or missing. */
static uint64_t readStatus(const char* name, int base, uint64_t missing)
{
    char line[256];
    uint64_t value = missing;
    size_t length = strlen(name);
    FILE* file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            value = strtoull(line + length + 1, NULL, base);
    }
    if (file != NULL)
        fclose(file);
    return value;
}

/* kernel.io_uring_disabled; negative where the kernel has no such setting. */
static int readDisabled(void)
{
    int value = -1;
    FILE* file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (file == NULL)
        return -1;
    if (fscanf(file, "%d", &value) != 1) /* NOLINT(cert-err34-c): the kernel writes 0, 1 or 2 */
        value = -1;
    fclose(file);
    return value;
}

/* An errno's own name. Not every C library has the function; these are what a ring's making fails with. */
static const char* errorName(int error)
{
#ifdef FASTSOCKET_HAS_STRERRORNAME
    return strerrorname_np(error);
#else
    static const struct
    {
        int error;
        const char* name;
    } names[] = {
        {EPERM, "EPERM"},   {EACCES, "EACCES"}, {ENOSYS, "ENOSYS"}, {ENOMEM, "ENOMEM"},
        {EMFILE, "EMFILE"}, {ENFILE, "ENFILE"}, {EINVAL, "EINVAL"}, {EOPNOTSUPP, "EOPNOTSUPP"},
    };
    for (size_t index = 0; index < sizeof(names) / sizeof(names[0]); index++)
        if (names[index].error == error)
            return names[index].name;
    return "another error";
#endif
}

static uint64_t softLimit(int resource, uint64_t* hard)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    (void)getrlimit((__typeof__(RLIMIT_NOFILE))resource, &limit);
    *hard = limit.rlim_max;
    return limit.rlim_cur;
}

/* Whether a ring's memory is charged to memlock, as some kernels do (6.16 to 6.18): then it can't be had while
 * nothing may be locked. */
static bool chargesRings(void)
{
    struct rlimit limit;
    struct io_uring_params parameters = {0};
    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
        return true;
    const struct rlimit nothing = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_MEMLOCK, &nothing) < 0)
        return true;
    long handle = syscall(__NR_io_uring_setup, 1, &parameters);
    bool charged = handle < 0 && errno == ENOMEM;
    if (handle >= 0)
        close((int)handle);
    (void)setrlimit(RLIMIT_MEMLOCK, &limit);
    return charged;
}

static bool isOnEpoll(const struct Report* report)
{
    return report->engine != NULL && strcmp(report->engine, "epoll") == 0;
}

static void addMemlock(struct Limit* limit, const struct Report* report)
{
    uint64_t hard;
    bool exempt = readStatus("CapEff", 16, 0) >> CAPABILITY_IPC_LOCK & 1;
    bool unneeded = isOnEpoll(report) && report->error != ENOMEM;
    limit->name = "memlock";
    limit->numeric = true;
    limit->value = softLimit(RLIMIT_MEMLOCK, &hard);
    limit->good = exempt || unneeded || limit->value >= memlockEnough;
    if (unneeded)
        describe(limit->meaning, "for io_uring alone: the engine epoll locks no memory");
    else if (exempt)
        describe(limit->meaning, "does not bind this process, which has CAP_IPC_LOCK");
    else if (limit->value == RLIM_INFINITY)
        describe(limit->meaning, "zero copy, and rings where the kernel charges them, may take what memory there is");
    else if (report->error != 0)
        describe(limit->meaning, "bytes for zero copy under way, of all processes of the user together, and for rings "
                                 "where the kernel charges them");
    else if (chargesRings())
        describe(limit->meaning, "bytes for rings and for zero copy under way, of all processes of the user "
                                 "together; beyond it rings are made smaller, or on epoll, and sends are copied");
    else
        describe(limit->meaning, "bytes for zero copy under way, of all processes of the user together; beyond it "
                                 "sends are copied; this kernel doesn't charge rings to it");
    if (!limit->good)
        describe(limit->advice, "raise it: ulimit -l 8192 (KiB), LimitMEMLOCK=8M in a systemd unit, or "
                                "memlock in /etc/security/limits.conf");
}

static void addNofile(struct Limit* limit)
{
    uint64_t hard;
    limit->name = "nofile";
    limit->numeric = true;
    limit->value = softLimit(RLIMIT_NOFILE, &hard);
    limit->good = limit->value >= nofileEnough;
    describe(limit->meaning, "descriptors: one for each socket (two for a pipe or a terminal), two or three for "
                             "each ring; at the limit a listener pauses until one is free (EMFILE)");
    if (!limit->good && hard > limit->value)
        describe(limit->advice, "for many connections raise it: setrlimit in the program or ulimit -n, up to "
                                "%" PRIu64 " without privilege; LimitNOFILE= in a systemd unit",
                 hard);
    else if (!limit->good)
        describe(limit->advice, "for many connections have it raised: LimitNOFILE= in a systemd unit, or "
                                "nofile in /etc/security/limits.conf");
}

static void addDisabled(struct Limit* limit)
{
    int value = readDisabled();
    limit->name = "kernel.io_uring_disabled";
    limit->numeric = value >= 0;
    limit->value = (uint64_t)value;
    limit->word = "absent";
    limit->good = value <= 0;
    if (value < 0)
        describe(limit->meaning, "this kernel has no such switch (it came with 6.6), or /proc can't be read");
    else if (value == 0)
        describe(limit->meaning, "every process may use io_uring");
    else if (value == 1)
        describe(limit->meaning, "only CAP_SYS_ADMIN and the group kernel.io_uring_group may use io_uring");
    else
        describe(limit->meaning, "nobody may use io_uring");
    if (value == 1)
        describe(limit->advice, "put the program's user into the group of kernel.io_uring_group, or as root: "
                                "sysctl kernel.io_uring_disabled=0");
    else if (value > 1)
        describe(limit->advice, "as root: sysctl kernel.io_uring_disabled=0");
}

static void addSeccomp(struct Limit* limit, bool refused)
{
    uint64_t mode = readStatus("Seccomp", 10, UINT64_MAX);
    limit->name = "seccomp";
    limit->word = mode == 0 ? "none" : mode == UINT64_MAX ? "unknown"
                                                          : "filter";
    limit->good = mode == 0 || !refused;
    if (mode == 0)
        describe(limit->meaning, "no system call of this process is filtered");
    else if (mode == UINT64_MAX)
        describe(limit->meaning, "/proc/self/status doesn't tell");
    else if (refused)
        describe(limit->meaning, "system calls of this process are filtered, which may be why io_uring is "
                                 "refused");
    else
        describe(limit->meaning, "system calls of this process are filtered, and io_uring passes");
    if (!limit->good)
        describe(limit->advice, "%s", seccompAdvice);
}

/* A call that can't succeed tells whether it is let through, by an error of the kernel's own. */
static bool passesSetup(void)
{
    return syscall(__NR_io_uring_setup, 1, NULL) < 0 && errno == EFAULT;
}

static bool isRefusal(int error)
{
    return error == EPERM || error == ENOSYS || error == EACCES;
}

static bool passesEnter(void)
{
    return syscall(__NR_io_uring_enter, -1, 0, 0, 0, NULL, 0) < 0 && !isRefusal(errno);
}

static bool passesRegister(void)
{
    return syscall(__NR_io_uring_register, -1, 0, NULL, 0) < 0 && !isRefusal(errno);
}

static bool isOld(const struct utsname* system)
{
    int major = 0;
    int minor = 0;
    /* NOLINTNEXTLINE(cert-err34-c): no release of a kernel overflows an int */
    if (sscanf(system->release, "%d.%d", &major, &minor) != 2)
        return false;
    return major < OLDEST_MAJOR || (major == OLDEST_MAJOR && minor < OLDEST_MINOR);
}

/* One of the three calls is let through and another not, which no kernel does by itself. */
static bool explainPart(struct Report* report)
{
    bool enter = passesEnter();
    bool registration = passesRegister();
    if (!passesSetup() || (enter && registration))
        return false;
    describe(report->reason, "io_uring_setup passes, but %s is refused: by a seccomp filter on this process, or by "
                             "what stands in for the kernel",
             registration ? "io_uring_enter" : enter ? "io_uring_register"
                                                     : "io_uring_enter, as io_uring_register,");
    describe(report->advice, "%s", seccompAdvice);
    return true;
}

/* Most certain first. A program can't see who refused it; these are what it can see. */
static void explainRefusal(struct Report* report)
{
    const struct Limit* disabled = &report->limits[LIMIT_DISABLED];
    const struct Limit* seccomp = &report->limits[LIMIT_SECCOMP];
    if (report->error == EMFILE || report->error == ENFILE) {
        describe(report->reason, "no descriptor is free");
        describe(report->advice, "raise nofile: ulimit -n");
    } else if (report->error == ENOMEM) {
        describe(report->reason, "not enough memory, or, where the kernel charges rings to memlock, not enough that may "
                                 "be locked");
        describe(report->advice, "raise memlock: ulimit -l 8192 (KiB), LimitMEMLOCK=8M in a systemd unit");
    } else if (explainPart(report)) {
        return;
    } else if (isOld(&report->system) && passesSetup()) {
        describe(report->reason, "this kernel's io_uring is older than 6.1 and lacks what the library needs");
        describe(report->advice, "use Linux 6.1 or later");
    } else if (report->error == EPERM && !disabled->good) {
        describe(report->reason, "kernel.io_uring_disabled is %" PRIu64 ": %s", disabled->value,
                 disabled->meaning);
        describe(report->advice, "%s", disabled->advice);
    } else if (report->error == ENOSYS && passesSetup()) {
        describe(report->reason, "io_uring is there, but a part of it that the library needs is not: "
                                 "multishot receives or buffer rings");
        describe(report->advice, "use an unaltered Linux 6.1 or later");
    } else if (!seccomp->good) {
        describe(report->reason, "a seccomp filter on this process, as those of containers, sandboxes and "
                                 "service managers");
        describe(report->advice, "%s", seccomp->advice);
    } else if (report->error == ENOSYS) {
        describe(report->reason, "the kernel was built without io_uring (CONFIG_IO_URING), or what stands in "
                                 "for it has none");
        describe(report->advice, "use a kernel of 6.1 or later with CONFIG_IO_URING=y");
    } else {
        describe(report->reason, "a security module of the system (SELinux, AppArmor or another)");
        describe(report->advice, "allow the program io_uring in the module's policy; its log names the denial");
    }
}

/* ---- the engines ---- */

static void setEngine(const char* name)
{
    if (name != NULL)
        setenv("FASTSOCKET_ENGINE", name, 1);
    else
        unsetenv("FASTSOCKET_ENGINE");
}

/* The engine that a program gets if the variable says so; NULL with errno if none. */
static const char* tryEngine(const char* wanted, uint64_t* features)
{
    setEngine(wanted);
    struct FastRing* ring = CreateFastRing(0);
    int error = errno;
    const char* engine = GetFastRingEngine(ring);
    *features = GetFastRingFeatures(ring);
    ReleaseFastRing(ring);
    errno = error;
    return engine;
}

static bool isUring(const char* engine)
{
    return engine != NULL && strcmp(engine, "io_uring") == 0;
}

/*
 * Why a program has no ring on io_uring, or 0. One that can be made, but not taken where there is a
 * choice, has no memory for its buffers. A probe that has more rights than its caller can't ask for
 * io_uring alone.
 */
static int findError(const struct Report* report)
{
    uint64_t offered;
    bool any = report->wanted == NULL || report->wanted[0] == '\0';
    if (isUring(report->engine) || (!any && isUring(tryEngine(NULL, &offered))))
        return 0;
    const char* engine = tryEngine("io_uring", &offered);
    if (engine == NULL)
        return errno;
    return isUring(engine) ? ENOMEM : EPERM;
}

/* First what a program gets, since the kernel gives back late what it has charged to memlock. */
static void findEngine(struct Report* report)
{
    report->engine = tryEngine(report->wanted, &report->features);
    report->engineError = report->engine == NULL ? errno : 0;
    report->error = findError(report);
}

static void explainChoice(struct Report* report)
{
    bool any = report->wanted == NULL || report->wanted[0] == '\0';
    if (report->engine == NULL && report->engineError == EINVAL && !any)
        describe(report->choice, "FASTSOCKET_ENGINE=%s names no engine; io_uring and epoll are known", report->wanted);
    else if (report->engine == NULL && !any && (isRefusal(report->engineError) || report->engineError == ENOMEM))
        describe(report->choice, "FASTSOCKET_ENGINE=%s asks for io_uring alone", report->wanted);
    else if (report->engine == NULL)
        describe(report->choice, "%s (%s)", errorName(report->engineError), strerror(report->engineError));
    else if (!any)
        describe(report->choice, "FASTSOCKET_ENGINE=%s asks for it", report->wanted);
    else if (report->error == 0)
        describe(report->choice, "the system allows it");
    else
        describe(report->choice, "io_uring is refused");
}

static void collect(struct Report* report)
{
    const char* wanted = getenv("FASTSOCKET_ENGINE");
    report->wanted = wanted != NULL ? strdup(wanted) : NULL; /* setenv takes the other away */
    report->masked = getenv("FASTSOCKET_FEATURES_OFF");
    findEngine(report);
    explainChoice(report);
    (void)uname(&report->system);
    addMemlock(&report->limits[LIMIT_MEMLOCK], report);
    addNofile(&report->limits[LIMIT_NOFILE]);
    addDisabled(&report->limits[LIMIT_DISABLED]);
    addSeccomp(&report->limits[LIMIT_SECCOMP], report->error == EPERM || report->error == ENOSYS);
    if (report->error != 0)
        explainRefusal(report);
    else
        report->limits[LIMIT_DISABLED].advice[0] = '\0'; /* this process is one of those allowed */
}

static enum FeatureState stateOf(const struct Report* report, const struct Feature* feature)
{
    if (report->engine == NULL)
        return FEATURE_UNKNOWN;
    if (report->features & feature->bit)
        return FEATURE_USED;
    if (isOnEpoll(report) && ofRings & feature->bit)
        return FEATURE_UNNEEDED;
    if (feature->bit == FASTRING_FEATURE_COOP_TASKRUN &&
        report->features & FASTRING_FEATURE_DEFER_TASKRUN)
        return FEATURE_UNNEEDED;
    return FEATURE_ABSENT;
}

/* ---- text ---- */

static void printLimit(const struct Limit* limit)
{
    char value[32] = "unlimited";
    if (!limit->numeric)
        snprintf(value, sizeof(value), "%s", limit->word);
    else if (limit->value != RLIM_INFINITY)
        snprintf(value, sizeof(value), "%" PRIu64, limit->value);
    printf("  %s = %s\n      %s\n", limit->name, value, limit->meaning);
    if (limit->advice[0] != '\0')
        printf("      What to do: %s\n", limit->advice);
}

static void printFeature(const struct Report* report, const struct Feature* feature)
{
    enum FeatureState state = stateOf(report, feature);
    printf("  %-8s  %-17s  %-5s  ", stateNames[state], feature->name, feature->kernel);
    if (state == FEATURE_ABSENT)
        printf("instead: %s\n", feature->instead);
    else if (state == FEATURE_UNNEEDED && isOnEpoll(report))
        printf("epoll has no use for it\n");
    else if (state == FEATURE_UNNEEDED)
        printf("DEFER_TASKRUN does more\n");
    else
        printf("%s\n", feature->gain);
}

static void printText(const struct Report* report)
{
    printf("libfastsocket %s on %s %s, %s\n\n", GetFastSocketVersion(), report->system.sysname,
           report->system.release, report->system.machine);
    if (report->engine != NULL)
        printf("Programs run on %s: %s.\n\n", report->engine, report->choice);
    else
        printf("Programs get no ring: %s.\n\n", report->choice);
    if (report->error == 0)
        printf("io_uring works.\n");
    else
        printf("io_uring is refused: %s (%s).\n  Why: %s\n  What to do: %s\n", errorName(report->error),
               strerror(report->error), report->reason, report->advice);

    if (report->engine != NULL) {
        printf(isOnEpoll(report) ? "\nFeatures of epoll, and the kernel whose io_uring has them\n"
                                 : "\nFeatures, and the kernel they came with\n");
        if (report->masked != NULL)
            printf("  (FASTSOCKET_FEATURES_OFF=%s hides some)\n", report->masked);
        for (int index = 0; index < FEATURE_COUNT; index++)
            printFeature(report, &features[index]);
    }

    printf("\nLimits\n");
    for (int index = 0; index < LIMIT_COUNT; index++)
        printLimit(&report->limits[index]);
}

/* ---- JSON ---- */

static void printString(const char* text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else if (byte < ' ' || byte > '~') /* what it is in Latin-1: output is UTF-8 whatever comes in */
            printf("\\u%04x", byte);
        else
            putchar(byte);
    }
    putchar('"');
}

static void printMember(const char* name, const char* text)
{
    printf("\"%s\": ", name);
    if (text == NULL || text[0] == '\0')
        printf("null");
    else
        printString(text);
}

static void printJsonFeature(const struct Report* report, const struct Feature* feature)
{
    printf("{");
    printMember("name", feature->name);
    printf(", \"bit\": %d, ", __builtin_ctzll(feature->bit));
    printMember("kernel", feature->kernel);
    printf(", ");
    printMember("state", stateNames[stateOf(report, feature)]);
    printf(", ");
    printMember("gain", feature->gain);
    printf(", ");
    printMember("instead", feature->instead);
    printf("}");
}

static void printJsonLimit(const struct Limit* limit)
{
    printf("{");
    printMember("name", limit->name);
    printf(", \"value\": ");
    if (!limit->numeric)
        printString(limit->word);
    else if (limit->value == RLIM_INFINITY)
        printString("unlimited");
    else
        printf("%" PRIu64, limit->value);
    printf(", \"good\": %s, ", limit->good ? "true" : "false");
    printMember("meaning", limit->meaning);
    printf(", ");
    printMember("advice", limit->advice);
    printf("}");
}

static void printJson(const struct Report* report)
{
    printf("{\n  ");
    printMember("version", GetFastSocketVersion());
    printf(",\n  ");
    printMember("kernel", report->system.release);
    printf(",\n  ");
    printMember("machine", report->system.machine);
    printf(",\n  ");
    printMember("engine", report->engine);
    printf(",\n  ");
    printMember("choice", report->choice);
    printf(",\n  ");
    printMember("wanted", report->wanted);
    printf(",\n  \"works\": %s,\n  ", report->error == 0 ? "true" : "false");
    printMember("error", report->error == 0 ? NULL : errorName(report->error));
    printf(",\n  ");
    printMember("reason", report->reason);
    printf(",\n  ");
    printMember("advice", report->advice);
    printf(",\n  ");
    printMember("masked", report->masked);
    printf(",\n  \"features\": [");
    for (int index = 0; index < FEATURE_COUNT; index++) {
        printf("%s\n    ", index > 0 ? "," : "");
        printJsonFeature(report, &features[index]);
    }
    printf("\n  ],\n  \"limits\": [");
    for (int index = 0; index < LIMIT_COUNT; index++) {
        printf("%s\n    ", index > 0 ? "," : "");
        printJsonLimit(&report->limits[index]);
    }
    printf("\n  ]\n}\n");
}

/* ---- */

static int usage(FILE* file)
{
    fprintf(file, "usage: fastsocket-probe [--json | --help | --version]\n"
                  "Tells what this machine offers libfastsocket: the engine that a program gets and why,\n"
                  "io_uring or what refuses it, features, and limits.\n"
                  "  --json     the same for programs\n"
                  "Exit status: 0 io_uring works; 1 it is refused; 2 wrong arguments, or no output.\n");
    return file == stdout ? 0 : EXIT_USAGE;
}

/* A full disk or a closed output shows here at the latest. */
static int finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("fastsocket-probe");
    return EXIT_USAGE;
}

int main(int count, char** arguments)
{
    static struct Report report;
    const char* option = count > 1 ? arguments[1] : "";
    if (count > 2)
        return usage(stderr);
    if (strcmp(option, "--help") == 0)
        return finish(usage(stdout));
    if (strcmp(option, "--version") == 0) {
        printf("fastsocket-probe %s\n", GetFastSocketVersion());
        return finish(0);
    }
    if (count > 1 && strcmp(option, "--json") != 0)
        return usage(stderr);

    collect(&report);
    if (count > 1)
        printJson(&report);
    else
        printText(&report);
    return finish(report.error == 0 ? 0 : EXIT_REFUSED);
}
