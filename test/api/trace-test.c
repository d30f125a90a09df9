/* Traces: FASTSOCKET_TRACE=FILE, a line for all that happens. Each program is a child. */
#define _GNU_SOURCE

#include "program.h"
#include "suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <regex.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum
{
    THREADS = 4,
    ROUNDS = 200, /* of an echo */
    TURNS = 2000,
    TEXT = 32 << 20,
    SMALL_FILE = 4096,
};

static char folder[SMALL];
static char name[2 * SMALL]; /* of the file, or what it is made of */
static char* text;           /* of the file */

static void makeFolder(void)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/fastsocket-trace-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(name, sizeof(name), "%s/trace", folder);
    text = malloc(TEXT);
    ck_assert_ptr_nonnull(text);
}

static void removeFolder(void)
{
    free(text);
    (void)unlink(name);
    ck_assert_int_eq(rmdir(folder), 0);
}

AREA(trace, "trace", .open = makeFolder, .close = removeFolder);

static void readFile(void)
{
    FILE* stream = fopen(name, "re");
    ck_assert_ptr_nonnull(stream);
    text[fread(text, 1, TEXT - 1, stream)] = '\0';
    (void)fclose(stream);
}

static void runTraced(void (*program)(void))
{
    struct Result result = runProgram(program, "FASTSOCKET_TRACE", name);
    ck_assert_msg(result.status == 0, "status %x: %s", (unsigned)result.status, result.text);
    readFile();
}

static void find(const char* words)
{
    ck_assert_msg(strstr(text, words) != NULL, "no «%s» in: %.4000s", words, text);
}

static int countWords(const char* words)
{
    int found = 0;
    for (const char* place = text; (place = strstr(place, words)) != NULL; place++)
        found++;
    return found;
}

/* ---- a connection ---- */

static int left; /* rounds */

static void echo(struct FastSocket* socket, int event, int parameter)
{
    char data[SMALL];
    ssize_t count;
    (void)parameter;
    while (event == POLLIN && (count = ReceiveFastSocketData(socket, data, sizeof(data), 0)) > 0)
        need(TransmitFastSocketData(socket, NULL, 0, data, (size_t)count, 0) == 0);
    left -= event == POLLIN;
}

static void echoRounds(int rounds)
{
    char data[SMALL] = "";
    struct FastSocket* socket = makeSocket();
    need(SetFastSocketHandler(socket, echo, NULL) == 0);
    for (left = rounds; left > 0;) {
        int before = left;
        need(write(peer, data, SMALL) == SMALL);
        while (left == before)
            need(WaitForFastRing(ring, 1000, NULL) == 0);
        runUntilQuiet();
        need(recv(peer, data, SMALL, MSG_WAITALL) == SMALL);
    }
    close(peer);
    ReleaseFastSocket(socket);
    runUntilQuiet();
    need(WaitForFastRing(ring, 0, NULL) == 0);
}

static void echoOnce(void)
{
    makeRing();
    echoRounds(1);
    ReleaseFastRing(ring);
}

static void echoOften(void)
{
    makeRing();
    echoRounds(ROUNDS);
    ReleaseFastRing(ring);
}

/* §3.4 trace lines: entries, completions, events, transmits and turns */
CASE(trace, tellsWhatHappens)
{
    runTraced(echoOnce);
    find(" turn ring=0x");
    find(" submit ring=0x");
    find(" op=recv id=");
    find(" complete ring=0x");
    find(" result=100 more=");
    find(" what=POLLOUT parameter=0\n");
    find(" what=POLLIN parameter=100\n");
    find(" transmit object=0x");
    find(" bytes=100 result=0\n");
    find(" op=send");
    find(" what=made on=1\n");
    find(" what=closed on=1\n");
}

/* §3.4 trace lines: of each message, and of calls that have short ways */
CASE(trace, tellsEachMessage)
{
    runTraced(echoOften);
    ck_assert_int_eq(countWords(" transmit object=0x"), ROUNDS);
    ck_assert_int_eq(countWords(" what=POLLIN parameter=100\n"), ROUNDS);
    ck_assert_int_eq(countWords(" result=100 more="), 2 * ROUNDS);
}

/* ---- decisions ---- */

static void pauseSocket(void)
{
    makeRing();
    struct FastSocket* socket = makeSocket();
    need(PauseFastSocket(socket) == 0 && WaitForFastRing(ring, 0, NULL) == 0);
    need(ResumeFastSocket(socket) == 0 && WaitForFastRing(ring, 0, NULL) == 0);
    ReleaseFastRing(ring);
}

static void reachMark(void)
{
    char data[LINE] = "";
    makeRing();
    struct FastSocket* socket = makeSocket();
    need(SetFastSocketOption(socket, FASTSOCKET_OPTION_INBOUND_LOW, 0) == 0);
    need(SetFastSocketOption(socket, FASTSOCKET_OPTION_INBOUND_HIGH, LINE / 2) == 0);
    need(write(peer, data, LINE) == LINE);
    while (GetFastSocketInboundLength(socket) < LINE / 2)
        need(WaitForFastRing(ring, 1000, NULL) == 0);
    need(WaitForFastRing(ring, 0, NULL) == 0);
    while (ReceiveFastSocketData(socket, data, sizeof(data), 0) > 0)
        need(WaitForFastRing(ring, 0, NULL) == 0);
    ReleaseFastRing(ring);
}

static void starve(void)
{
    char data[LINE] = "";
    int pair[2];
    makeRing();
    struct FastBufferPool* pool = CreateFastBufferPool(ring);
    struct FastRingBufferProvider* provider =
        CreateFastRingBufferProvider(ring, 0, 1, SMALL, AllocateRingFastBuffer, pool);
    need(provider != NULL && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    struct FastSocket* socket = CreateFastSocket(ring, provider, pool, pool, pair[0], NULL, 0, 0,
                                                 0, ignoreEvent, NULL);
    need(socket != NULL && write(pair[1], data, LINE) == LINE);
    for (int turn = 0; turn < SMALL; turn++)
        need(WaitForFastRing(ring, 1, NULL) == 0);
    ReleaseFastRing(ring);
}

static void fireTimeout(void)
{
    makeRing();
    (void)makeTimeout(0);
    for (int turn = 0; turn < 2; turn++)
        need(WaitForFastRing(ring, 1, NULL) == 0);
    ReleaseFastRing(ring);
}

static bool hasAccepted;

static void onConnection(struct FastListener* listener, int handle, void* closure)
{
    (void)listener, (void)closure;
    close(handle);
    hasAccepted = true;
}

static void acceptOne(void)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    makeRing();
    struct FastListener* listener = ListenFastSocket(ring, "127.0.0.1:0", 0, onConnection, NULL);
    need(getsockname(GetFastListenerHandle(listener), (struct sockaddr*)&address, &length) == 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    need(connect(client, (struct sockaddr*)&address, length) == 0);
    while (!hasAccepted)
        need(WaitForFastRing(ring, 1000, NULL) == 0);
    ReleaseFastRing(ring);
}

/* §3.4 trace of decisions: why a socket does not receive, and when that is over */
CASE(trace, tellsDecisions)
{
    runTraced(pauseSocket);
    find(" what=paused on=1\n");
    find(" what=paused on=0\n");
    find(" what=receiving on=1\n");
    find(" what=POLLHUP parameter=125\n"); /* ECANCELED */
    runTraced(reachMark);
    find(" what=high-mark on=1\n");
    find(" what=high-mark on=0\n");
    runTraced(starve);
    find("what=starved");
    runTraced(fireTimeout);
    find(" what=timeout parameter=0\n");
    runTraced(acceptOne);
    find(" what=accepted parameter=");
}

/* ---- several at once ---- */

static void* runAlone(void* closure)
{
    (void)closure;
    struct FastRing* own = CreateFastRing(0);
    need(own != NULL);
    for (int turn = 0; turn < TURNS; turn++)
        need(WaitForFastRing(own, 0, NULL) == 0);
    ReleaseFastRing(own);
    return NULL;
}

static void runMany(void)
{
    pthread_t threads[THREADS];
    int status;
    makeRing();
    ReleaseFastRing(ring);
    pid_t child = fork();
    for (int index = 0; index < THREADS; index++)
        need(pthread_create(&threads[index], NULL, runAlone, NULL) == 0);
    for (int index = 0; index < THREADS; index++)
        need(pthread_join(threads[index], NULL) == 0);
    if (child == 0)
        _exit(0);
    need(waitpid(child, &status, 0) == child && status == 0);
}

static void checkLines(void)
{
    regex_t line;
    ck_assert_int_eq(regcomp(&line,
                             "^[0-9]+[.][0-9]{6} [0-9]+ "
                             "(turn|submit|complete|event|transmit|decide)( [a-z]+=[^ ]+)+$",
                             REG_EXTENDED | REG_NOSUB),
                     0);
    char* rest = NULL;
    for (char* next = strtok_r(text, "\n", &rest); next != NULL; next = strtok_r(NULL, "\n", &rest))
        ck_assert_msg(regexec(&line, next, 0, NULL, 0) == 0, "not a line: %s", next);
    regfree(&line);
}

/* §3.4 trace file: whole lines of all threads and forked children, added to what is there */
CASE(trace, keepsLinesWhole)
{
    runTraced(runMany);
    ck_assert_int_eq(countWords(" turn ring="), 1 + 2 * THREADS * TURNS);
    checkLines();
    runTraced(echoOnce);
    ck_assert_int_gt(countWords(" turn ring="), 1 + 2 * THREADS * TURNS);
    checkLines();
}

/* §3.4 trace file: %p is the process */
CASE(trace, namesTheProcess)
{
    char pattern[sizeof(name)];
    (void)snprintf(pattern, sizeof(pattern), "%s/%%p.log", folder);
    struct Result result = runProgram(echoOnce, "FASTSOCKET_TRACE", pattern);
    ck_assert_int_eq(result.status, 0);
    DIR* entries = opendir(folder);
    ck_assert_ptr_nonnull(entries);
    long process = 0;
    for (struct dirent* entry; process == 0 && (entry = readdir(entries)) != NULL;)
        process = strtol(entry->d_name, NULL, 10);
    (void)closedir(entries);
    (void)snprintf(name, sizeof(name), "%s/%ld.log", folder, process);
    readFile();
    char words[SMALL];
    (void)snprintf(words, sizeof(words), " %ld turn ring=", process);
    find(words);
}

/* ---- a file that is none ---- */

static void losesReader(void)
{
    int reader = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    need(reader >= 0 && signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    makeRing();
    close(reader);
    echoRounds(ROUNDS);
    ReleaseFastRing(ring);
}

/* Of a FIFO, what nobody reads is lost, whether there was somebody or not; and nobody waits. */
CASE(trace, losesWhatNobodyReads)
{
    ck_assert_int_eq(mkfifo(name, 0600), 0);
    struct Result result = runProgram(echoOften, "FASTSOCKET_TRACE", name);
    ck_assert_int_eq(result.status, 0);
    result = runProgram(losesReader, "FASTSOCKET_TRACE", name);
    ck_assert_int_eq(result.status, 0);
    int reader = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_ge(reader, 0);
    result = runProgram(echoOften, "FASTSOCKET_TRACE", name);
    ck_assert_int_eq(result.status, 0);
    ssize_t count = read(reader, text, TEXT - 1);
    close(reader);
    ck_assert_int_gt(count, 0);
    text[count] = '\0';
    checkLines();
}

static void growsTooLarge(void)
{
    const struct rlimit limit = {SMALL_FILE, SMALL_FILE};
    need(signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
    makeRing();
    need(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    echoRounds(ROUNDS);
    ReleaseFastRing(ring);
}

/* §3.4 trace off: what is more than files may have is lost, and kills nobody */
CASE(trace, endsWhereFilesDo)
{
    struct stat status;
    struct Result result = runProgram(growsTooLarge, "FASTSOCKET_TRACE", name);
    ck_assert_int_eq(result.status, 0);
    ck_assert_int_eq(stat(name, &status), 0);
    ck_assert_int_eq((int)status.st_size, SMALL_FILE);
}

static int findTrace(void)
{
    struct stat trace;
    struct stat status;
    need(stat(name, &trace) == 0);
    for (int handle = 3; handle < 1024; handle++)
        if (fstat(handle, &status) == 0 && status.st_ino == trace.st_ino &&
            status.st_dev == trace.st_dev)
            return handle;
    need(false);
    return -1;
}

/* As daemons close all that they have inherited. */
static void closesTrace(void)
{
    char other[sizeof(name) + 8];
    struct stat status;
    makeRing();
    snprintf(other, sizeof(other), "%s.other", name);
    int file = open(other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    need(file >= 0 && dup2(file, findTrace()) >= 0 && unlink(other) == 0);
    echoRounds(ROUNDS);
    need(fstat(file, &status) == 0 && status.st_size == 0);
    ReleaseFastRing(ring);
}

/* §3.4 trace file: its number may be another file's then, which is none of its business */
CASE(trace, endsWithItsDescriptor)
{
    struct Result result = runProgram(closesTrace, "FASTSOCKET_TRACE", name);
    ck_assert_int_eq(result.status, 0);
}

/* ---- what is traced is as ever ---- */

/* §3.4 trace off: nothing is written, and what happens is the same with a file that can't be */
CASE(trace, changesNothing)
{
    struct stat status;
    struct Result result = runProgram(echoOften, "FASTSOCKET_TRACE", NULL);
    ck_assert_int_eq(result.status, 0);
    result = runProgram(echoOften, "FASTSOCKET_TRACE", "/nowhere/trace");
    ck_assert_int_eq(result.status, 0);
    result = runProgram(echoOften, "FASTSOCKET_TRACE", "/dev/full");
    ck_assert_int_eq(result.status, 0);
    ck_assert_str_eq(result.text, "");
    ck_assert_int_lt(stat(name, &status), 0);
}
