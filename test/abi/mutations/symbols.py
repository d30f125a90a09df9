"""Breaks of symbols: functions lost, hidden, moved, added where they mustn't."""

from .edits import (BUFFER, BUILD, MAP, RING, addFunction, codeOf, declare, define, export,
                    undeclare, unexport, wrap)


def removed(tree):
    undeclare(tree, 'GetFastRingBufferGroup')
    unexport(tree, 'GetFastRingBufferGroup')


def inline(tree):
    """An inline body instead of the symbol."""
    unexport(tree, 'GetFastBufferSize')
    declare(tree, 'GetFastBufferSize', '(struct FastBuffer* buffer);',
            '(struct FastBuffer* buffer) { return buffer ? ((size_t*)buffer)[2] : 0; }')
    tree.substitute(BUFFER, r'^size_t GetFastBufferSize', 'static inline size_t GetFastBufferSize')
    file, text = codeOf(tree, 'GetFastBufferSize')
    tree.replace(file, text + '\n{', 'static size_t sizeOfBuffer(struct FastBuffer* buffer)\n{')


def renamed(tree):
    """With a macro, so that sources compile as before."""
    declare(tree, 'GetFastSocketError', 'GetFastSocketError', 'GetFastSocketErrno')
    define(tree, 'GetFastSocketError', 'GetFastSocketError', 'GetFastSocketErrno')
    tree.substitute(MAP, r'^    GetFastSocketError;', '    GetFastSocketErrno;')
    tree.substitute('include/Ring/FastSocket.h', r'^(int GetFastSocketErrno.*\n)',
                    r'\1#define GetFastSocketError GetFastSocketErrno\n')


def data(tree):
    """A variable of the same name."""
    declare(tree, 'GetFastRingBufferGroup',
            'uint16_t GetFastRingBufferGroup(struct FastRingBufferProvider* provider);',
            'extern const uint16_t GetFastRingBufferGroup[1];')
    file, text = codeOf(tree, 'GetFastRingBufferGroup')
    tree.replace(file, text + '\n{', 'const uint16_t GetFastRingBufferGroup[1] = { 1 };\n'
                 'static uint16_t groupOf(struct FastRingBufferProvider* provider)\n{')


def moved(tree):
    node = tree.nextRelease()
    unexport(tree, 'PauseFastSocket')
    tree.addNode(node, ['PauseFastSocket'])


def renamedNode(tree):
    tree.substitute(MAP, r'^FASTSOCKET_1\.0$', 'FASTSOCKET_1')


def closedNode(tree):
    tree.nextRelease()
    addFunction(tree)
    export(tree, 'CountFastBuffer')


def closedNodeInternal(tree):
    """An internal function becomes public, undeclared."""
    export(tree, 'FastRingCheck')
    tree.substitute('lib/ring/ring.h', r'^(int FastRingCheck\(.*\);.*)$',
                    r'__attribute__((visibility("default"))) \1')


def wildcard(tree):
    tree.substitute(MAP, r'^    AddFastRingWatch;\n', '    AddFastRing*;\n')


def noScript(tree):
    tree.substitute(BUILD, r"^    '-Wl,--version-script=.*\n", '')


def noLocal(tree):
    tree.substitute(MAP, r'^local:\n    \*;\n', '')


def onlyOld(tree):
    """A function is kept for old programs, and new ones get none."""
    file, text = codeOf(tree, 'GetFastBufferSize')
    tree.replace(
        file, text + '\n{',
        'FAST_SYMBOL_OLD(FastBufferGetSize_1_0, GetFastBufferSize, "FASTSOCKET_1.0")\n'
        'size_t FastBufferGetSize_1_0(struct FastBuffer* buffer)\n{')


def newOnly(tree):
    """Behaviour changes under a new version, and the old one is forgotten."""
    node = tree.nextRelease()
    unexport(tree, 'GetFastBufferSize')
    tree.addNode(node, ['GetFastBufferSize'])
    wrap(tree, 'GetFastBufferSize', 'return buffer != NULL ? INNER(buffer) : 1;')


def notDeclared(tree):
    undeclare(tree, 'GetFastRingPending')


def hidden(tree):
    unexport(tree, 'IsFastRingThread')


def twice(tree):
    tree.substitute(MAP, r'^    AbortFastSocket;\n', '    AbortFastSocket;\n    AbortFastSocket;\n')


def macroOverFunction(tree):
    tree.substitute(RING, r'^(size_t GetFastRingPending.*\n)',
                    r'\1#define GetFastRingPending(ring) ((size_t)0)\n')


def unused(tree):
    """A new function in its new node, which the consumer leaves out."""
    node = tree.nextRelease()
    addFunction(tree)
    tree.addNode(node, ['CountFastBuffer'])
    tree.replace('abi/consumer/buffers.c', '    CHECK(CountFastBuffer(NULL) == 0);\n', '')


def onlyMentioned(tree):
    unused(tree)
    tree.replace('abi/consumer/buffers.c', '/* Ring/FastBuffer.h */',
                 '/* Ring/FastBuffer.h, but for CountFastBuffer */')


BREAKS = {
    'function removed': removed,
    'function no longer exported': hidden,
    'function no longer declared': notDeclared,
    'function replaced by an inline body': inline,
    'function renamed, a macro for the old name': renamed,
    'function replaced by a variable': data,
    'function hidden by a macro': macroOverFunction,
    'function moved to a new node': moved,
    'node renamed': renamedNode,
    'function added to a released node': closedNode,
    'internal function exported': closedNodeInternal,
    'pattern in the version script': wildcard,
    'name twice in the version script': twice,
    'version script lost': noScript,
    'local: * lost': noLocal,
    'function without a default version': onlyOld,
    'new version of a function, the old one lost': newOnly,
    'new function that the consumer leaves out': unused,
    'new function that a comment of the consumer names': onlyMentioned,
}
