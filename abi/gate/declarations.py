"""
The public headers as a list of declarations and macros, the same whatever compiler reads them.

The compiler's preprocessor reads the headers; what comes out of our own files is cut into declarations,
whose tokens are joined by single blanks and whose parameters lose their names. A line of the list is
«KIND NAME: TOKENS», where KIND is macro, include, function, variable, typedef, struct, union or enum.
"""

import re

import source

TOKEN = re.compile(r'''
    [A-Za-z_]\w*
  | \.?\d(?:[eEpP][+-]|[\w.])*
  | "(?:\\.|[^"\\])*"
  | '(?:\\.|[^'\\])*'
  | \.\.\.|<<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\#\#
  | \S
''', re.X)

QUALIFIERS = {'const', 'volatile', 'restrict', '__restrict', 'register', '_Atomic'}
TYPES = {'void', 'char', 'short', 'int', 'long', 'float', 'double', 'signed', 'unsigned', '_Bool', 'bool',
         '__int128', '_Complex'}
TAGS = {'struct', 'union', 'enum'}
NOT_FUNCTIONS = {'__attribute__', '__attribute', '__declspec', '_Alignas', '__typeof__', 'typeof', '__asm__', 'asm',
                 '_Static_assert'}
NOTHROW = re.compile(r'__attribute__ \( \( (?:nothrow|__nothrow__) \) \)')
GUARD = re.compile(r'RING_\w+_H$')
OWN = {'macro': re.compile(r'FAST[A-Z]*_\w'), 'function': re.compile(r'\w*Fast\w'), 'type': re.compile(r'\w*(Fast|Ring)\w')}
VERSION = re.compile(r'FASTSOCKET_VERSION_(MAJOR|MINOR|PATCH)$')  # follows the release: abi rules compare it


def tokens(text):
    return TOKEN.findall(text)


def headerNames(include):
    return sorted(path.relative_to(include).as_posix() for path in include.glob('Ring/*.h'))


def preprocess(place, include, language='c', arguments=()):
    """The lines of our own headers, as c or c++ reads them with these arguments of the compiler."""
    program = ''.join(f'#include <{name}>\n' for name in headerNames(include))
    # Read from a file, since the compiler must not wait for an input.
    path = place.made('all.c', [program], lambda work: (work / 'all.c').write_text(program))
    return list(ownLines(place.compile(['-E', '-dD', '-w', '-I', include, *arguments, '-x', language, path]), str(include)))


def foreign(place, include):
    """What our headers do to names of others: [(what, name)] of #undef and #pragma."""
    for line in preprocess(place, include):
        match = re.match(r'\s*#\s*(undef|pragma)\s+(.*)', line)
        if match and not (match.group(1) == 'undef' and OWN['macro'].match(match.group(2))):
            yield match.group(1), ' '.join(tokens(match.group(2)))


def names(found):
    """(kind, name) of all that a list gives to whoever includes the headers."""
    for key, text in sorted(found.items()):
        kind, name = key.split(' ', 1)
        if kind in ('struct', 'union') and '{' not in text:
            continue  # a body, ours or a foreign one, is given by somebody else
        if kind != 'include':
            yield kind, name
        if kind == 'enum':
            yield from (('macro', enumerator) for enumerator in enumerators(text))


def isOwn(kind, name):
    """A name that can't be a program's, since it says whose it is."""
    return GUARD.match(name) is not None or OWN.get(kind, OWN['type']).match(name) is not None


def read(place, include, language='c', arguments=()):
    """{'KIND NAME': 'TOKENS'} of the headers below include, as c or c++ reads them."""
    found = {}
    for name in headerNames(include):
        for quote, file in source.includesOf((include / name).read_text()):
            found[f'include {name} {quote}{file}{">" if quote == "<" else quote}'] = ''
    lines = []
    for line in preprocess(place, include, language, arguments):
        match = re.match(r'\s*#\s*(\w+)\s+(\w+)(.*)', line)
        if match is None:
            lines.append(line)
        elif match.group(1) == 'define' and not GUARD.match(match.group(2)):
            # One with parameters is no value; what it says begins with # here.
            words = (['#'] if match.group(3).startswith('(') else []) + tokens(match.group(3))
            found['macro ' + match.group(2)] = ' '.join(words)
        elif match.group(1) == 'undef':
            found.pop('macro ' + match.group(2), None)
    for declaration in split(withoutLinkage(tokens('\n'.join(lines)))):
        key, text = describe(declaration)
        if key and (key not in found or '{' in text):
            found[key] = text
    assert len([key for key in found if key.startswith('function ')]) > 0, f"{include}: no functions found"
    return found


def ownLines(text, prefix):
    """The lines of a preprocessor's output that come from files below prefix."""
    inside = False
    for line in text.splitlines():
        marker = re.match(r'#\s*(?:line\s+)?\d+\s+"((?:\\.|[^"\\])*)"', line)
        if marker:
            inside = marker.group(1).startswith(prefix + '/')
        elif inside:
            yield line


def withoutLinkage(words):
    """Without the «extern "C"» of C++ and its braces. That it is there the linkage of rules tells."""
    found, depth, ends = [], 0, set()
    for index, word in enumerate(words):
        if words[index:index + 2] == ['extern', '"C"'] or (word == '"C"' and words[index - 1] == 'extern'):
            continue
        if word == '{':
            depth += 1
            if words[max(0, index - 2):index] == ['extern', '"C"']:
                ends.add(depth)
                continue
        if word == '}':
            depth -= 1
            if depth + 1 in ends:
                ends.discard(depth + 1)
                continue
        found.append(word)
    return found


def split(words):
    """Cuts tokens into declarations, their final semicolons left out."""
    current, depth, body = [], 0, False
    for word in words:
        if word == ';' and depth == 0:
            if current:
                yield current
            current = []
            continue
        if word == '{' and depth == 0:
            body = bool(current) and current[-1] == ')' and current[0] != 'typedef'
        depth += (word in '{([') - (word in '})]')
        current.append(word)
        if word == '}' and depth == 0 and body:
            yield current
            current, body = [], False
    assert not current and depth == 0, f"not understood: {' '.join(current)}"


def describe(words):
    """The (key, text) of a declaration."""
    while words and words[0] in ('extern', '__extension__'):
        words = words[1:]
    if not words or words[0] in ('_Static_assert', 'static_assert') or '__Static_assert_function' in words:
        return None, None
    if words[0] == 'typedef':
        return describeTypedef(words)
    if words[0] in TAGS and (len(words) == 2 or '{' in words) and functionName(words) is None:
        tag = words[1] if words[1] != '{' else ' '.join(words)
        return f'{words[0]} {tag}', ' '.join(words)
    name = functionName(words)
    if name is not None:
        return f'function {name}', ' '.join(withoutNames(words, words.index(name) + 1))
    return f'variable {lastName(words)}', ' '.join(words)


def functionName(words):
    """The name of the function that is declared, or None."""
    depth = 0
    for index, word in enumerate(words[:-1]):
        if word == '{':
            return None
        if depth == 0 and words[index + 1] == '(' and re.match(r'[A-Za-z_]', word) and word not in NOT_FUNCTIONS:
            return word
        depth += (word == '(') - (word == ')')
    return None


def lastName(words):
    names = [word for word in words if re.match(r'[A-Za-z_]', word)]
    return names[-1]


def describeTypedef(words):
    for index in range(len(words) - 3):
        if words[index] == '(' and words[index + 1] == '*' and words[index + 3] == ')':
            name = words[index + 2]
            return f'typedef {name}', ' '.join(withoutNames(words, index + 4))
    return f'typedef {lastName(words)}', ' '.join(words)


def withoutNames(words, start):
    """A declaration whose parameters, in the parentheses at start, have lost their names."""
    depth, end = 0, start
    for end in range(start, len(words)):
        depth += (words[end] == '(') - (words[end] == ')')
        if depth == 0:
            break
    parameters, current, depth = [], [], 0
    for word in words[start + 1:end]:
        depth += (word in '([{') - (word in ')]}')
        if word == ',' and depth == 0:
            parameters.append(current)
            current = []
        else:
            current.append(word)
    parameters.append(current)
    joined = []
    for parameter in parameters:
        joined += ([','] if joined else []) + withoutName(parameter)
    return words[:start + 1] + joined + words[end:]


def withoutName(parameter):
    """A parameter without its name, where it has the plain form of a type with a name behind it."""
    rest = parameter[:]
    suffix = []
    if '[' in rest:
        cut = rest.index('[')
        rest, suffix = rest[:cut], rest[cut:]
    if len(rest) < 2 or not re.match(r'[A-Za-z_]', rest[-1]) or rest[-1] in TYPES | QUALIFIERS:
        return parameter
    before = [word for word in rest[:-1] if word not in QUALIFIERS]
    if not before or before[-1] in TAGS or (len(before) == 1 and before[0] in TAGS):
        return parameter
    return rest[:-1] + suffix


def canonical(text):
    """A declaration's or a macro's tokens, those that mean the same to every compiler alike."""
    text = NOTHROW.sub(' ', text)
    words = [sameNumber(word) for word in text.split()]
    found, run = [], []
    for word in words + [';']:
        if re.match(r'[A-Za-z_]', word):
            run.append(word)
            continue
        # «timespec const» is «const timespec»: what stands before the first star belongs together.
        found += sorted(word for word in run if word in ('const', 'volatile'))
        found += [word for word in run if word not in ('const', 'volatile')] + [word]
        run = []
    return ' '.join(found[:-1])


def sameNumber(word):
    """A number in its decimal form; its type is a matter of layout."""
    match = re.fullmatch(r'(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)([uUlL]*)', word)
    if match is None:
        return word
    digits = match.group(1)
    isOctal = len(digits) > 1 and digits.isdigit() and digits[0] == '0'
    return str(int(digits, 8 if isOctal else 0)) + match.group(2).upper()


def fields(text):
    """The fields of a struct's text: [(type, name)]."""
    words = text.split()
    if '{' not in words:
        return []
    body = words[words.index('{') + 1:len(words) - 1 - words[::-1].index('}')]
    found, current = [], []
    for word in body:
        if word == ';':
            found.append((' '.join(current[:-1]), current[-1]))
            current = []
        else:
            current.append(word)
    return found


def enumerators(text):
    words = text.split()
    if words[0] != 'enum' or '{' not in words:
        return []
    names, depth, fresh = [], 0, True
    for word in words[words.index('{') + 1:]:
        if fresh and depth == 0 and re.match(r'[A-Za-z_]', word):
            names.append(word)
            fresh = False
        depth += (word == '(') - (word == ')')
        fresh = fresh or (word == ',' and depth == 0)
    return names


def format(found):
    return ''.join(f'{key}: {found[key]}'.rstrip() + '\n' for key in sorted(found))


def parse(text):
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(':')
        found[key] = value.strip()
    return found
