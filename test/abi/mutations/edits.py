"""Edits of a copy of the tree, in terms of C. Each fails when what it changes isn't there exactly
once."""

import re

HEADERS = ['include/Ring/FastBuffer.h', 'include/Ring/FastRing.h', 'include/Ring/FastSocket.h']
BUFFER, RING, SOCKET = HEADERS
MAP = 'lib/libfastsocket.map'
BUILD = 'lib/meson.build'


def flexible(text):
    """A pattern for a text whose blanks may be line breaks."""
    return r'\s+'.join(map(re.escape, text.split(' ')))


def only(found, what):
    assert len(found) == 1, f"{len(found)} places instead of one: {what}"
    return found[0]


def headerOf(tree, name):
    """The header that declares a function, and the declaration."""
    pattern = re.compile(rf'^\w[^\n;{{}}/()]*[ *]{name}\([^;{{}}]*\);$', re.M)
    return only(
        [(file, match.group(0)) for file in HEADERS for match in pattern.finditer(tree.read(file))],
                f"declaration of {name}")


def typedefOf(tree, name):
    pattern = re.compile(rf'^typedef [^;\n]*\(\*{name}\)\([^;]*\);$', re.M)
    return only(
        [(file, match.group(0)) for file in HEADERS for match in pattern.finditer(tree.read(file))],
                f"typedef of {name}")


def codeOf(tree, name, file=None):
    """The source that defines a function, the one if several do, and its head up to the closing
    parenthesis."""
    pattern = re.compile(rf'^(\w[^\n;{{}}/]*[ *]{name}\([^;{{}}]*\))\n\{{', re.M)
    files = [file] if file else sorted(
        path.relative_to(tree.root).as_posix() for path in (tree.root / 'lib').rglob('*.c'))
    texts = {file: tree.read(file) for file in files}
    return only(
        [(file, match.group(1)) for file, text in texts.items() if f'{name}(' in text
         for match in pattern.finditer(text)],
                f"definition of {name}")


def changed(text, old, new):
    result, count = re.subn(flexible(old), lambda _: new, text)
    assert count == 1 and result != text, f"{count} times «{old}» in {text}"
    return result


def declare(tree, name, old, new):
    """In a function's declaration."""
    file, text = headerOf(tree, name)
    tree.replace(file, text, changed(text, old, new))


def define(tree, name, old, new):
    """In the head of a function's definition."""
    file, text = codeOf(tree, name)
    tree.replace(file, text + '\n{', changed(text, old, new) + '\n{')


def both(tree, name, old, new):
    declare(tree, name, old, new)
    define(tree, name, old, new)


def begin(tree, name, line):
    """A line at the beginning of a function's body."""
    file, text = codeOf(tree, name)
    tree.replace(file, text + '\n{', f'{text}\n{{\n    {line}')


def wrap(tree, name, code, head=None, before=''):
    """A function's body becomes code, which may call the old one as INNER; head replaces its
    head; before stands before it, includes and functions."""
    file, text = codeOf(tree, name)
    inner = f'inner{name}'
    old = re.sub(rf'\b{name}\(', f'{inner}(', text)
    tree.replace(file, text + '\n{', f'static {old};\nstatic {old}\n{{')
    tree.write(file,
               f'{tree.read(file)}\n{before}\n{head or text}\n{{\n'
               f'    {code.replace("INNER", inner)}\n}}\n')


def inBody(tree, name, old, new, file=None):
    """Within a function's body."""
    file, text = codeOf(tree, name, file)
    whole = tree.read(file)
    start = whole.index(text + '\n{') + len(text)
    end = whole.index('\n}\n', start)
    assert whole[start:end].count(old) == 1, \
        f"{whole[start:end].count(old)} times «{old}» in {name}"
    tree.write(file, whole[:start] + whole[start:end].replace(old, new) + whole[end:])


def callback(tree, name, old, new):
    """In the typedef of a callback."""
    file, text = typedefOf(tree, name)
    tree.replace(file, text, changed(text, old, new))


def macro(tree, name, value):
    """The value of a macro."""
    file = only([file for file in HEADERS
                 if re.search(rf'^#define {name}\s', tree.read(file), re.M)], name)
    tree.substitute(file, rf'^(#define {name}\s+)(\(UINT64_C\(\d+\) << \d+\)|\S+)',
                    rf'\g<1>{value}')


def lines(tree, pattern, new=''):
    """A whole line of the headers."""
    file = only([file for file in HEADERS if re.search(rf'^{pattern}.*\n', tree.read(file), re.M)],
                pattern)
    tree.substitute(file, rf'^{pattern}.*\n', new)


def after(tree, pattern, new):
    """New lines behind a line of the headers."""
    file = only([file for file in HEADERS if re.search(rf'^{pattern}.*\n', tree.read(file), re.M)],
                pattern)
    tree.substitute(file, rf'^({pattern}.*\n)', lambda match: match.group(1) + new)


def struct(name, text):
    """New lines at the end of a struct of the headers."""
    def mutate(tree):
        file = only([file for file in HEADERS if f'\nstruct {name}\n{{' in tree.read(file)], name)
        tree.substitute(file, rf'^(struct {name}\n\{{\n(?:.*\n)*?)\}};',
                        lambda match: match.group(1) + text + '};')
    return mutate


def everywhere(tree, old, new):
    """A name, in the public headers and in lib/."""
    count = 0
    for path in [*(tree.root / 'include' / 'Ring').glob('*.h'),
                 *(tree.root / 'lib').rglob('*.[ch]')]:
        name = path.relative_to(tree.root).as_posix()
        text, found = re.subn(rf'\b{old}\b', new, tree.read(name))
        if found:
            tree.write(name, text)
            count += found
    assert count > 1, f"{old} is nowhere"


def undeclare(tree, name):
    file, text = headerOf(tree, name)
    tree.replace(file, text + '\n', '')


def unexport(tree, name):
    tree.substitute(MAP, rf'^    {name};\n', '')


def export(tree, name):
    """In the newest node that is there, among the others."""
    tree.replace(MAP, '    GetFastBuffer;\n', f'    GetFastBuffer;\n    {name};\n')


def addFunction(tree, name='CountFastBuffer'):
    """A new function, declared, defined and used by the consumer; not yet exported."""
    after(tree, r'size_t GetFastBufferSize\(',
          f'\n/* New. Since 1.1. */\nint {name}(struct FastBuffer* buffer);\n')
    tree.write('lib/memory/pool.c', tree.read('lib/memory/pool.c')
               + f'\nint {name}(struct FastBuffer* buffer)\n{{\n    return buffer != NULL;\n}}\n')
    tree.replace('abi/consumer/buffers.c', '    CHECK(GetFastBuffer(NULL) == NULL);\n',
                 f'    CHECK(GetFastBuffer(NULL) == NULL);\n    CHECK({name}(NULL) == 0);\n')


def link(tree, flag):
    """One more argument of the link."""
    tree.replace(BUILD, "    '-Wl,-z,nodelete',\n", f"    '-Wl,-z,nodelete',\n    {flag},\n")


def compileWith(tree, flag):
    """One more argument of the compiler, for the library."""
    tree.replace(BUILD, "    '-Wmissing-prototypes',\n",
                 f"    '-Wmissing-prototypes',\n    '{flag}',\n")
