/*
 * Counts the system calls of a program, between the calls of prctl(2) with which it says where to
 * count (counted.h). Prints what there were, by number, and of what kind, whenever it says so:
 * «calls 426 80 7 1» and «kinds waits 80 receives 0 sends 0».
 *
 * usage: calls PROGRAM ARGUMENT...
 * Exit status: the program's; 77 where nothing can be traced.
 */
#include "counted.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

enum
{
    NUMBERS = 1024,
    CANNOT = 77,
};

static uint64_t counts[NUMBERS];
static bool counting;

/* Those by which a program without io_uring serves connections. */
static const struct
{
    const char* name;
    long numbers[3];
} kinds[] = {
    {"waits", {SYS_epoll_pwait, SYS_epoll_pwait2, SYS_ppoll}},
    {"receives", {SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg}},
    {"sends", {SYS_sendto, SYS_sendmsg, SYS_sendmmsg}},
};

static void printKinds(void)
{
    printf("kinds");
    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(*kinds); kind++) {
        unsigned long long sum = 0;
        for (size_t index = 0; index < sizeof(kinds->numbers) / sizeof(long); index++)
            sum += counts[kinds[kind].numbers[index]];
        printf(" %s %llu", kinds[kind].name, sum);
    }
    printf("\n");
}

static void print(void)
{
    printf("calls");
    for (int number = 0; number < NUMBERS; number++) {
        if (counts[number] > 0)
            printf(" %d %llu", number, (unsigned long long)counts[number]);
    }
    printf("\n");
    printKinds();
    fflush(stdout);
    memset(counts, 0, sizeof(counts));
}

static void noteCall(const struct __ptrace_syscall_info* call)
{
    if (call->entry.nr == SYS_prctl && call->entry.args[0] == COUNTED_CALL) {
        if (call->entry.args[1] == CALLS_PRINT)
            print();
        else
            counting = call->entry.args[1] == CALLS_BEGIN;
    } else if (counting && call->entry.nr < NUMBERS) {
        counts[call->entry.nr]++;
    }
}

/* It has stopped: at a call, or for a signal, which is returned. */
static int noteStop(pid_t child, int status)
{
    struct __ptrace_syscall_info call;
    if (WSTOPSIG(status) != (SIGTRAP | 0x80))
        return WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
    if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(call), &call) > 0 &&
        call.op == PTRACE_SYSCALL_INFO_ENTRY)
        noteCall(&call);
    return 0;
}

static int trace(pid_t child)
{
    int status;
    long signal = 0;
    if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status))
        return CANNOT;
    if (ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
        return CANNOT;
    do {
        if (ptrace(PTRACE_SYSCALL, child, 0, signal) < 0 || waitpid(child, &status, 0) < 0)
            return 1;
        signal = WIFSTOPPED(status) ? noteStop(child, status) : 0;
    } while (WIFSTOPPED(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char** argv)
{
    if (argc < 2)
        return 2;
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
            _exit(CANNOT);
        execv(argv[1], argv + 1);
        _exit(127);
    }
    return child < 0 ? 1 : trace(child);
}
