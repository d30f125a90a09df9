"""Changes that are compatible, all of them: the gate accepts each without a waiver."""

import pathlib
import re
import subprocess

from .edits import (BUFFER, BUILD, HEADERS, MAP, RING, SOCKET, addFunction, after, codeOf,
                    compileWith, declare, headerOf, link, macro, typedefOf, unexport)


def functionAdded(tree):
    node = tree.nextRelease()
    addFunction(tree)
    tree.addNode(node, ['CountFastBuffer'])


def familyAdded(tree):
    """A new handle with a callback, an option and functions of its own."""
    node = tree.nextRelease()
    after(tree, r'void ReleaseFastRingEvent\(', '''
#define FASTRING_COUNTER_DOWN 1
struct FastRingCounter;
typedef int (*HandleFastRingCounterFunction)(struct FastRingCounter* counter, uint64_t value,
                                             void* closure);

/* New. Since 1.1. */
struct FastRingCounter* CreateFastRingCounter(struct FastRing* ring,
                                              HandleFastRingCounterFunction function,
                                              void* closure);
void ReleaseFastRingCounter(struct FastRingCounter* counter);
''')
    tree.write('lib/service/event.c', tree.read('lib/service/event.c') + '''
struct FastRingCounter* CreateFastRingCounter(struct FastRing* ring,
                                              HandleFastRingCounterFunction function, void* closure)
{
    (void)ring, (void)function, (void)closure;
    return NULL;
}

void ReleaseFastRingCounter(struct FastRingCounter* counter)
{
    (void)counter;
}
''')
    tree.addNode(node, ['CreateFastRingCounter', 'ReleaseFastRingCounter'])
    tree.replace('abi/consumer/ring.c', '    ReleaseFastRingEvent(NULL);\n',
                 '    ReleaseFastRingEvent(NULL);\n'
                 '    ReleaseFastRingCounter(CreateFastRingCounter(ring, NULL, NULL));\n')


def behaviourVersioned(tree):
    """A result changes for new programs, the old ones keep theirs."""
    node = tree.nextRelease()
    before = tree.addNode(node, ['GetFastBufferSize'])
    file, text = codeOf(tree, 'GetFastBufferSize')
    tree.replace(file, text + '\n{',
                 f'FAST_SYMBOL_OLD(FastBufferGetSize_1_0, GetFastBufferSize, "{before}")\n'
                 'size_t FastBufferGetSize_1_0(struct FastBuffer* buffer)\n{')
    tree.replace('abi/consumer/buffers.c', 'GetFastBufferSize(NULL) == 0',
                 'GetFastBufferSize(NULL) == SIZE_MAX')
    tree.write(file, tree.read(file) + f'''
FAST_SYMBOL_DEFAULT(FastBufferGetSize_1_1, GetFastBufferSize, "{node}")
size_t FastBufferGetSize_1_1(struct FastBuffer* buffer)
{{
    return buffer != NULL ? buffer->size : SIZE_MAX;
}}
''')


def internals(tree):
    """Opaque types get other fields, in another order."""
    tree.substitute('lib/socket/core.h', r'^(struct FastSocket\n\{\n)',
                    r'\1    uint64_t experiment[3];\n')
    tree.substitute('lib/service/event.c', r'^(struct FastRingEvent\n\{\n)',
                    r'\1    uint64_t experiment;\n')


def sourceAdded(tree):
    tree.write('lib/service/extra.c',
               'void FastExtraNothing(void);\nvoid FastExtraNothing(void)\n{\n}\n')
    tree.replace(BUILD, "    'service/event.c',\n",
                 "    'service/event.c',\n    'service/extra.c',\n")


def comments(tree):
    """Every comment of the headers changes."""
    for name in HEADERS:
        text = tree.read(name)
        assert text.count(' */') > 5
        tree.write(name, text.replace(' */', ' (as ever) */'))


def commentsRemoved(tree):
    """But for their beginnings and ends."""
    for name in HEADERS:
        lines = tree.read(name).split('\n')
        kept = [line for line in lines if not line.startswith(' * ') or '*/' in line]
        assert len(kept) < len(lines)
        tree.write(name, '\n'.join(kept))


def parametersRenamed(tree):
    declare(tree, 'SetFastBufferLength', 'size_t length', 'size_t bytes')
    declare(tree, 'CreateFastRing', 'uint32_t length', 'uint32_t entries')
    declare(tree, 'SetFastRingPreciseTimeout', 'const struct timespec* interval',
            'const struct timespec* span')


def callbackParametersRenamed(tree):
    file, text = typedefOf(tree, 'HandleFastSocketEvent')
    tree.replace(file, text, text.replace('int parameter', 'int detail'))


def reformatted(tree):
    file, text = headerOf(tree, 'CreateFastSocket')
    tree.replace(file, text, text.replace(', ', ',\n    ').replace('* ', ' *'))
    tree.substitute(RING, r'^#define FASTRING_OPTION_SPIN\s+3', '#define   FASTRING_OPTION_SPIN 3')


def moved(tree):
    """A declaration moves within its header."""
    file, text = headerOf(tree, 'GetFastBufferSize')
    tree.replace(file, text + '\n', '')
    after(tree, r'void ReleaseRingFastBuffer\(', text + '\n')


def minorRelease(tree):
    major, minor, _ = map(int, tree.version.split('.'))
    tree.setVersion(f'{major}.{minor + 1}.0')


def patchRelease(tree):
    tree.nextPatch()


def linesOfMap(tree):
    """The version script is sorted again."""
    unexport(tree, 'AddFastRingWatch')
    tree.substitute(MAP, r'^    AbortFastSocket;\n',
                    '    AbortFastSocket;\n    AddFastRingWatch;\n')


def qualifierBehind(tree):
    for name in ('SetFastRingPreciseTimeout',):
        declare(tree, name, 'const struct timespec* interval', 'struct timespec const* interval')
    declare(tree, 'TransmitFastSocketBuffer', 'const struct sockaddr* address',
            'struct sockaddr const* address')


def numbersWritten(tree):
    """Other ways to write the same numbers."""
    macro(tree, 'FASTSOCKET_OPTION_TURN_LIMIT', '0x6')
    macro(tree, 'FASTSOCKET_MODE_AUTO_CORK', '32768')
    macro(tree, 'FASTSOCKET_MODE_FILE_IO', '04')


def throwsNothing(tree):
    """Where nothing of the program's is called."""
    for name in ('GetFastSocketHandle', 'SetFastBufferLength', 'GetFastRingStatistics'):
        file, text = headerOf(tree, name)
        tree.replace(file, text, text[:-1] + ' __attribute__((nothrow));')


def wider(tree):
    """Options take more than they did, and so says today's consumer."""
    tree.replace('lib/ring/option.c', '{NAMED(SPIN), 0, 10000, 0,',
                 '{NAMED(SPIN), 0, 20000, 0,')
    tree.replace('lib/ring/option.c', '{NAMED(TURN_LIMIT), 1, 65536, 256,',
                 '{NAMED(TURN_LIMIT), 1, 131072, 256,')
    tree.replace('lib/ring/option.c', '{NAMED(INBOUND_LIMIT), 4096,',
                 '{NAMED(INBOUND_LIMIT), 1024,')
    tree.replace('lib/socket/option.c', '#define OPTION_MAX (UINT64_C(1) << 40)',
                 '#define OPTION_MAX (UINT64_C(1) << 50)')
    tree.substitute('abi/consumer/ring.c', r'(_INBOUND_LIMIT, .*), 4096, ', r'\1, 1024, ')
    tree.substitute('abi/consumer/ring.c', r'(_TURN_LIMIT, 256, 1), 65536\)', r'\1, 131072)')
    tree.substitute('abi/consumer/ring.c', r'(_TURN_LIMIT), 65537\)', r'\1, 131073)')
    tree.substitute('abi/consumer/ring.c', r'(_SPIN, 0, 0), 10000\)', r'\1, 20000)')
    tree.substitute('abi/consumer/ring.c', r'(_SPIN), 10001\)', r'\1, 20001)')
    tree.substitute('abi/consumer/sockets.c', r'\(UINT64_C\(1\) << 40\) \+ 1',
                    '(UINT64_C(1) << 50) + 1')


def ringFieldAdded(tree):
    """And told by DumpFastRing, as a compile-time assert wants it."""
    after(tree, '    uint64_t invalidCompletions;', '    uint64_t lateTurns;\n')
    tree.replace('lib/ring/dump.c', '    {COUNT(invalidCompletions)},\n',
                 '    {COUNT(invalidCompletions)},\n    {COUNT(lateTurns)},\n')


def nextUring(tree):
    """The library was linked with a liburing of another soname, which lies beside it."""
    tree.afterBuild = renameUring


def renameUring(tree):
    old, new = b'liburing.so.2\0', b'liburing.so.9\0'
    listed = subprocess.run(['ldd', tree.library], capture_output=True, text=True,
                            check=True).stdout
    path = re.search(r'liburing\.so\.2 => (\S+)', listed).group(1)
    for source, target in ((tree.library, tree.library),
                           (pathlib.Path(path), tree.library.parent / 'liburing.so.9')):
        data = source.read_bytes()
        assert old in data, source
        target.write_bytes(data.replace(old, new))


def archiveSorted(tree):
    """The archive's objects in another order."""
    tree.needsArchive = True
    tree.replace(BUILD, "    'ring/armed.c',\n    'ring/base.c',\n",
                 "    'ring/base.c',\n    'ring/armed.c',\n")


def pc(pattern, new):
    return lambda tree: tree.substitute('fastsocket.pc.in', pattern, new)


ACCEPTED = {
    'qualifier behind the type': qualifierBehind,
    'numbers written in another base': numbersWritten,
    'attribute added: nothrow': throwsNothing,
    'bounds of options wider': wider,
    "liburing's next soname": nextUring,
    'archive in another order': archiveSorted,
    '.pc: description': pc(r'^Description: .*', 'Description: Sockets'),
    '.pc: address of the project': pc(r'^(Description: .*)', r'\1\nURL: https://example.org/'),
    '.pc: libatomic, for static programs': pc(r'^(Libs.private: .*)', r'\1 -latomic'),
    'blanks in a macro':
        lambda tree: macro(tree, 'FASTRING_FEATURE_RECEIVE_CAP', '( UINT64_C( 1 )<<7 )'),
    'enumerators with a prefix added':
        lambda tree: after(tree, 'struct FastRingBufferProvider;',
                           'enum FastRingPace { FASTRING_PACE_SLOW, FASTRING_PACE_FAST };\n'),
    'macro with parameters and a prefix added':
        lambda tree: after(tree, '#define FASTRING_TIMEOUT_REPEAT',
                           '#define FASTRING_TIMEOUT_SECONDS(count) ((int64_t)(count) * 1000)\n'),
    'callback type added':
        lambda tree: after(tree, 'struct FastRingBufferProvider;',
                           'typedef void (*HandleFastRingPause)(struct FastRing* ring);\n'),
    'assertion in a header':
        lambda tree: after(tree, 'struct FastRingBufferProvider;',
                           '#ifndef __cplusplus\n_Static_assert(sizeof(int) >= 4, '
                           '"small");\n#endif\n'),
    'function added in a new node': functionAdded,
    'handle, callback and functions added in a new node': familyAdded,
    'behaviour changed under a new version, the old one kept': behaviourVersioned,
    'next release, with nothing new': minorRelease,
    'patch release': patchRelease,
    'opaque internals changed': internals,
    'source file and internal function added': sourceAdded,
    "field appended to the ring's statistics": ringFieldAdded,
    "fields appended to the socket's statistics":
        lambda tree: after(tree, '    uint64_t droppedBytes;',
                           '    uint64_t a;\n    uint64_t b;\n'),
    'option added':
        lambda tree: after(tree, '#define FASTSOCKET_OPTION_TURN_LIMIT',
                           '#define FASTSOCKET_OPTION_KEEP 7\n'),
    'option of the ring added':
        lambda tree: after(tree, '#define FASTRING_OPTION_SPIN', '#define FASTRING_OPTION_NAP 8\n'),
    'mode added':
        lambda tree: after(tree, '#define FASTSOCKET_MODE_FILE_IO',
                           '#define FASTSOCKET_MODE_FAST 0x10\n'),
    'feature added':
        lambda tree: after(tree, '#define FASTRING_FEATURE_WRITE_NO_SIGNAL',
                           '#define FASTRING_FEATURE_NEW (UINT64_C(1) << 20)\n'),
    'reason added':
        lambda tree: after(tree, '#define FASTRING_REASON_RELEASED',
                           '#define FASTRING_REASON_TIMEOUT 3\n'),
    'comments of the headers edited': comments,
    'comments of the headers removed': commentsRemoved,
    'parameters renamed': parametersRenamed,
    "callback's parameters renamed": callbackParametersRenamed,
    'declarations reformatted': reformatted,
    'declarations moved within a header': moved,
    'include added':
        lambda tree: tree.replace(BUFFER, '#include <stddef.h>\n',
                                  '#include <stdbool.h>\n#include <stddef.h>\n'),
    'guard against double inclusion renamed':
        lambda tree: tree.write(RING,
                                tree.read(RING).replace('RING_FASTRING_H', 'RING_FAST_RING_H')),
    'version script sorted': linesOfMap,
    'optimisation raised': lambda tree: compileWith(tree, '-O2'),
    'link: build identifier added': lambda tree: link(tree, "'-Wl,--build-id=sha1'"),
}
