#!/usr/bin/env python3
"""
An upgrade, for real: on a copy of the tree the next minor release is made, with a function added
and a function whose behaviour has changed. Programs of then keep the old behaviour, new ones get
the new, and a new program on the old library is refused by the loader.

usage: upgrade-test.py SOURCE_ROOT COMPILER LTO(true or false)
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import trees
import tap  # after trees, which knows where it is

root, compiler, lto = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]

# What the length of a buffer of 100 bytes gets when it is set to 101, as the exit status.
PROGRAM = '''
#include <Ring/FastBuffer.h>
int main(void)
{
    struct FastBufferPool* pool = CreateFastBufferPool(NULL);
    struct FastBuffer* buffer = AllocateFastBuffer(pool, 100, 0);
    int result = SetFastBufferLength(buffer, 101);
    %s
    ReleaseFastBuffer(buffer);
    ReleaseFastBufferPool(pool);
    return -result;
}
'''
FILLS = ('if (FillFastBuffer(buffer, 5) != 0 || GetFastBufferLength(buffer) != 100 '
         '|| GetFastBufferData(buffer)[99] != 5) return 1;')
EINVAL, EMSGSIZE = 22, 90

OLD_BODY = r'''int SetFastBufferLength\(struct FastBuffer\* buffer, size_t length\)
\{
    if \(buffer == NULL \|\| length > buffer->size\)
        return -EINVAL;
(    buffer->length = length;
    return 0;
\}
)'''
NEW_BODY = r'''FAST_SYMBOL_OLD(FastBufferSetLength_old, SetFastBufferLength, "{old}")
int FastBufferSetLength_old(struct FastBuffer* buffer, size_t length)
{{
    if (buffer == NULL || length > buffer->size)
        return -EINVAL;
\1
FAST_SYMBOL_DEFAULT(FastBufferSetLength_new, SetFastBufferLength, "{new}")
int FastBufferSetLength_new(struct FastBuffer* buffer, size_t length)
{{
    if (buffer == NULL)
        return -EINVAL;
    if (length > buffer->size)
        return -EMSGSIZE;
\1
int FillFastBuffer(struct FastBuffer* buffer, int value)
{{
    if (buffer == NULL)
        return -EINVAL;
    memset(buffer + 1, value, buffer->size);
    buffer->length = buffer->size;
    return 0;
}}
'''

work = tempfile.TemporaryDirectory(prefix='fastsocket-upgrade-')
here = pathlib.Path(work.name)


class Stage:
    """What the cases leave to the next ones."""
    tree = None
    old = here / 'old'  # the libraries
    new = here / 'new'


def freeze(directory):
    """Keeps the library that is built now."""
    directory.mkdir()
    shutil.copy(Stage.tree.library, directory / 'libfastsocket.so.1')
    shutil.copy(Stage.tree.library, directory / 'libfastsocket.so')


def compileProgram(name, text, library, include):
    path = here / f'{name}.c'
    path.write_text(text)
    tap.run([compiler, '-Wall', '-Wextra', '-Werror', '-I', str(include), str(path), '-L',
             str(library), '-lfastsocket', '-o', str(here / name)])


def run(name, library):
    result = subprocess.run([here / name], env=dict(os.environ, LD_LIBRARY_PATH=str(library)),
                            stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=60)
    return result.returncode, result.stderr


def oldRelease():
    trees.needCompiler(compiler)
    Stage.tree = trees.Copy(root, here, compiler, [f'-Db_lto={lto}'])
    Stage.tree.makeLibrary()
    freeze(Stage.old)
    released = sorted((root / 'abi').glob('*.*.*/include'))[-1]
    compileProgram('program-old', PROGRAM % '', Stage.old, released)
    assert run('program-old', Stage.old) == (EINVAL, '')


def newRelease():
    tree = needTree()
    node = tree.nextRelease()
    before = tree.addNode(node, ['FillFastBuffer', 'SetFastBufferLength'])
    tree.substitute('lib/memory/allocate.c', OLD_BODY, NEW_BODY.format(old=before, new=node))
    tree.replace('include/Ring/FastBuffer.h',
                 'size_t GetFastBufferSize(struct FastBuffer* buffer);\n',
                 'size_t GetFastBufferSize(struct FastBuffer* buffer);\n\n'
                 '/* Sets each byte. Since 1.1. */\n'
                 'int FillFastBuffer(struct FastBuffer* buffer, int value);\n')
    tree.replace('abi/consumer/buffers.c',
                 '    CHECK(SetFastBufferLength(buffer, 101) == -EINVAL);\n',
                 '    CHECK(SetFastBufferLength(buffer, 101) == -EMSGSIZE);\n'
                 '    CHECK(FillFastBuffer(buffer, 7) == 0);\n')
    tree.replace('abi/consumer/buffers.c', '    CHECK(SetFastBufferLength(empty, 1) == -EINVAL);\n',
                 '    CHECK(SetFastBufferLength(empty, 1) == -EMSGSIZE);\n')
    tree.makeLibrary()
    freeze(Stage.new)
    compileProgram('program-new', PROGRAM % FILLS, Stage.new, tree.root / 'include')
    compileProgram('program-plain',
                   PROGRAM.replace('SetFastBufferLength(buffer, 101)',
                                   '-(int)GetFastBufferSize(buffer)') % '', Stage.new,
                   tree.root / 'include')


def needTree():
    if Stage.tree is None:
        raise tap.Skip("the old release was not built")
    return Stage.tree


def needNew():
    if not Stage.new.exists():
        raise tap.Skip("the new release was not built")
    return Stage.tree


def oldProgramKeepsOldBehaviour():
    needNew()
    assert run('program-old', Stage.new) == (EINVAL, ''), run('program-old', Stage.new)


def newProgramGetsNewBehaviour():
    needNew()
    assert run('program-new', Stage.new) == (EMSGSIZE, ''), run('program-new', Stage.new)


def newProgramOnOldLibraryIsRefused():
    tree = needNew()
    status, text = run('program-new', Stage.old)
    node = 'FASTSOCKET_' + tree.version.rpartition('.')[0]
    assert status not in (0, EINVAL, EMSGSIZE) and f"version `{node}' not found" in text, \
        (status, text)


def newProgramThatNeedsNothingNewRunsOnOldLibrary():
    needNew()
    assert run('program-plain', Stage.old) == (100, ''), run('program-plain', Stage.old)


def staticProgramGetsNewBehaviour():
    tree = needNew()
    fault = tree.make('lib/libfastsocket.a')
    assert not fault, fault
    flags = ['-flto'] if lto == 'true' else []
    tap.run([compiler, *flags, '-I', str(tree.root / 'include'), str(here / 'program-new.c'),
             str(tree.build / 'lib' / 'libfastsocket.a'), '-luring', '-pthread', '-o',
             str(here / 'program-static')])
    assert run('program-static', Stage.old) == (EMSGSIZE, '')


def passes(tree):
    status, output, errors = tree.gate('check.py')
    assert status == 0, output + errors
    waived = [line for line in output.splitlines() if line.startswith('# waived')]
    assert not waived, waived


def gateAcceptsNewRelease():
    passes(needNew())


def gateHoldsBothReleases():
    tree = needNew()
    status, output, errors = tree.gate('record.py')
    assert status == 0, output + errors
    assert (tree.root / 'abi' / tree.version / 'symbols').exists()
    passes(tree)


def gateRefusesLossOfOldBehaviour():
    tree = needNew()
    text = tree.read('lib/memory/allocate.c')
    tree.write('lib/memory/allocate.c',
               text.replace('return -EINVAL;\n    buffer->length',
                            'return -EMSGSIZE;\n    buffer->length', 1))
    assert text != tree.read('lib/memory/allocate.c')
    tree.makeLibrary()
    _, output, _ = tree.gate('check.py', 'upgrade')
    skipped = trees.skippedCases(output)
    if skipped:
        raise tap.Skip(skipped[0][1])
    failed = trees.failedCases(output)
    assert failed and all(case.endswith('/program') for case in failed), output
    assert not any(f'/{tree.version}/' in case for case in failed), output


CASES = [oldRelease, newRelease, oldProgramKeepsOldBehaviour, newProgramGetsNewBehaviour,
         newProgramOnOldLibraryIsRefused, newProgramThatNeedsNothingNewRunsOnOldLibrary,
         staticProgramGetsNewBehaviour, gateAcceptsNewRelease, gateHoldsBothReleases,
         gateRefusesLossOfOldBehaviour]

tap.runCases([(f'upgrade/{compiler}{"-lto" if lto == "true" else ""}/{case.__name__}', case)
              for case in CASES])
