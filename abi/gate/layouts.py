"""Compile-time asserts of everything that a compiler puts into a program: sizes, offsets, values, types."""

import re

import declarations
import policy
import tap

# A program that prints an expression's value and the name of its type.
KINDS = ['int', 'unsigned int', 'long', 'unsigned long', 'long long', 'unsigned long long']
MEASURE = '''
#include <stdio.h>
#include <stddef.h>
%s
#define KIND(x) _Generic((x), %s, default: "")
#define VALUE(name, x) do { if (KIND(x)[0]) printf("value %%s %%lld%%s %%s\\n", name, (long long)(x), (x) < 0 ? "" : "u", KIND(x)); } while (0)
int main(void)
{
%s
    return 0;
}
'''


def write(place, include, known, version):
    """The text of layout-CPU.c for the headers in include."""
    headers = ''.join(f'#include <{name}>\n' for name in declarations.headerNames(include))
    lines = [f'/* {version} on {place.cpu}: what it had is in each message. Made by abi-record. */', '#include <stddef.h>',
             headers.rstrip(), '', '#define SAME(type, expression) __builtin_types_compatible_p(type, __typeof__(expression))']
    lines += measured(place, include, known, headers)
    for key, text in sorted(known.items()):
        kind, name = key.split(' ', 1)
        if kind == 'function' and '{' not in text:
            lines.append(told(f'SAME({abstract(text, name)}, {name})', f"{name} was {quoted(text)}"))
        if kind == 'typedef' and '( *' in text:
            lines.append(told(f'SAME({abstract(text, name)[len("typedef "):]}, ({name})0)', f"{name} was {quoted(text)}"))
    return '\n'.join(lines) + '\n'


def told(condition, message):
    return f'_Static_assert({condition}, "{message}");'


def quoted(text):
    return text.replace('\\', '\\\\').replace('"', '\\"')


def abstract(text, name):
    """A function's type without attributes."""
    text = re.sub(r'__attribute__ (\( \(.*?\) \))', ' ', text)
    return re.sub(rf'\b{name}\b', '', text)


def constants(known):
    """Macros that may be values: no parameters, a body, and not the version."""
    for key, text in sorted(known.items()):
        kind, name = key.split(' ', 1)
        isValue = re.match(r'[-(\d]|[A-Z][A-Z0-9_]*( \(|$)', text) and '"' not in text
        if kind == 'macro' and isValue and not declarations.VERSION.match(name):
            yield name
        if kind == 'enum':
            yield from declarations.enumerators(text)


def measured(place, include, known, headers):
    """Asserts whose numbers come from running a program here."""
    steps = [f'VALUE("{name}", {name});' for name in constants(known)]
    for key, text in sorted(known.items()):
        kind, name = key.split(' ', 1)
        if kind in ('struct', 'union') and '{' in text:
            steps.append(f'printf("size {key} %zu %zu\\n", sizeof({key}), _Alignof({key}));')
            for _, field in declarations.fields(text):
                steps.append(f'printf("field {key} {field} %zu %zu\\n", offsetof({key}, {field}), '
                             f'sizeof((({key}*)0)->{field}));')
    kinds = ', '.join(f'{kind}: "{kind}"' for kind in KINDS)
    program = MEASURE % (headers, kinds, '\n'.join(steps))
    path = place.made('measure', [program, *sorted(include.glob('Ring/*.h'))], lambda work: compileProgram(place, include, program, work))
    types = {(key.split(' ', 1)[1], field): kind for key, text in known.items() if key.startswith(('struct ', 'union '))
             for kind, field in declarations.fields(text)}
    return [assertion(line, types) for line in tap.run([str(path)]).splitlines()]


def compileProgram(place, include, program, work):
    (work / 'measure.c').write_text(program)
    place.compile(['-std=gnu11', '-w', '-I', include, work / 'measure.c', '-o', work / 'measure'])


def assertion(line, types):
    what, *rest = line.split()
    if what == 'value':
        name, value, kind = rest[0], rest[1], ' '.join(rest[2:])
        return told(f'{name} == {value} && SAME({kind}, {name})', f"{name} was {value.rstrip('u')}, of type {kind}")
    if what == 'size':
        key, size, alignment = ' '.join(rest[:2]), rest[2], rest[3]
        grows = rest[1] in policy.GROWING
        return told(f'sizeof({key}) {">=" if grows else "=="} {size} && _Alignof({key}) == {alignment}',
                    f"{key} had {size} bytes, aligned to {alignment}")
    key, field, offset, size = ' '.join(rest[:2]), rest[2], rest[3], rest[4]
    return told(f'offsetof({key}, {field}) == {offset} && SAME({types[rest[1], field]}, (({key}*)0)->{field})',
                f"{field} of {key} was {types[rest[1], field]} at {offset}, with {size} bytes")


def families(known):
    """(name, name, condition) of the constants that must differ."""
    names = [name for name in constants(known)]
    for prefixes, condition in ((policy.FAMILIES, '({one}) != ({other})'), (policy.BIT_FAMILIES, '(({one}) & ({other})) == 0')):
        for prefix in prefixes:
            family = [name for name in names if name.startswith(prefix)]
            for index, one in enumerate(family):
                for other in family[index + 1:]:
                    yield one, other, condition.format(one=one, other=other)
