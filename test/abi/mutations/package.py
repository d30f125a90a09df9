"""Breaks of what is beside the library: the archive, the .pc file, names in the headers."""

from .edits import BUFFER, BUILD, RING, SOCKET, after, headerOf, lines, macro, struct

PC = 'fastsocket.pc.in'


def field(key, text):
    return lambda tree: tree.substitute(PC, rf'^{key}: .*', f'{key}: {text}')


def fieldLost(key):
    return lambda tree: tree.substitute(PC, rf'^{key}: .*\n', '')


def fieldAdded(text):
    return lambda tree: tree.substitute(PC, r'^(Description: .*\n)', rf'\1{text}\n')


def archived(mutate):
    """A change that only the archive shows."""
    def withArchive(tree):
        tree.needsArchive = True
        mutate(tree)
    return withArchive


# As lib/meson.build has it: of the objects of the shared library. Where they would be others, it
# has its own.
ARCHIVE = """archive = static_library('fastsocket', versioned_sources,
    objects: common_objects,
    c_args: library_c_args,
    pic: true,
    kwargs: library_arguments,
"""
OWN_ARCHIVE = """archive = static_library('fastsocket', library_sources,
    c_args: library_c_args,
    pic: true,
    gnu_symbol_visibility: 'hidden',
    include_directories: [include_dir, library_dir],
    dependencies: [uring_dep, thread_dep, atomic_dep],
"""


def archiveBuilt(old, new):
    """Another argument of the archive."""
    def mutate(tree):
        assert OWN_ARCHIVE.count(old) > 0, old
        tree.replace(BUILD, ARCHIVE, OWN_ARCHIVE.replace(old, new, 1))
    return archived(mutate)


def atTop(header, text):
    """Behind the guard of a header."""
    return lambda tree: tree.substitute(header, r'^(#define RING_\w+_H\n)',
                                                    lambda match: match.group(1) + text)


def inside(header, text):
    """Where declarations stand."""
    return lambda tree: tree.substitute(header, r'^(extern "C"\n\{\n#endif\n)',
                                                    lambda match: match.group(1) + text)


def conditional(header, name, condition, other):
    """A macro has another value under a condition."""
    return lambda tree: tree.substitute(
        header, rf'^(#define {name}\s.*\n)',
        lambda match: f'{match.group(1)}#if {condition}\n#undef {name}\n#define {name} '
                      f'{other}\n#endif\n')


def declaredIf(name, condition):
    def mutate(tree):
        file, text = headerOf(tree, name)
        tree.replace(file, text, f'#if {condition}\n{text}\n#endif')
    return mutate


def throwsNothing(name):
    def mutate(tree):
        file, text = headerOf(tree, name)
        tree.replace(file, text, text[:-1] + ' __attribute__((nothrow));')
    return mutate


BREAKS = {
    'archive: no position-independent code': archiveBuilt('    pic: true,\n', ''),
    'archive: code for fixed addresses':
        archiveBuilt('library_c_args,\n    pic: true,\n',
                     "library_c_args + '-fno-pic',\n    override_options: 'b_pie=false',\n"),
    'archive: its insides are visible':
        archiveBuilt("    gnu_symbol_visibility: 'hidden',\n", "    gnu_symbol_visibility: "
                                                               "'default',\n"),
    'archive: a file is left out':
        archiveBuilt('library_sources,', "library_sources[3],"),
    'archive: a name of a program': archived(
        lambda tree: tree.write('lib/ring/flusher.c', tree.read('lib/ring/flusher.c') +
                                '\nint swap(int value);\nint swap(int value)\n{\n    return '
                                '-value;\n}\n')),
    'archive: an internal function is visible': archived(
        lambda tree: tree.write('lib/ring/flusher.c', tree.read('lib/ring/flusher.c') +
                                '\n__attribute__((visibility("default"))) int '
                                'FastRingNothing(void);\n'
                                'int FastRingNothing(void)\n{\n    return 0;\n}\n')),
    '.pc: Requires of a foreign package': fieldAdded('Requires: glib-2.0'),
    '.pc: Requires of liburing': fieldAdded('Requires: liburing'),
    '.pc: Requires.private of a foreign package': field('Requires.private', 'liburing libbsd'),
    '.pc: Requires.private lost': fieldLost('Requires.private'),
    '.pc: Libs with another library': field('Libs', '-L${libdir} -lfastsocket -lm'),
    '.pc: Libs with an argument of the linker':
        field('Libs', '-L${libdir} -lfastsocket -Wl,--as-needed'),
    '.pc: Libs lost': fieldLost('Libs'),
    '.pc: Libs without its path': field('Libs', '-lfastsocket'),
    '.pc: Libs.private lost': fieldLost('Libs.private'),
    '.pc: Cflags with a definition': field('Cflags', '-I${includedir}/fastsocket -D_GNU_SOURCE'),
    '.pc: Cflags with a standard': field('Cflags', '-I${includedir}/fastsocket -std=gnu11'),
    '.pc: Cflags with another place': field('Cflags', '-I${includedir}/fastsocket-1.1'),
    '.pc: Cflags lost': fieldLost('Cflags'),
    '.pc: another name': field('Name', 'libfastsocket'),
    '.pc: another version': field('Version', '1.0'),
    '.pc: Conflicts': fieldAdded('Conflicts: libuv'),
    'names: min': atTop(BUFFER, '#define min(one, other) ((one) < (other) ? (one) : (other))\n'),
    'names: likely': atTop(RING, '#define likely(condition) __builtin_expect(!!(condition), 1)\n'),
    'names: _FILE_OFFSET_BITS': atTop(SOCKET, '#define _FILE_OFFSET_BITS 64\n'),
    'names: _GNU_SOURCE': atTop(RING, '#ifndef _GNU_SOURCE\n#define _GNU_SOURCE 1\n#endif\n'),
    'names: a constant without a prefix': atTop(SOCKET, '#define BUFFER_SIZE 4096\n'),
    'names: a type without a prefix': inside(BUFFER, 'typedef unsigned char byte;\n'),
    'names: a struct without a prefix':
        inside(BUFFER, 'struct buffer { void* data; size_t size; };\n'),
    'names: enumerators without a prefix': inside(RING, 'enum FastRingState { IDLE, RUNNING };\n'),
    'names: an inline function without a prefix':
        inside(BUFFER, 'static inline size_t roundUp(size_t size) { return (size + 63) / 64 * '
                       '64; }\n'),
    'names: a macro of others is gone': atTop(SOCKET, '#undef NULL\n'),
    'names: a macro of programs is gone': atTop(BUFFER, '#undef min\n'),
    'names: structs are packed': inside(RING, '#pragma pack(1)\n'),
    'conditions: a constant and NDEBUG':
        conditional(RING, 'FASTRING_WATCH_EDGE', 'defined(NDEBUG)', '4'),
    'conditions: a mode and the optimizer':
        conditional(SOCKET, 'FASTSOCKET_MODE_AUTO_CORK', 'defined(__OPTIMIZE__)', '0x10000'),
    'conditions: an option and _GNU_SOURCE':
        conditional(SOCKET, 'FASTSOCKET_OPTION_INBOUND_LOW', 'defined(_GNU_SOURCE)', '12'),
    'conditions: a reason and the standard':
        conditional(RING, 'FASTRING_REASON_RELEASED', '__STDC_VERSION__ < 201112L', '3'),
    'conditions: a feature and DEBUG':
        conditional(RING, 'FASTRING_FEATURE_NO_IOWAIT', 'defined(DEBUG)', '0'),
    'conditions: a new constant and NDEBUG':
        lambda tree: after(tree, '#define FASTRING_WATCH_EDGE',
                           '#ifdef NDEBUG\n#define FASTRING_WATCH_LEVEL 8\n#else\n'
                           '#define FASTRING_WATCH_LEVEL 16\n#endif\n'),
    'conditions: a function and _GNU_SOURCE':
        declaredIf('GetFastSocketStream', 'defined(_GNU_SOURCE)'),
    'conditions: a function that NDEBUG hides':
        declaredIf('GetFastRingStatistics', '!defined(NDEBUG)'),
    'conditions: a field and NDEBUG':
        struct('FastRingStatistics', '#ifndef NDEBUG\n    uint64_t checks;\n#endif\n'),
    'conditions: a field and large files':
        struct('FastSocketStatistics', '#if _FILE_OFFSET_BITS == 64\n    uint64_t '
                                       'files;\n#endif\n'),
    'attribute added: nothrow, where callbacks throw': throwsNothing('WaitForFastRing'),
    'macro with parameters':
        lambda tree: lines(tree, '#define FASTRING_TIMEOUT_REPEAT',
                           '#define FASTRING_TIMEOUT_REPEAT() 1\n'),
    'number with another sign of its type':
        lambda tree: macro(tree, 'FASTRING_REASON_INCOMPLETE', '1U'),
}
PROGRAMS = {}
