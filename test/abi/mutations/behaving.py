"""Breaks of when and where: the order of events, time, threads, signals, the life of rings."""

from .edits import inBody, wrap

DISPATCH = 'lib/socket/dispatch.c'
TIMEOUT = 'INNER(ring, timeout, {interval}, {flags}, {function}, closure)'


def timed(interval='interval', flags='flags', function='function'):
    call = TIMEOUT.format(interval=interval, flags=flags, function=function)
    return lambda tree: wrap(tree, 'SetFastRingTimeout', f'return {call};')


def precisely(code):
    return lambda tree: wrap(tree, 'SetFastRingPreciseTimeout', f'''struct timespec other;
    if (interval == NULL)
        return INNER(ring, timeout, interval, flags, function, closure);
    other = *interval;
    {code}
    return INNER(ring, timeout, &other, flags, function, closure);''')


def waiting(code):
    return lambda tree: wrap(tree, 'WaitForFastRing', code)


def watched(code):
    return lambda tree: wrap(tree, 'AddFastRingWatch', code)


def starting(text, name='lib/ring/flusher.c'):
    """Something happens when the library is loaded."""
    return lambda tree: tree.write(name, tree.read(name) + text)


def ringMade(code, includes):
    return lambda tree: wrap(tree, 'CreateFastRing', f'{code}\n    return INNER(length);',
                                                                                before=includes)


def reported(old, new):
    return lambda tree: inBody(tree, 'report', old, new, DISPATCH)


def outputFirst(tree):
    input = '''    if (socket->stage == FAST_STAGE_LIVE && socket->notifyDue & FAST_NOTIFY_INPUT)
        reportInput(socket);
'''
    output = input.replace('INPUT', 'OUTPUT').replace('reportInput', 'reportOutput')
    tree.replace(DISPATCH, input + '    reportFromOutput(socket);\n',
                 output + input + '    reportFromOutput(socket);\n')


ELSEWHERE = '''#include <pthread.h>

struct elsewhere
{
    struct FastRingTimeout* timeout;
};

static void* callElsewhere(void* closure)
{
    struct FastRingTimeout* timeout = ((struct elsewhere*)closure)->timeout;
    timeout->function(timeout, timeout->closure);
    return NULL;
}

static void onTimer('''


def timersElsewhere(tree):
    tree.replace('lib/service/timeout.c', 'static void onTimer(', ELSEWHERE)
    inBody(tree, 'onTimer', '    timeout->function(timeout, timeout->closure);',
           '''    struct elsewhere call = {timeout};
    pthread_t thread;
    if (pthread_create(&thread, NULL, callElsewhere, &call) == 0)
        (void)pthread_join(thread, NULL);''', 'lib/service/timeout.c')


def eventsElsewhere(tree):
    tree.replace('lib/socket/dispatch.c', 'static void report(', '''#include <pthread.h>

struct elsewhere
{
    struct FastSocket* socket;
    int event;
    int parameter;
};

static void* callElsewhere(void* closure)
{
    struct elsewhere* call = closure;
    call->socket->function(call->socket, call->event, call->parameter);
    return NULL;
}

static void report(''')
    inBody(tree, 'report', '        socket->function(socket, event, parameter);',
           '''    {
        struct elsewhere call = {socket, event, parameter};
        pthread_t thread;
        if (pthread_create(&thread, NULL, callElsewhere, &call) == 0)
            (void)pthread_join(thread, NULL);
    }''', DISPATCH)


def notAtomic(tree):
    tree.replace('lib/memory/allocate.c',
                 'atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);',
                 'atomic_store_explicit(&buffer->references, atomic_load_explicit('
                 '&buffer->references, memory_order_relaxed) + 1, memory_order_relaxed);')
    tree.replace('lib/memory/allocate.c',
                 '           atomic_fetch_sub_explicit(&buffer->references, 1, '
                 'memory_order_acq_rel) == 1;',
                 '           (atomic_store_explicit(&buffer->references, atomic_load_explicit('
                 '&buffer->references, memory_order_relaxed) - 1, memory_order_relaxed), '
                 'atomic_load(&buffer->references) == 0);')


def firstWins(tree):
    wrap(tree, 'SubmitFastRingEvent', '''static struct FastRingEvent* last;
    static uint32_t first;
    if (event != NULL && event == last && FastRingCallIsPending(&event->call))
        parameter = first;
    last = event;
    first = parameter;
    return INNER(event, parameter);''')


BREAKS = {
    # the order of events
    'order: POLLOUT before POLLIN': outputFirst,
    'order: POLLHUP before POLLERR':
        lambda tree: (inBody(tree, 'reportHangup', '!(socket->notified & FAST_NOTIFIED_FAILURE)',
                             'false'),
                      inBody(tree, 'reportState', '    reportFailure(socket);\n'
                             '    if (socket->stage == FAST_STAGE_LIVE)\n        '
                             'reportHangup(socket);\n',
                             '    reportHangup(socket);\n'
                             '    if (socket->stage == FAST_STAGE_LIVE)\n        '
                             'reportFailure(socket);\n')),
    'order: POLLHUP before what is unread':
        lambda tree: inBody(tree, 'reportHangup', '|| hasInputToReport(socket)', ''),
    'order: POLLERR before what is unread':
        lambda tree: inBody(tree, 'reportFailure', ' ||\n        hasInputToReport(socket)', ''),
    'order: POLLHUP told twice':
        lambda tree: inBody(tree, 'reportHangup', '    socket->notified |= FAST_NOTIFIED_HANGUP;\n'
                            '    report(socket, POLLHUP, failed ? socket->error : 0);',
                            '    socket->notified |= FAST_NOTIFIED_HANGUP;\n'
                            '    report(socket, POLLHUP, failed ? socket->error : 0);\n'
                            '    if (socket->stage == FAST_STAGE_LIVE)\n'
                            '        report(socket, POLLHUP, failed ? socket->error : 0);'),
    'order: POLLHUP never told':
        reported('socket->function != NULL', 'socket->function != NULL && event != POLLHUP'),
    'order: POLLERR never told':
        reported('socket->function != NULL', 'socket->function != NULL && event != POLLERR'),
    'order: POLLIN never told':
        reported('socket->function != NULL', 'socket->function != NULL && event != POLLIN'),
    'order: every error is EIO':
        reported('event, parameter)', 'event, event == POLLERR ? EIO : parameter)'),
    'order: a hangup without its error':
        reported('event, parameter)', 'event, event == POLLHUP ? 0 : parameter)'),
    'order: POLLOUT inside the call':
        lambda tree: wrap(tree, 'TransmitFastSocketData',
                          '''int result = INNER(socket, address, length, data, size, flags);
    if (result == 0 && socket->function != NULL)
        socket->function(socket, POLLOUT, 0);
    return result;''', before='#include <poll.h>'),
    'order: a turn that waits tells nothing of the next':
        lambda tree: wrap(tree, 'GetFastRingInterval', 'int told = INNER(ring);\n'
                          '    return told == 0 ? -1 : told;'),
    # time
    'time: one-shots of more than 100 ms come 10 times as late':
        timed('interval > 100 && !(flags & FASTRING_TIMEOUT_REPEAT) ? interval * 10 : interval'),
    'time: one-shots of more than 10 ms come at once':
        timed('interval > 10 && !(flags & FASTRING_TIMEOUT_REPEAT) ? 0 : interval'),
    'time: repeating timeouts come once': timed(flags='flags & ~(uint64_t)FASTRING_TIMEOUT_REPEAT'),
    'time: one-shots repeat': timed(flags='interval > 0 ? flags | FASTRING_TIMEOUT_REPEAT : flags'),
    'time: repeating timeouts come 20 times as seldom':
        timed('flags & FASTRING_TIMEOUT_REPEAT ? interval * 20 : interval'),
    'time: a timeout of 0 waits a second': timed('interval == 0 ? 1000 : interval'),
    'time: a negative interval removes nothing': timed('interval < 0 ? 0 : interval'),
    'time: a timeout keeps its old function': timed(function='timeout != NULL ? NULL : function'),
    'time: a timeout that is set again is a new one':
        lambda tree: wrap(tree, 'SetFastRingTimeout',
                          '''bool again = timeout != NULL && interval >= 0 && ring != NULL;
    if (again && function != NULL)
        return INNER(ring, NULL, interval, flags, function, closure);
    return INNER(ring, timeout, interval, flags, function, closure);'''),
    'time: precise timeouts know no nanoseconds': precisely('other.tv_nsec = 0;'),
    'time: precise timeouts come seconds late':
        precisely('if (other.tv_nsec > 0)\n        other.tv_sec += 2;'),
    'time: wrong nanoseconds are taken':
        precisely('if (other.tv_nsec < 0 || other.tv_nsec > 999999999)\n        other.tv_nsec = '
                  '0;'),
    'time: a foreign loop is not told of timeouts':
        lambda tree: wrap(tree, 'GetFastRingInterval', 'int told = INNER(ring);\n'
                          '    return told > 0 ? -1 : told;'),
    'time: a foreign loop is told of timeouts too late':
        lambda tree: wrap(tree, 'GetFastRingInterval', 'int told = INNER(ring);\n'
                          '    return told > 0 ? told * 10 : told;'),
    'time: no wait': waiting('return INNER(ring, 0, mask);\n    (void)interval;'),
    'time: a wait without a limit ends after 10 ms':
        waiting('return INNER(ring, interval > 10 ? 10 : interval, mask);'),
    # signals, threads, the process
    'process: a constructor ignores SIGPIPE':
        starting('\n#include <signal.h>\n__attribute__((constructor)) static void quiet(void)\n'
                 '{\n    signal(SIGPIPE, SIG_IGN);\n}\n'),
    'process: a constructor blocks SIGTERM':
        starting('\n#include <signal.h>\n__attribute__((constructor)) static void quiet(void)\n'
                 '{\n    sigset_t set;\n    sigemptyset(&set);\n    sigaddset(&set, SIGTERM);\n'
                 '    sigprocmask(SIG_BLOCK, &set, NULL);\n}\n'),
    'process: a constructor sets the locale':
        starting('\n#include <locale.h>\n__attribute__((constructor)) static void local(void)\n'
                 '{\n    setlocale(LC_ALL, "C.UTF-8");\n}\n'),
    'process: a ring leaves SIGPIPE blocked':
        ringMade('sigset_t set;\n    sigemptyset(&set);\n    sigaddset(&set, SIGPIPE);\n'
                 '    pthread_sigmask(SIG_BLOCK, &set, NULL);', '#include <pthread.h>\n#include '
                                                                '<signal.h>'),
    'process: a turn leaves SIGPIPE blocked':
        lambda tree: wrap(tree, 'WaitForFastRing', '''sigset_t set;
    int result = INNER(ring, interval, mask);
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return result;''', before='#include <pthread.h>\n#include <signal.h>'),
    'process: SIGPIPE of a pipe':
        lambda tree: inBody(tree, 'blockSignal',
                            '(void)pthread_sigmask(SIG_BLOCK, &set, &guard->before);',
                            '(void)pthread_sigmask(SIG_UNBLOCK, &set, &guard->before);'),
    'process: a pending SIGPIPE is taken':
        lambda tree: inBody(tree, 'blockSignal', 'guard->pending = isPending(number);',
                            'guard->pending = false && isPending(number);'),
    'process: a ring speaks': ringMade('fputs("fastsocket\\n", stderr);', '#include <stdio.h>'),
    'process: a ring changes the umask':
        ringMade('umask(0);', '#include <sys/stat.h>'),
    'process: a ring leaves a descriptor open':
        ringMade('(void)dup(2);', '#include <unistd.h>'),
    'process: timeouts are told in another thread': timersElsewhere,
    'process: events are told in another thread': eventsElsewhere,
    'process: references are not counted atomically': notAtomic,
    'process: signals are not let in':
        waiting('return INNER(ring, interval, NULL);\n    (void)mask;'),
    # the life of a ring
    'life: nothing is pending':
        lambda tree: wrap(tree, 'GetFastRingPending', '(void)INNER(ring);\n    return 0;'),
    'life: the handle is another one each time':
        lambda tree: wrap(tree, 'GetFastRingHandle', 'int handle = INNER(ring);\n'
                          '    return handle >= 0 ? dup(handle) : handle;',
                                                        before='#include <unistd.h>'),
    'life: no features':
        lambda tree: wrap(tree, 'GetFastRingFeatures', '(void)INNER(ring);\n    return 0;'),
    'life: sockets hear nothing of the end':
        lambda tree: inBody(tree, 'FastDispatchRingEnd', '    report(socket, POLLHUP, ECANCELED);',
                            '    (void)report;'),
    'life: a released ring goes on':
        lambda tree: inBody(tree, 'ReleaseFastRing', 'ring->turn.releaseWanted = true;',
                            '(void)ring;'),
    'life: flush handlers run in the other order':
        lambda tree: inBody(tree, 'FastRingRunFlushers',
                            'struct FastRingFlusher* flusher = ring->flushers.first;',
                            'struct FastRingFlusher* flusher = ring->flushers.last;'),
    'life: a removed flush handler runs':
        lambda tree: wrap(tree, 'RemoveFastRingFlushHandler',
                          'return ring != NULL && flusher != NULL ? FastRingCheck(ring) : '
                          'INNER(ring, flusher);'),
    'life: the first parameter of an event wins': firstWins,
    'life: an event is lost while it pends':
        lambda tree: wrap(tree, 'SubmitFastRingEvent',
                          'return event != NULL && FastRingCallIsPending(&event->call) ? -EAGAIN : '
                          'INNER(event, parameter);'),
    'life: a watch goes on after its one report': watched(
        'return INNER(ring, handle, mask, flags & ~(uint32_t)FASTRING_WATCH_ONCE, function, '
        'closure);'),
    'life: a watch of changes reports states': watched(
        'return INNER(ring, handle, mask, flags & ~(uint32_t)FASTRING_WATCH_EDGE, function, '
        'closure);'),
    'life: a watch reports once': watched(
        'return INNER(ring, handle, mask, flags | FASTRING_WATCH_ONCE, function, closure);'),
    'life: a watch keeps its first mask':
        lambda tree: wrap(tree, 'UpdateFastRingWatch',
                          'return INNER(watch, watch != NULL && mask != 0 && watch->mask != 0 ? '
                          'watch->mask : mask);'),
    'life: a paused watch reports':
        lambda tree: wrap(tree, 'UpdateFastRingWatch',
                          'return INNER(watch, watch != NULL && mask == 0 ? watch->mask : mask);'),
    'life: a removed watch reports':
        lambda tree: wrap(tree, 'RemoveFastRingWatch', '(void)INNER;\n    (void)watch;'),
    'life: accepted connections may block':
        lambda tree: wrap(tree, 'CreateFastListener',
                          'return INNER(ring, handle, flags & ~SOCK_NONBLOCK, function, closure);'),
}

PROGRAMS = {
    'order': 'socket-event',
    'order: a turn': 'embed',
    'time: precise': 'timeout',
    'time: wrong': 'timeout',
    'time: a foreign': 'embed',
    'time: a foreign loop is told of timeouts too': 'later',
    'time: no wait': 'ring',
    'time: a wait': 'ring',
    'time': 'timeout',
    'process: SIGPIPE': 'file-write',
    'process: a pending': 'file-write',
    'time: one-shots of more than 100': 'later',
    'time: repeating timeouts come 20': 'later',
    'process: timeouts': 'timeout',
    'process: events': 'socket-event',
    'process': 'later',
    'life: nothing': 'socket-release',
    'life: the handle': 'embed',
    'life: no features': 'ring',
    'life: sockets': 'socket-ring-end',
    'life: the first': 'event',
    'life: an event': 'event',
    'life: a watch': 'watch',
    'life: a paused': 'watch',
    'life: a removed watch': 'watch',
    'life: acc': 'listener',
    'life': 'ring',
}
