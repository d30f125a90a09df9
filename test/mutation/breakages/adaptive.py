"""Promises of §2.3 about providers with as many buffers as are needed, and those who wait."""

import functools

from .breakage import breakage

breakage = functools.partial(breakage, seen=True)

BREAKAGES = [
    # How many there are.
    breakage('all buffers are made at once', '2.3 adaptive provider', 'memory/provider-demand.c',
             'provider->demand.wanted = provider->demand.least;',
             'provider->demand.wanted = provider->count;'),
    breakage('a receive that finds no buffer gets no more',
             '2.3 adaptive provider; 2.3 burst on many sockets', 'memory/provider-demand.c',
             'FastProviderExpect(provider, 2 * filled);', '(void)filled;'),
    breakage('of many that find no buffer one alone counts', '2.3 burst on many sockets',
             'memory/provider-demand.c', 'FastProviderExpect(provider, filled + 1);',
             '(void)filled;'),
    breakage('more buffers are wanted than there are places', '2.3 adaptive provider',
             'memory/provider-demand.c',
             'return number < provider->count ? number : provider->count;',
             '(void)provider;\n    return number;'),
    breakage('sockets that may receive are not expected to', '2.3 adaptive provider',
             'memory/provider-demand.h',
             'FastProviderExpect(provider, users < FAST_PROVIDER_BATCH ? users : '
             'FAST_PROVIDER_BATCH);', '(void)FAST_PROVIDER_BATCH;'),
    breakage('a receive that got more buffers counts as starved', '2.3 burst on many sockets',
             'memory/provider-wait.c',
             '    provider->demand.grown = provider->sequence;\n    return true;',
             '    provider->demand.grown = provider->sequence;\n    return false;'),
    # How many stay.
    breakage('buffers of a burst stay for ever', '2.3 adaptive provider',
             'memory/provider-demand.c',
             '    if (need < demand->wanted)\n        demand->wanted = need;', '    (void)need;'),
    breakage('a burst is forgotten at once', '2.3 adaptive provider', 'memory/provider-demand.c',
             '    if (need < demand->wanted / 2)\n        need = demand->wanted / 2;\n', ''),
    breakage('fewer buffers stay than are needed', '2.3 adaptive provider',
             'memory/provider-demand.c', 'uint32_t need = demand->peak + demand->peak / 2;',
             'uint32_t need = demand->peak / 2;'),
    breakage('fewer buffers stay than the least', '2.3 adaptive provider',
             'memory/provider-demand.c',
             '    if (need < demand->least)\n        need = demand->least;\n', ''),
    breakage('fewer buffers stay than are expected to be needed', '2.3 adaptive provider',
             'memory/provider-demand.c',
             '    if (need < demand->expected)\n        need = demand->expected;\n', ''),
    # Who waits.
    breakage('who waits is served before there is a buffer',
             '2.3 who waits for buffers; 2.3 one buffer', 'memory/provider-wait.c',
             'return first != NULL && provider->available > 0 && '
             'first->mark != provider->sequence;', 'return first != NULL;'),
    breakage('all who wait are served for one buffer', '2.3 one buffer; 2.3 who waits for buffers',
             'memory/provider-wait.c',
             'else if (provider->waiting.left > 0)', 'else if (true)'),
    breakage('who waits is armed where his task stands',
             '2.1 starvation; 2.3 who waits for buffers', 'memory/provider-wait.c',
             '    if (isServable(provider)) {\n        provider->waiting.left--;\n',
             '    while (provider->waiting.left > 0 && isServable(provider)) {\n'
             '        provider->waiting.left--;\n', seen=True),
    breakage('who ends with the last buffer goes before the line',
             '2.1 starvation; 2.3 who waits for buffers', 'socket/receive.c',
             'FastProviderHasLine(FastSocketProvider(socket)) && FastShortageJoinsLine(socket))',
             'false && FastShortageJoinsLine(socket))', seen=True),
    breakage('who leaves a buffer alone holds up the others',
             '2.3 who waits for buffers; 2.3 one buffer', 'memory/provider-wait.c',
             'provider->waiting.batch = untouched ? provider->waiting.batch * 2 : available;',
             'provider->waiting.batch = available;\n    (void)untouched;'),
    breakage('who waits for buffers that others left is forgotten',
             '2.3 who waits for buffers; 2.3 one buffer', 'memory/provider-wait.c',
             '        FastRingNotify(provider->ring, &provider->waiting.again);',
             '        FastProviderDrop(provider);'),
    breakage('who was served in vain waits behind the others',
             '2.3 who waits for buffers; 2.1 starvation', 'memory/provider-wait.c',
             'FastWaiterAddAhead(&provider->waiting.list, waiter);',
             'FastWaiterAdd(&provider->waiting.list, waiter);'),
    breakage('who has had a buffer waits before the others',
             '2.3 who waits for buffers; 2.1 starvation', 'memory/provider-wait.c',
             '    if (again)\n', '    if (again || true)\n'),
]
