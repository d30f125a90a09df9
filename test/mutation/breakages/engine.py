"""Promises that the engine in user space keeps where io_uring is not to be had; and references."""

from .breakage import breakage

BREAKAGES = [
    breakage('epoll: what is linked behind a failure is run', '2.4 order; 2.4 earlier error',
             'engine/soft-operation.c', 'queueLinked(soft, linked, failed && !hard);',
             'queueLinked(soft, linked, false);', seen=True),
    breakage('epoll: truncation is not told', '2.3 truncation', 'engine/soft-receive.c',
             '.flags = (uint32_t)message->msg_flags,', '.flags = 0,', seen=True),
    breakage('epoll: a bundle is one buffer long', '2.3 bundles', 'engine/soft-receive.c',
             'return (uint32_t)filled;', 'return filled > 0;', seen=True),
    breakage('epoll: a write raises SIGPIPE', '2.5 SIGPIPE', 'engine/epoll-file.c',
             '    FastPipeSignalBlock(&guard);\n    ssize_t result = FastEpollCount(\n'
             '        file->system, pwritev2',
             '    pthread_sigmask(SIG_BLOCK, NULL, &guard.before);\n    guard.pending = true;\n'
             '    ssize_t result = FastEpollCount(\n        file->system, pwritev2', seen=True),
    breakage('epoll: a signal mask is not heeded', '2.8 signal', 'engine/epoll.c',
             'epoll_pwait(epoll->handle, events, room, -1, mask)',
             'epoll_pwait(epoll->handle, events, room, -1, NULL)', seen=True),
    breakage('epoll: what nobody waits for is watched on', '2.8 nothing to do; 2.1 user pause',
             'engine/soft-node.c', '    if ((node->watched & ~wanted) == 0)\n        return;\n',
             '    if (true)\n        return;\n', seen=True),
    breakage('epoll: a full queue of completions loses what follows', '2.8 overflow',
             'engine/soft-run.c',
             'while (soft->queue.first != NULL && FastSoftRoom(soft) >= FAST_SOFT_COMPLETIONS)',
             'while (soft->queue.first != NULL)', seen=True),
    breakage('a socket does not hold its provider', '2.2 ring, provider, inbound',
             'socket/make.h', '    if (common->provider != NULL)\n'
             '        FastProviderHold(common->provider);\n', '', seen=True),
    breakage('an operation in flight holds nothing', '2.6 shutdown and close', 'ring/armed.c',
             '    armed->state = FAST_ARMED_IN_FLIGHT;\n    functions->hold(armed);\n',
             '    armed->state = FAST_ARMED_IN_FLIGHT;\n', seen=True),
]
