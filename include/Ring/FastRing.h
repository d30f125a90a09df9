/*
 * Ring/FastRing.h: the event loop of libfastsocket.
 *
 * A ring is an event loop, on io_uring or epoll. It owns timeouts, watches on foreign descriptors,
 * events that other threads submit, raw operations ("descriptors") and the buffers that the kernel
 * receives into. Sockets (Ring/FastSocket.h) live on a ring.
 *
 * Rules that hold for every function here, unless its own comment says otherwise:
 *
 * Thread     A ring belongs to the first thread that calls WaitForFastRing. Every other function is
 *            called on that thread; callbacks run on it and may call everything but
 *            WaitForFastRing. Before the first wait, any one thread at a time counts as the ring's
 *            (the caller synchronizes the hand-over). From another thread a function returns
 *            -EPERM, or NULL with errno EPERM; functions without a result do nothing.
 * Errors     Functions that return a pointer give NULL and set errno; the others return 0 or a
 *            count, or a negative errno. A NULL argument that may not be NULL gives EINVAL.
 * Ownership  What a Create, Allocate, Add or Set function returns is the caller's, until given to
 *            the matching Release or Remove, which accepts NULL. Anything may be released inside
 *            any callback, its own included: nothing is delivered for it afterwards.
 * Leaving    A function of the program's that the library calls may be left by longjmp, a C++
 *            exception or what other languages have for it, instead of returning (since 1.1): it
 *            counts as done. The next WaitForFastRing or ReleaseFastRing of that ring finds this
 *            out, and goes on where the turn was left: nothing is lost, and nothing told twice.
 *            That call stands no deeper on the thread's own stack than the one that was left: in
 *            the same function, or further out. Else, and with stacks of coroutines, it may be
 *            taken for a nested one (-EBUSY; a release waits for the next wait). Signal handlers,
 *            and functions that make or release a provider's buffers, return; another thread may
 *            release the ring of a loop that can't do so, when its own thread has exited.
 * Fork       A forked child is another thread than the ring's, whatever thread has forked, and by
 *            whichever call: it gets -EPERM, also from SubmitFastRingEvent, and ReleaseFastRing
 *            does nothing there. Buffers may be read and released. It makes a ring of its own, or
 *            calls exec or _exit. A daemon forks before it creates its ring.
 * Defunct    When a ring is released before the objects made on it, these become defunct: valid
 *            until their own Release, and every other call on them fails with -ECANCELED.
 * Since      1.0, where nothing else is said.
 */
#ifndef RING_FASTRING_H
#define RING_FASTRING_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/select.h> /* sigset_t, also where only ISO C is asked for */
#include <time.h>

#ifdef __cplusplus
extern "C"
{
#endif

struct timespec; /* which <time.h> leaves out where only ISO C of before 2011 is asked for */

struct io_uring_sqe; /* of liburing or <linux/io_uring.h>: needed only to use descriptors */
struct io_uring_cqe;

struct FastRing;
struct FastRingDescriptor;
struct FastRingFlusher;
struct FastRingTimeout;
struct FastRingWatch;
struct FastRingEvent;
struct FastRingSignal;
struct FastRingBufferProvider;
struct FastSocket; /* of Ring/FastSocket.h */

/* ---- the loop ------------------------------------------------------------------------------ */

/*
 * Creates a ring.
 *
 * length     submission entries, rounded up to a power of two, 2 to 32768; 0 = automatic (256).
 *            Halved, down to 64, while the kernel refuses the memory (which Linux 6.16 to 6.18
 *            charge to RLIMIT_MEMLOCK). It bounds only what enters the kernel at once, not the
 *            number of sockets or operations.
 * Engine     io_uring. Where the system refuses that, or a part of it that is needed, epoll runs
 *            the same operations by system calls, since 1.1: containers, sandboxes, the setting
 *            kernel.io_uring_disabled, kernels before 6.1, a memory-lock limit that has no room for
 *            a ring. The environment variable FASTSOCKET_ENGINE, "io_uring" or "epoll", asks for
 *            that one alone. (Not in a program with more rights than its caller.)
 *
 * Thread:    any.
 * Returns:   the ring, or NULL with errno EINVAL (length, or another word in FASTSOCKET_ENGINE),
 *            ENOMEM, EMFILE, ENFILE; or, where io_uring alone is asked for, EPERM, EACCES or ENOSYS
 *            if the system refuses it. Before 1.1 these came in any case.
 */
struct FastRing* CreateFastRing(uint32_t length);

/*
 * Returns why the last CreateFastRing of the calling thread has failed: a sentence for people, that
 * names the cause, with the limit or the setting that has led to it, and what helps. Print it, and
 * go by errno: it may change between releases. fastsocket-probe looks closer.
 *
 * Thread:    any; each has its own.
 * Returns:   the text, which is the library's, and stays until the thread's next CreateFastRing, or
 *            its end; NULL where the last one has made a ring, or there was none.
 * Since:     1.1
 */
const char* GetFastRingCreateError(void);

/*
 * Releases a ring: cancels every operation, waits for the kernel to give back what it holds, tells
 * each live socket POLLHUP with ECANCELED (unless it had its POLLHUP), and makes whatever is left
 * on the ring defunct. Queued output is dropped: to have it sent first, call WaitForFastRing until
 * GetFastRingPending is 0. When it returns, sockets and listeners are closed, and the kernel holds
 * no file any more for the sake of the ring; unless the ring's thread has exited, or an operation
 * could not be ended within five seconds: then that comes some time later.
 *
 * ring       may be NULL.
 *
 * Thread:    the ring's. Inside a callback it takes effect when the turn ends: that WaitForFastRing
 *            returns -ECANCELED and the ring must not be touched again. When the ring's thread has
 *            exited, any thread may call it, at once after pthread_join too, while no other submits
 *            events; nothing is delivered then.
 */
void ReleaseFastRing(struct FastRing* ring);

/*
 * Runs one turn of the loop: gives queued work to the kernel, waits for something to happen, calls
 * the handlers.
 *
 * interval   longest wait in milliseconds; 0 = don't wait; UINT32_MAX = no limit.
 * mask       signals blocked during the wait, as in ppoll(2), or NULL.
 *
 * Thread:    the first caller becomes the ring's thread. Not inside a callback.
 * Returns:   0 when a turn ran, the interval passed or a signal came; -EINVAL, -EPERM (other
 *            thread), -EBUSY (inside a callback), -ECANCELED (the ring was released in this turn),
 *            or another negative errno when the ring is dead (-EOWNERDEAD: its thread has exited).
 *            pthread_cancel ends a thread that waits, since 1.1, and any other may then release the
 *            ring.
 */
int WaitForFastRing(struct FastRing* ring, uint32_t interval, sigset_t* mask);

/*
 * Returns a descriptor that polls readable (POLLIN) when the ring has completions to handle, and,
 * since 1.1, when something is queued for its next turn, or its first timeout was set, outside a
 * turn: add it to a foreign event loop, and call WaitForFastRing(ring, 0, NULL) when it is readable
 * or when GetFastRingInterval has passed. So a loop that can't ask for the interval just before it
 * sleeps asks after each turn. It belongs to the ring: never read or close it.
 *
 * Returns:   the descriptor, the same at each call; or -EINVAL, -EPERM, -ECANCELED, -EMFILE,
 *            -ENFILE, -ENOMEM.
 */
int GetFastRingHandle(struct FastRing* ring);

/*
 * Returns how long a foreign loop may sleep before it must run the ring although the handle stays
 * quiet. Ask after all other work, just before sleeping, or after each turn.
 *
 * Returns:   milliseconds; 0 = work is queued, run now; -1 = nothing, sleep as you like; -EINVAL
 *            for NULL; -EPERM, which is -1 too, in another thread.
 */
int GetFastRingInterval(struct FastRing* ring);

/*
 * Returns the number of sockets with output that the kernel has not accepted, plus released sockets
 * whose file is not let go of yet: when it is 0, each has been closed, and no operation keeps its
 * file (a program that was written by FILE_IO can be executed, say). A program that wants its data
 * out waits until this is 0 before it releases the ring. 0 for NULL, or from another thread.
 */
size_t GetFastRingPending(struct FastRing* ring);

/*
 * Tells whether the calling thread is the ring's.
 *
 * Thread:    any.
 * Returns:   1 or 0; 1 for everyone before the first wait; 0 for NULL.
 */
int IsFastRingThread(struct FastRing* ring);

/* What the ring's engine offers, which for io_uring is found by trying. Without a feature the
 * library does the same work in an older way. The kernels are those whose io_uring brought them. */
#define FASTRING_FEATURE_SINGLE_ISSUER      (UINT64_C(1) << 0)  /* kernel 6.0 */
#define FASTRING_FEATURE_DEFER_TASKRUN      (UINT64_C(1) << 1)  /* 6.1 */
#define FASTRING_FEATURE_COOP_TASKRUN       (UINT64_C(1) << 2)  /* 5.19 */
#define FASTRING_FEATURE_NO_SQARRAY         (UINT64_C(1) << 3)  /* 6.6 */
#define FASTRING_FEATURE_NO_IOWAIT          (UINT64_C(1) << 4)  /* 6.15 */
#define FASTRING_FEATURE_RECEIVE_MULTISHOT  (UINT64_C(1) << 5)  /* 6.0 */
#define FASTRING_FEATURE_RECEIVE_BUNDLE     (UINT64_C(1) << 6)  /* 6.10 */
#define FASTRING_FEATURE_RECEIVE_CAP        (UINT64_C(1) << 7)  /* 6.17: of a multishot receive */
#define FASTRING_FEATURE_ACCEPT_MULTISHOT   (UINT64_C(1) << 8)  /* 5.19: for raw operations only */
#define FASTRING_FEATURE_SEND_ZERO_COPY     (UINT64_C(1) << 9)  /* 6.0 */
#define FASTRING_FEATURE_SENDMSG_ZERO_COPY  (UINT64_C(1) << 10) /* 6.1 */
#define FASTRING_FEATURE_ZERO_COPY_REPORT   (UINT64_C(1) << 11) /* 6.2: tells when it copied */
#define FASTRING_FEATURE_READ_MULTISHOT     (UINT64_C(1) << 12) /* 6.7 */
#define FASTRING_FEATURE_WRITE_NO_SIGNAL    (UINT64_C(1) << 13) /* 6.18: pipes raise no SIGPIPE */
#define FASTRING_FEATURE_NAPI               (UINT64_C(1) << 14) /* 6.9: busy polling; since 1.1 */
#define FASTRING_FEATURE_MINIMUM_WAIT       (UINT64_C(1) << 15) /* 6.12; since 1.1 */
#define FASTRING_FEATURE_ACCEPT_AT_ONCE     (UINT64_C(1) << 16) /* 6.10; since 1.1 */

/*
 * Returns the FASTRING_FEATURE_* bits of this ring; 0 for NULL. RECEIVE_BUNDLE and RECEIVE_CAP go
 * when the kernel is caught at a completion that can't be true (invalidCompletions of the
 * statistics).
 *
 * Thread:    any.
 */
uint64_t GetFastRingFeatures(struct FastRing* ring);

/*
 * Returns what runs this ring's operations: "io_uring", or "epoll" where the system refuses
 * io_uring (or FASTSOCKET_ENGINE in the environment says so; see CreateFastRing). Everything else
 * is the same on both, but for speed. The text is the library's, and stays; NULL for NULL.
 *
 * Thread:    any.
 * Since:     1.1
 */
const char* GetFastRingEngine(struct FastRing* ring);

/*
 * Options of a ring.
 *
 * INBOUND_LIMIT  bytes of unread input of all sockets together, from 4096, default 256 MiB
 * TURN_LIMIT     completions handled per turn, 1 to 65536, default 256
 * SPIN           microseconds to spin before sleeping, adaptive, at most 10000, default 0
 * POOL_RESERVE   bytes of free memory that each pool may keep, default 256 MiB, 0 = none; since 1.1
 * NAPI_BUSY_POLL microseconds that a wait polls network devices before it sleeps, at most 1000000,
 *                default 0 = never; needs FASTRING_FEATURE_NAPI; since 1.1
 * NAPI_PREFER    1: the devices' interrupts stay off between such polls, 0: they don't; default 0;
 *                needs FASTRING_FEATURE_NAPI; since 1.1
 * MINIMUM_WAIT   microseconds that a wait goes on for more completions, at most 1000000, default 0;
 *                needs FASTRING_FEATURE_MINIMUM_WAIT; since 1.1
 * BUFFER_COUNT   buffers of the ring's own provider (see OpenFastSocket), 1 to 32768, rounded up to
 *                a power of two, default 256; since 1.1
 * BUFFER_LENGTH  bytes of each of them, 64 to 16 MiB, default 16384; since 1.1
 */
#define FASTRING_OPTION_INBOUND_LIMIT  1
#define FASTRING_OPTION_TURN_LIMIT     2
#define FASTRING_OPTION_SPIN           3
#define FASTRING_OPTION_POOL_RESERVE   4
#define FASTRING_OPTION_NAPI_BUSY_POLL 5
#define FASTRING_OPTION_NAPI_PREFER    6
#define FASTRING_OPTION_MINIMUM_WAIT   7
#define FASTRING_OPTION_BUFFER_COUNT   8
#define FASTRING_OPTION_BUFFER_LENGTH  9

/*
 * Sets an option of the ring.
 *
 * FASTRING_OPTION_POOL_RESERVE is for the pools that there are and those to come; what a pool has
 * beyond it is given back at once. A pool keeps what was released for those who allocate next. Of
 * what nobody needed in the last second half is given back every second, down to 4 MiB; meanwhile
 * GetFastRingInterval is at most 1000.
 *
 * FASTRING_OPTION_MINIMUM_WAIT is for throughput under load: a wait that sleeps returns when as
 * many completions are there as FASTRING_OPTION_TURN_LIMIT allows, or after so many microseconds
 * with those that there are; if there are none then, with the first. So fewer turns handle more
 * each, and whatever comes may be told so much later, calls of other threads included. Timers, and
 * the interval of WaitForFastRing, are kept.
 *
 * FASTRING_OPTION_BUFFER_COUNT and FASTRING_OPTION_BUFFER_LENGTH are set before the first
 * OpenFastSocket or ConnectFastSocket of the ring, which makes the provider (-EBUSY after it).
 *
 * option     FASTRING_OPTION_*.
 * value      see the option.
 *
 * Returns:   0, -EINVAL (value out of range), -ENOPROTOOPT (unknown option, so that newer programs
 *            can ask older libraries), -EOPNOTSUPP (not 0, and the engine lacks the feature that
 *            the option needs), -EBUSY (it can't be changed any more), -ENOMEM
 *            (NAPI_BUSY_POLL, NAPI_PREFER), -EPERM, -ECANCELED. After an error the option is as it
 *            was.
 */
int SetFastRingOption(struct FastRing* ring, int option, uint64_t value);

/*
 * Reads an option into value, which is written on success only. Returns as SetFastRingOption.
 */
int GetFastRingOption(struct FastRing* ring, int option, uint64_t* value);

/* Counters since creation, and levels as of now. Later versions append fields. */
struct FastRingStatistics
{
    uint64_t turns;            /* turns of the loop */
    uint64_t systemCalls;      /* system calls of the loop: with io_uring, its entries */
    uint64_t submissions;      /* operations given to the kernel */
    uint64_t completions;      /* completions handled */
    uint64_t overflows;        /* times the completion queue was found to have overflowed */
    uint64_t wakes;            /* wake-ups from other threads */
    uint64_t starvations;      /* receives that lacked buffers, and none came at once */
    uint64_t operations;       /* now: operations in flight in the kernel */
    uint64_t sockets;          /* now: sockets, released ones included until they are closed */
    uint64_t inboundLength;    /* now: unread bytes of all sockets */
    uint64_t buffers;          /* now: buffers of the ring's pools in use, by anyone */
    uint64_t bufferBytes;      /* now: memory that the ring's pools have from the system */
    uint64_t providedBuffers;  /* now: buffers of the ring's providers that wait for input */
    /* Since 1.1: completions that can't be true, and were refused. A fault of the kernel. */
    uint64_t invalidCompletions;
};

/*
 * Reads the statistics.
 *
 * statistics written up to size bytes; bytes beyond what this library knows are zeroed.
 * size       sizeof(struct FastRingStatistics) as the caller knows it.
 *
 * Returns:   0, -EINVAL, -EPERM, -ECANCELED.
 */
int GetFastRingStatistics(struct FastRing* ring, struct FastRingStatistics* statistics,
                          size_t size);

/* ---- seeing inside --------------------------------------------------------------------------- */

/*
 * Writes all that the ring knows, a line for each object: the ring, its features, options and
 * statistics; each provider, pool, timeout, signal, watch, event, listener and descriptor; and each
 * socket, with its addresses, its state, its queues, why it does not receive or send, since when
 * nothing has come or gone, and its timeouts. DumpFastRing(3) explains every word.
 *
 * A line is the kind of the object and its address, and then pairs of a key and a value, with
 * single blanks between them and none inside: for grep and awk. It is written for people: kinds,
 * keys and their order may change between releases.
 *
 * It may be called in any callback, also while the ring ends, and costs nothing until it is. It
 * allocates nothing; a stream may, for its buffer. It asks the system some questions about each
 * socket, none of which waits; a stream may wait.
 *
 * stream     is flushed in the end, and stays the caller's. One that GetFastSocketStream has made
 *            will do. Functions of the program's own in it (fopencookie(3)) may transmit, but
 *            remove and release nothing.
 *
 * Returns:   0, -EINVAL, -EPERM, -ECANCELED, or the negative errno of the stream, if it can't be
 *            written.
 * Since:     1.1
 */
int DumpFastRing(struct FastRing* ring, FILE* stream);

/* Returns 0 to go on. Anything else ends the walk, and is what it returns: choose a positive
 * number, which is no error's. Since 1.1. */
typedef int (*HandleFastRingWalk)(struct FastSocket* socket, void* closure);

/*
 * Calls a function for each socket of the ring, once, the one that was made last first. Those that
 * the program has released are left out, though the library still works on them; a socket whose
 * stream (GetFastSocketStream) will release it is not.
 *
 * Inside it every call is allowed that is in a callback: it may release this socket, and others,
 * which are left out from then on, and make new ones, which are not seen by this walk; dump, and
 * walk again. A release of the ring takes effect at the end of the walk, or of the turn that it is
 * made in; WaitForFastRing is -EBUSY.
 *
 * function   not NULL.
 *
 * Returns:   0; what the function has returned, if that was not 0; -EINVAL, -EPERM, -ECANCELED
 *            (the ring is gone, or was released in the walk, outside of a turn: it must not be
 *            touched again).
 * Since:     1.1
 */
int WalkFastRing(struct FastRing* ring, HandleFastRingWalk function, void* closure);

/* ---- descriptors: raw operations, for those who know io_uring -------------------------------- */

#define FASTRING_REASON_COMPLETE    0  /* the last completion of this submission */
#define FASTRING_REASON_INCOMPLETE  1  /* more completions of it follow (IORING_CQE_F_MORE) */
#define FASTRING_REASON_RELEASED    2  /* the ring is being released; completion is NULL */

/*
 * Called for each completion of a descriptor. completion is valid during the call.
 *
 * Returns:   non-zero keeps the descriptor (it may have been submitted again inside the call); zero
 *            lets it go. Zero while more completions follow cancels the operation, absorbs the rest
 *            and then frees the descriptor.
 */
typedef int (*HandleFastRingCompletionFunction)(struct FastRingDescriptor* descriptor,
                                                struct io_uring_cqe* completion, int reason);

/*
 * Makes a descriptor: one raw operation that can be submitted again and again.
 *
 * function   called for each completion, or NULL: results are discarded and the descriptor goes
 *            with its last completion.
 * closure    for GetFastRingDescriptorClosure.
 *
 * Returns:   the descriptor, its submission entry zeroed; or NULL with EINVAL, ENOMEM, EPERM,
 *            ECANCELED.
 */
struct FastRingDescriptor* AllocateFastRingDescriptor(struct FastRing* ring,
                                                      HandleFastRingCompletionFunction function,
                                                      void* closure);

/*
 * Returns the submission entry, to be filled by liburing's io_uring_prep_* functions. It is kept
 * from one submission to the next, and read at SubmitFastRingDescriptor. user_data belongs to the
 * library. NULL for NULL.
 */
struct io_uring_sqe* GetFastRingDescriptorSubmission(struct FastRingDescriptor* descriptor);

/* Returns the closure given at allocation; NULL for NULL. */
void* GetFastRingDescriptorClosure(struct FastRingDescriptor* descriptor);

/* Returns the ring; NULL for NULL. The ring may be gone if the descriptor is defunct. */
struct FastRing* GetFastRingDescriptorRing(struct FastRingDescriptor* descriptor);

/*
 * Returns scratch memory of the caller's, for addresses, message headers and the like: 16-byte
 * aligned, at least 256 bytes, living as long as the descriptor. size, if not NULL, receives its
 * size in bytes. NULL for NULL.
 */
void* GetFastRingDescriptorData(struct FastRingDescriptor* descriptor, size_t* size);

/*
 * Queues the descriptor's operation; it enters the kernel with the next turn. What its entry points
 * to must stay valid until the last completion.
 *
 * Returns:   0, -EINVAL (NULL, or IOSQE_CQE_SKIP_SUCCESS, IOSQE_IO_DRAIN, IOSQE_IO_LINK or
 *            IOSQE_IO_HARDLINK set), -EBUSY (in flight already), -EPERM, -ECANCELED.
 *            An opcode that the ring's engine lacks completes with -EINVAL or -EOPNOTSUPP. On
 *            epoll there are NOP, SEND, SENDMSG, SEND_ZC, SENDMSG_ZC, RECV, RECVMSG, READ, READV,
 *            WRITE, WRITEV, SPLICE, POLL_ADD, POLL_REMOVE, ACCEPT, CONNECT, SHUTDOWN, CLOSE and
 *            ASYNC_CANCEL; what has to wait there takes a duplicate of its descriptor, and
 *            completes with -EMFILE or -ENFILE where there is no number for one. What points
 *            nowhere completes with -EFAULT.
 */
int SubmitFastRingDescriptor(struct FastRingDescriptor* descriptor);

/*
 * Asks the kernel to cancel the operation in flight. The function is still called with its result,
 * which is usually -ECANCELED, but a result that was on its way wins. The file that the operation
 * is on may be closed before, but lives until the last completion is reported (and, where a thread
 * of the kernel's has done the work, as for regular files and splices, some microseconds longer).
 * Not so with IOSQE_ASYNC, whose thread looks the number up when it begins, and on epoll with
 * regular files: there the number must stay open, and that file's, until the completion.
 *
 * Returns:   0, -EINVAL, -ENOENT (not in flight), -EPERM, -ECANCELED (the ring is gone).
 */
int CancelFastRingDescriptor(struct FastRingDescriptor* descriptor);

/*
 * Lets a descriptor go. One in flight is canceled, never called back, and freed after its last
 * completion: until then, what its entry points to must stay valid unless it lies in the
 * descriptor's own data. The pointer is the library's from then on, also after a function that has
 * returned zero: using it is undefined. This and the cancellation take some turns: who needs the
 * file let go of by a certain time cancels, and waits for the function to be called.
 *
 * descriptor may be NULL.
 */
void ReleaseFastRingDescriptor(struct FastRingDescriptor* descriptor);

/* ---- flush handlers -------------------------------------------------------------------------- */

/* reason is FASTRING_REASON_COMPLETE, or FASTRING_REASON_RELEASED when the ring is being
 * released. */
typedef void (*HandleFastRingFlushFunction)(void* closure, int reason);

/*
 * Has a function called once at the end of the current turn, or of the next one when no turn is
 * running. Handlers run in the order set; one set inside another runs a turn later.
 *
 * Returns:   a handle, valid until the function has run; or NULL with EINVAL, ENOMEM, EPERM,
 *            ECANCELED.
 */
struct FastRingFlusher* SetFastRingFlushHandler(struct FastRing* ring,
                                                HandleFastRingFlushFunction function,
                                                void* closure);

/*
 * Removes a flush handler that has not run yet. flusher may be NULL.
 *
 * Returns:   0, -EINVAL, -EPERM.
 */
int RemoveFastRingFlushHandler(struct FastRing* ring, struct FastRingFlusher* flusher);

/* ---- timeouts, on CLOCK_MONOTONIC ------------------------------------------------------------ */

#define FASTRING_TIMEOUT_REPEAT  1  /* fires again and again */

typedef void (*HandleFastRingTimeoutFunction)(struct FastRingTimeout* timeout, void* closure);

/*
 * Creates, changes or removes a timeout.
 *
 * ring       may be NULL only with a timeout.
 * timeout    NULL creates. Otherwise the timeout is set to run interval from now; flags are taken
 *            again, function and closure too if function is not NULL.
 * interval   milliseconds from now; 0 fires in the next turn; negative removes timeout.
 * flags      0 or FASTRING_TIMEOUT_REPEAT (interval then counts as at least 1).
 *
 * Ownership: a repeating timeout lives until removed. One that fires once is freed after its
 *            function returns, unless it was updated inside it. After either the pointer is gone:
 *            using it is undefined, and it can't be removed or set again; a new timeout is made
 *            with NULL. Only inside its own function one that was removed there may be named:
 *            setting it is EINVAL.
 * Returns:   the timeout; NULL after a removal; NULL with EINVAL, ENOMEM, EPERM, ECANCELED.
 */
struct FastRingTimeout* SetFastRingTimeout(struct FastRing* ring, struct FastRingTimeout* timeout,
                                           int64_t interval, uint64_t flags,
                                           HandleFastRingTimeoutFunction function, void* closure);

/*
 * As SetFastRingTimeout, with an interval in nanoseconds' grain; NULL interval, or one with
 * negative seconds, removes. tv_nsec is 0 to 999999999.
 */
struct FastRingTimeout* SetFastRingPreciseTimeout(struct FastRing* ring,
                                                  struct FastRingTimeout* timeout,
                                                  const struct timespec* interval, uint64_t flags,
                                                  HandleFastRingTimeoutFunction function,
                                                  void* closure);

#if !defined(__TIMESIZE) || __TIMESIZE != 32 || defined(__USE_TIME_BITS64)
/*
 * The same, where struct timespec has seconds of 64 bits: on machines of 64 bits there is no
 * difference, and where a time_t may have 32 bits or 64 (glibc's _TIME_BITS) a program with 64
 * calls this one by the other's name. SetFastRingPreciseTimeout itself takes two longs there, as a
 * program without _TIME_BITS has them. What the library was compiled with plays no part.
 *
 * So a foreign-function interface passes two int64_t here, on any machine.
 *
 * Since:     1.1
 */
struct FastRingTimeout* SetFastRingPreciseTimeout64(struct FastRing* ring,
                                                    struct FastRingTimeout* timeout,
                                                    const struct timespec* interval, uint64_t flags,
                                                    HandleFastRingTimeoutFunction function,
                                                    void* closure);
#if defined(__TIMESIZE) && __TIMESIZE == 32
#define SetFastRingPreciseTimeout SetFastRingPreciseTimeout64
#endif
#endif

/*
 * Removes a timeout, which may be NULL: as SetFastRingTimeout with a negative interval, and with
 * the same rules for the pointer.
 *
 * Since:     1.1
 */
void RemoveFastRingTimeout(struct FastRingTimeout* timeout);

/* ---- watches on descriptors that are not sockets of ours ------------------------------------- */

#define FASTRING_WATCH_ONCE  1  /* reports once, then pauses until UpdateFastRingWatch */
#define FASTRING_WATCH_EDGE  2  /* reports changes only: what never changes, once */

/* result: those of the POLL* bits asked for that hold, POLLERR, POLLHUP and POLLNVAL always; or a
 * negative errno, and the watch is then dead until removed. */
typedef void (*HandleFastRingWatchFunction)(struct FastRingWatch* watch, int result, void* closure);

/*
 * Watches a descriptor, level-triggered unless flags say otherwise: as long as the condition holds,
 * it is reported once per turn.
 *
 * handle     a pollable descriptor; stays the caller's, and must stay open until the watch is
 *            removed.
 * mask       a sum of POLLIN, POLLOUT, POLLPRI, POLLRDHUP, POLLRDNORM, POLLRDBAND, POLLWRNORM,
 *            POLLWRBAND, POLLMSG, POLLERR, POLLHUP and POLLNVAL; the last three are reported
 *            without being asked for, and alone they wait for nothing else; 0 = paused. Before 1.1
 *            only the first four.
 * flags      0, FASTRING_WATCH_ONCE or FASTRING_WATCH_EDGE.
 *
 * Returns:   the watch, or NULL with EINVAL, EBADF, ENOMEM, EPERM, ECANCELED.
 */
struct FastRingWatch* AddFastRingWatch(struct FastRing* ring, int handle, uint32_t mask,
                                       uint32_t flags, HandleFastRingWatchFunction function,
                                       void* closure);

/*
 * Changes what is watched; mask 0 pauses. Nothing of the former mask is reported afterwards. A
 * paused watch may still keep the file, until it is removed.
 *
 * Returns:   0, -EINVAL, -EPERM, -ECANCELED.
 */
int UpdateFastRingWatch(struct FastRingWatch* watch, uint32_t mask);

/*
 * Returns the descriptor that is watched, also of a watch that is paused, or dead after an error.
 *
 * Returns:   the descriptor, -EINVAL (NULL), -EPERM, -ECANCELED (the ring is gone).
 * Since:     1.1
 */
int GetFastRingWatchHandle(struct FastRingWatch* watch);

/* Ends a watch, which may be NULL. Its function is never called again; the caller may close the
 * descriptor at once, and its peer hears of that at once, since the kernel has let go of the file
 * on return. (Only a kernel that has no memory for the cancellation lets go of it later, in one of
 * the next turns.) */
void RemoveFastRingWatch(struct FastRingWatch* watch);

/* ---- events: wake the loop from elsewhere ---------------------------------------------------- */

typedef void (*HandleFastRingEventFunction)(struct FastRingEvent* event, uint32_t parameter,
                                            void* closure);

/*
 * Creates an event: a doorbell that other threads and signal handlers may ring.
 *
 * function   called on the ring's thread after one or more submits.
 *
 * Returns:   the event, or NULL with EINVAL, ENOMEM, EPERM, ECANCELED.
 */
struct FastRingEvent* CreateFastRingEvent(struct FastRing* ring,
                                          HandleFastRingEventFunction function, void* closure);

/*
 * Rings the doorbell. Submits that come before the function runs may merge; the last parameter
 * wins.
 *
 * Thread:    any; async-signal-safe.
 * Returns:   0, -EINVAL, -ECANCELED after the ring is gone, or -EPERM in a forked child.
 */
int SubmitFastRingEvent(struct FastRingEvent* event, uint32_t parameter);

/* Releases an event, which may be NULL. The caller has stopped its submitters. */
void ReleaseFastRingEvent(struct FastRingEvent* event);

/* ---- calls that other threads post ----------------------------------------------------------- */

/* ring is the one that it was posted to. Since 1.1. */
typedef void (*HandleFastRingCall)(struct FastRing* ring, void* closure);

/*
 * Has the ring call a function, once, on its thread: inside a turn, behind what was posted before.
 * Nothing merges, unlike the submits of an event. A turn runs as many as
 * FASTRING_OPTION_TURN_LIMIT says, and no more than were posted when it began to; the others come
 * with the next. What has not run when the ring ends runs then; in the thread that releases the
 * ring, if the ring's own has exited.
 *
 * Many posts need one wake of the loop, and those of the ring's own thread need none.
 *
 * Lifetime:  ring must be there when the call begins: it must not have been released, or something
 *            that was made on it (an event, a timeout, a pool …) must not have been released yet,
 *            which keeps the ring as memory that answers -ECANCELED. A release that begins later
 *            does no harm, also one by the posted function itself, before the poster has returned.
 *            So threads that may post after the end of a ring each share in such an object, as an
 *            event, which is released when all of them have stopped.
 * Thread:    any. Not in signal handlers (SubmitFastRingEvent is for these): it allocates.
 * Returns:   0, and the function is called for certain; or it never is: -EINVAL, -ENOMEM,
 *            -ECANCELED (the ring is gone, or has run its last calls), -EPERM in a forked child.
 * Since:     1.1
 */
int PostFastRingCall(struct FastRing* ring, HandleFastRingCall function, void* closure);

/* ---- signals --------------------------------------------------------------------------------- */

/*
 * number     the signal's.
 * code       why it came: SI_USER, SI_QUEUE, SI_KERNEL, CLD_EXITED … of sigaction(2).
 * process    who sent it; of SIGCHLD the child; 0 if nobody did.
 * value      of SIGCHLD the child's exit status, or the signal that did something to it; the
 *            integer of sigqueue(3) and of timers; else 0.
 * Since 1.1.
 */
typedef void (*HandleFastRingSignal)(struct FastRingSignal* signal, int number, int code,
                                     int process, int value, void* closure);

/*
 * Has signals with this number call a function, inside a turn, where every call is allowed.
 *
 * Each function that was added in one thread for the number hears of each signal, whichever of the
 * thread's rings it was added to (from their first waits on): those of one ring in the order of
 * adding, inside the turn of that ring which has read it. Of threads that have added a number one
 * hears, as signalfd(2) has it. Signals of one number below SIGRTMIN that come together may be one:
 * after SIGCHLD, wait for children until there are none left.
 *
 * The number is blocked in the calling thread until the last of its functions in the thread is
 * removed, and then as it was before the first was added. What has come and has not been told by
 * then does what it does without the ring. Threads that are started meanwhile inherit the mask, and
 * so do programs that are executed. In other threads, those that were there before, the program
 * blocks it, or else a signal of the process may be delivered there. A mask that is given to
 * WaitForFastRing need not have it.
 *
 * number     1 to 64, but for SIGKILL, SIGSTOP and what the C library uses itself (32, 33). SIGSEGV
 *            and the like, raised by a fault of the thread's own, end the process as ever.
 *
 * Ownership: until RemoveFastRingSignal. The end of the ring, too, gives the mask back, and leaves
 *            it defunct.
 * Thread:    the ring's. Before the first wait, the thread that is going to wait.
 * Returns:   it, or NULL with EINVAL, ENOMEM, EMFILE, ENFILE, EPERM, ECANCELED.
 * Since:     1.1
 */
struct FastRingSignal* AddFastRingSignal(struct FastRing* ring, int number,
                                         HandleFastRingSignal function, void* closure);

/*
 * Removes it, also inside any function: its own is never called again. signal may be NULL.
 *
 * Since:     1.1
 */
void RemoveFastRingSignal(struct FastRingSignal* signal);

/* ---- buffer provider: a kernel buffer ring --------------------------------------------------- */

/* Makes a buffer of length bytes, or returns NULL. AllocateRingFastBuffer (Ring/FastBuffer.h) is
 * one, with the pool as closure. */
typedef void* (*CreateRingBufferFunction)(size_t length, void* closure);
typedef void (*ReleaseRingBufferFunction)(void* buffer);

/*
 * Creates a group of buffers that the kernel fills with received data. Many sockets share one.
 *
 * group      0 = the library picks, and none that an operation in the kernel names; else a number
 *            not yet taken on this ring. That of a released provider is free though operations in
 *            the kernel name it: they may have a buffer of the old provider, with which
 *            GetFastRingBuffer of the new one gives NULL, or take one of the new. The buffers of
 *            both stay until these operations are over.
 * count      buffers; rounded up to a power of two, at most 32768; 0 = 256.
 * length     bytes in each, 64 to 1 GiB.
 * function   called count times now; AllocateRingFastBuffer for use with sockets. Of its buffers
 *            only some are taken now, and the others when input needs them. What proves to be too
 *            many goes back bit by bit as more input comes; without input it stays, since the
 *            kernel lets go of a buffer only by filling it. All are there from the first call of
 *            PrepareFastRingBuffer or GetFastRingBufferGroup, or turn that hands a descriptor which
 *            names the group to the kernel: one that the kernel has already, from the time of
 *            another provider with this number, does not count.
 * closure    for function; for AllocateRingFastBuffer a pool of a ring of the same thread, or of
 *            none. The pool of a ring on which nobody has waited yet is taken: its first wait is to
 *            be in this thread too.
 *
 * Ownership: sockets keep what they need of a provider after its release.
 * Returns:   the provider, or NULL with EINVAL (since 1.1 also for the pool of a ring that runs in
 *            another thread), EEXIST (group taken; since 1.1 also where the providers that
 *            operations in the kernel may mean by it would have more than 65536 buffers together),
 *            ENOMEM, ENOSPC (no group left), EPERM, ECANCELED. Where function makes no buffer at
 *            all, with what it set errno to if that is EINVAL (AllocateRingFastBuffer without a
 *            pool) or ECANCELED (the pool's ring is gone), else with ENOMEM.
 */
struct FastRingBufferProvider* CreateFastRingBufferProvider(struct FastRing* ring, uint16_t group,
                                                            uint16_t count, uint32_t length,
                                                            CreateRingBufferFunction function,
                                                            void* closure);

/*
 * Releases a provider, which may be NULL.
 *
 * function   takes back each buffer; ReleaseRingFastBuffer for buffers of AllocateRingFastBuffer.
 *            NULL: they are forgotten (the caller knows where they are). It is called when the last
 *            socket that uses the provider is gone, and the last operation in the kernel that may
 *            have one of its buffers, on the ring's thread.
 */
void ReleaseFastRingBufferProvider(struct FastRingBufferProvider* provider,
                                   ReleaseRingBufferFunction function);

/* Returns the group's number; 0 for NULL. */
uint16_t GetFastRingBufferGroup(struct FastRingBufferProvider* provider);

/* Has a descriptor's receive operation take its buffer from this group, one buffer per completion
 * (a bundle flag is cleared). */
void PrepareFastRingBuffer(struct FastRingBufferProvider* provider,
                           struct io_uring_sqe* submission);

/* Returns the buffer that a completion filled, or NULL if it has none. Valid until
 * AdvanceFastRingBuffer. A completion with bytes is its function's, to be advanced then or later;
 * what the function does not get, since the descriptor was let go or has none, or gets without
 * bytes (an error, the end), goes back to the group by itself. */
uint8_t* GetFastRingBuffer(struct FastRingBufferProvider* provider,
                           struct io_uring_cqe* completion);

/*
 * Puts a buffer in the place of the one that a completion took.
 *
 * function   makes the new buffer, and the old one is the caller's from now on; NULL: the same
 *            buffer goes back.
 *
 * Returns:   0; -EINVAL (NULL, a completion without a buffer of this group, or one that was
 *            advanced already); -ENOMEM: function
 *            failed, the old buffer is the caller's all the same, and the slot stays out and is
 *            refilled later with the provider's own function; -EPERM, -ECANCELED.
 */
int AdvanceFastRingBuffer(struct FastRingBufferProvider* provider, struct io_uring_cqe* completion,
                          CreateRingBufferFunction function, void* closure);

#ifdef __cplusplus
}
#endif

#endif
