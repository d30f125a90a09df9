"""Breaks of what is compiled into programs: constants, structs, inline bodies, attributes,
includes."""

from .edits import BUFFER, RING, SOCKET, after, declare, everywhere, headerOf, lines, macro


def swapped(tree):
    macro(tree, 'FASTRING_OPTION_INBOUND_LIMIT', '2')
    macro(tree, 'FASTRING_OPTION_TURN_LIMIT', '1')


def reasonsSwapped(tree):
    macro(tree, 'FASTRING_REASON_COMPLETE', '1')
    macro(tree, 'FASTRING_REASON_INCOMPLETE', '0')


def enumerated(tree):
    lines(tree, '#define FASTRING_OPTION_SPIN', 'enum { FASTRING_OPTION_SPIN = 3 };\n')


def fieldsSwapped(tree):
    lines(tree, '    uint64_t wakes;', '')
    after(tree, '    uint64_t starvations;', '    uint64_t wakes;\n')


def fieldRemoved(tree):
    lines(tree, '    uint64_t copiedZeroCopy;', '')
    tree.replace('lib/socket/zero-copy.c', '    socket->statistics.copiedZeroCopy++;\n', '')


def fieldRemovedAtEnd(tree):
    lines(tree, '    uint64_t providedBuffers;', '')
    for path in sorted((tree.root / 'lib').rglob('*.c')):
        name = path.relative_to(tree.root).as_posix()
        text = tree.read(name)
        if 'providedBuffers' in text:
            tree.write(
                name, '\n'.join(line for line in text.split('\n') if 'providedBuffers' not in line))


def transparent(tree):
    """An opaque type of the kernel gets a body."""
    lines(tree, 'struct io_uring_cqe;',
          'struct io_uring_cqe { uint64_t user_data; int32_t res; uint32_t flags; };\n')


def toldToCplusplus(tree):
    macro(
        tree, 'FASTRING_WATCH_ONCE',
        '1\n#ifdef __cplusplus\n#undef FASTRING_WATCH_ONCE\n'
        '#define FASTRING_WATCH_ONCE 4\n#endif\n//'
    )


def fieldForCplusplus(tree):
    tree.substitute(RING, r'^(struct FastRingStatistics\n\{\n)',
                    r'\1#ifdef __cplusplus\n    uint64_t age;\n#endif\n')


def attribute(name, text):
    def mutate(tree):
        file, declaration = headerOf(tree, name)
        tree.replace(file, declaration, declaration[:-1] + f' __attribute__(({text}));')
    return mutate


def structAttribute(name, text):
    return lambda tree: tree.substitute(RING if 'Ring' in name else SOCKET, rf'^struct {name}$',
                                        f'struct __attribute__(({text})) {name}')


def restricted(tree):
    declare(tree, 'TransmitFastSocketData', 'const void* data', 'const void* restrict data')


def notC(tree):
    tree.replace(BUFFER, '#ifdef __cplusplus\nextern "C"\n{\n#endif\n', '')
    tree.replace(BUFFER, '#ifdef __cplusplus\n}\n#endif\n', '')


def guardLost(tree):
    tree.substitute(RING, r'^#define RING_FASTRING_H\n', '')


BREAKS = {
    'option renumbered': lambda tree: macro(tree, 'FASTRING_OPTION_SPIN', '4'),
    'options swapped': swapped,
    'option lost': lambda tree: everywhere(tree, 'FASTSOCKET_OPTION_TURN_LIMIT',
                                           'FASTSOCKET_OPTION_TURN_BYTES'),
    'option with a number in use': lambda tree: after(tree, '#define FASTSOCKET_OPTION_TURN_LIMIT',
                                                      '#define FASTSOCKET_OPTION_KEEP 6\n'),
    'option made an enumerator': enumerated,
    'option made unsigned': lambda tree: macro(tree, 'FASTSOCKET_OPTION_INBOUND_LOW', '2U'),
    'mode changed': lambda tree: macro(tree, 'FASTSOCKET_MODE_ZERO_COPY', '0x8000000'),
    'mode 0 taken': lambda tree: macro(tree, 'FASTSOCKET_MODE_REGULAR', '1'),
    'mode with a bit in use': lambda tree: after(tree, '#define FASTSOCKET_MODE_FILE_IO',
                                                 '#define FASTSOCKET_MODE_FAST 0xc\n'),
    'mode lost': lambda tree: everywhere(tree, 'FASTSOCKET_MODE_AUTO_CORK', 'FASTSOCKET_MODE_CORK'),
    'reasons swapped': reasonsSwapped,
    'reason lost': lambda tree: everywhere(tree, 'FASTRING_REASON_RELEASED',
                                           'FASTRING_REASON_GONE'),
    'reason with a number in use': lambda tree: after(tree, '#define FASTRING_REASON_RELEASED',
                                                      '#define FASTRING_REASON_LOST 2\n'),
    'feature changed': lambda tree: macro(tree, 'FASTRING_FEATURE_RECEIVE_BUNDLE',
                                          '(UINT64_C(1) << 20)'),
    'feature with a bit in use': lambda tree: after(
        tree, '#define FASTRING_FEATURE_WRITE_NO_SIGNAL',
        '#define FASTRING_FEATURE_NEW (UINT64_C(1) << 13)\n'),
    'feature lost': lambda tree: everywhere(tree, 'FASTRING_FEATURE_READ_MULTISHOT',
                                            'FASTRING_FEATURE_READ_MANY'),
    'feature retyped': lambda tree: macro(tree, 'FASTRING_FEATURE_RECEIVE_CAP', '(1 << 7)'),
    'flag of watches changed': lambda tree: macro(tree, 'FASTRING_WATCH_EDGE', '4'),
    'flag of timeouts changed': lambda tree: macro(tree, 'FASTRING_TIMEOUT_REPEAT', '2'),
    'fields swapped': fieldsSwapped,
    'field retyped: uint32_t': lambda tree: lines(tree, '    uint64_t turns;',
                                                  '    uint32_t turns;\n'),
    'field retyped: int64_t': lambda tree: lines(tree, '    uint64_t sentBytes;',
                                                 '    int64_t sentBytes;\n'),
    'field retyped: double': lambda tree: lines(tree, '    uint64_t failedMessages;',
                                                '    double failedMessages;\n'),
    'field removed from the middle': fieldRemoved,
    'field removed from the end': fieldRemovedAtEnd,
    'field inserted': lambda tree: after(tree, '    uint64_t receivedMessages;',
                                         '    uint64_t receivedRecords;\n'),
    'field inserted first': lambda tree: tree.substitute(
        RING, r'^(struct FastRingStatistics\n\{\n)', r'\1    uint64_t age;\n'),
    'field appended that leaves a gap': lambda tree: after(tree, '    uint64_t droppedBytes;',
                                                           '    uint32_t lost;\n'),
    'field that only C++ is told of': fieldForCplusplus,
    'number that C++ is told otherwise': toldToCplusplus,
    'field renamed': lambda tree: everywhere(tree, 'bufferBytes', 'bytesOfBuffers'),
    'struct packed': structAttribute('FastRingStatistics', 'packed'),
    'struct aligned': structAttribute('FastSocketStatistics', 'aligned(64)'),
    'opaque struct gets a body': transparent,
    'attribute added: warn_unused_result': attribute('ReceiveFastSocketData', 'warn_unused_result'),
    'attribute added: deprecated': attribute('AbortFastSocket', 'deprecated'),
    'attribute added: nonnull': attribute('ReleaseFastRing', 'nonnull'),
    'attribute added: pure': attribute('GetFastRingInterval', 'pure'),
    'attribute added: noreturn': attribute('ReleaseFastListener', 'noreturn'),
    'name for the assembler': lambda tree: declare(
        tree, 'GetFastSocketHandle', '(struct FastSocket* socket);',
        '(struct FastSocket* socket) __asm__("GetFastSocketDescriptor");'),
    'declaration that C++ refuses': restricted,
    'extern "C" lost': notC,
    'include lost': lambda tree: tree.substitute(SOCKET, r'^#include <poll\.h>\n', ''),
    'guard against double inclusion lost': guardLost,
}
