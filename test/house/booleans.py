"""
The booleans of structs in lib/, and who writes them: a reading of C as this library writes it,
without a compiler. Where it can't know whose member a name is, it takes every one that it may be.
"""

import pathlib
import re

import source

TOKEN = re.compile(
    r'[A-Za-z_]\w*|\d[\w.]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|->|\+\+|--|<<=|>>=|'
                   r'[-+*/%&|^=!<>]=|&&|\|\||<<|>>|\.\.\.|\S')
BOOLEAN = {'bool', '_Bool', 'atomic_bool', 'atomic_flag'}
WRITES = {'=', '|=', '&=', '^=', '+=', '-=', '*=', '/=', '%=', '<<=', '>>=', '++', '--'}
KEYWORDS = {'return', 'sizeof', 'case', 'else', 'do', 'goto', 'if', 'while', 'for', 'switch',
            'struct'}
OPEN = {'(': ')', '[': ']', '{': '}'}


def tokensOf(text):
    text = re.sub(r'^[ \t]*#[ \t]*(?!define\b)\w+[^\n]*', '', source.withoutComments(text),
                  flags=re.M)
    return TOKEN.findall(text.replace('\\\n', ' '))


def matching(tokens, start):
    """The index of the bracket that closes the one at start."""
    depth = 0
    for index in range(start, len(tokens)):
        if tokens[index] in OPEN:
            depth += 1
        elif tokens[index] in (')', ']', '}'):
            depth -= 1
            if depth == 0:
                return index
    return len(tokens) - 1


def isName(token):
    return re.match(r'[A-Za-z_]\w*$', token) is not None


class Structs:
    """The structs of a library: type, as `FastSocket` or, of a struct without a name in it,
    `FastSocket.poll`: {member: its type, 'bool' for a boolean, None for what is neither}."""

    def __init__(self):
        self.members = {}
        self.files = {}
        self.returns = {}

    def read(self, file, text):
        tokens = tokensOf(text)
        for index in range(len(tokens) - 2):
            if tokens[index] in ('struct', 'union') and tokens[index + 2] == '{' \
                    and isName(tokens[index + 1]):
                end = matching(tokens, index + 2)
                self.define(file, tokens[index + 1], tokens[index + 3:end])
            elif tokens[index] == 'struct' and tokens[index + 2] == '*' \
                    and index + 4 < len(tokens) \
                    and isName(tokens[index + 3]) and tokens[index + 4] == '(':
                self.returns[tokens[index + 3]] = tokens[index + 1]

    def define(self, file, name, tokens):
        self.files[name] = file
        self.members[name] = {}
        self.addMembers(file, name, self.members[name], tokens)

    def addMembers(self, file, owner, members, tokens):
        start = 0
        while start < len(tokens):
            end = start
            while end < len(tokens) and tokens[end] != ';':
                end = matching(tokens, end) + 1 if tokens[end] in OPEN else end + 1
            self.addMember(file, owner, members, tokens[start:end])
            start = end + 1

    def addMember(self, file, owner, members, tokens):
        if '{' in tokens:
            brace = tokens.index('{')
            end = matching(tokens, brace)
            inner = tokens[brace + 1:end]
            names = [name for name in tokens[end + 1:] if isName(name)]
            if tokens[0] == 'enum':
                members.update({name: None for name in names})
            elif not names:
                self.addMembers(file, owner, members, inner)
            else:
                kind = tokens[1] if isName(tokens[1]) else f'{owner}.{names[0]}'
                self.define(file, kind, inner)
                members.update({name: kind for name in names})
            return
        kind = None
        if 'struct' in tokens:
            kind = tokens[tokens.index('struct') + 1]
        elif BOOLEAN & set(tokens) and '(' not in tokens:
            kind = 'bool'
        for part in ' '.join(tokens).split(' , '):
            pointer = re.search(r'\( \* (\w+)', part)
            if pointer:
                members[pointer[1]] = None
                return
            name = re.search(r'([A-Za-z_]\w*)\s*((?:\[.*\]\s*)*)(?::\s*(\w+)\s*)?$', part)
            if name:
                single = kind is None and name[3] == '1'
                points = kind == 'bool' and '*' in part
                members[name[1]] = 'bool' if single else None if points else kind

    def booleansOf(self, kinds):
        return {(kind, member) for kind in kinds for member, what in self.members[kind].items()
                if what == 'bool'}

    def partsOf(self, name, files):
        """The structs that are defined in those files and found from the named one."""
        found, next = set(), [name]
        while next:
            kind = next.pop()
            if kind in found or kind not in self.members or self.files[kind] not in files:
                continue
            found.add(kind)
            next += [what for what in self.members[kind].values() if what and what != 'bool']
        return found

    def mayBe(self, path):
        """The booleans that a path of members from an unknown start may name."""
        found = set()
        for kind, members in self.members.items():
            if members.get(path[-1]) != 'bool':
                continue
            if len(path) == 1 \
                    or any(others.get(path[-2]) == kind for others in self.members.values()):
                found.add((kind, path[-1]))
        return found


class Writers:
    """Finds what a file writes: {(type, member)}."""

    def __init__(self, structs, text):
        self.structs = structs
        self.found = set()
        self.whole = self.variablesOf(tokensOf(re.sub(r'^\{.*?^\}', '', text, flags=re.M | re.S)))
        for chunk in re.split(r'^\}.*$', text, flags=re.M):
            self.tokens = tokensOf(chunk) + [';']
            self.variables = self.variablesOf(self.tokens)
            self.scan()

    def variablesOf(self, tokens):
        variables = {}
        for index in range(len(tokens) - 2):
            if tokens[index] != 'struct' or not isName(tokens[index + 1]):
                continue
            place = index + 2
            while place < len(tokens) and tokens[place] in ('*', 'const', 'restrict', '_Atomic'):
                place += 1
            if place + 1 < len(tokens) and isName(tokens[place]) \
                    and tokens[place + 1] in ('=', ';', ',', ')', '[', ':'):
                variables.setdefault(tokens[place], set()).add(tokens[index + 1])
        return variables

    def scan(self):
        tokens = self.tokens
        for index, token in enumerate(tokens):
            before = tokens[index - 1] if index > 0 else ';'
            if token == '(' and not (isName(before) and before not in KEYWORDS) \
                    and before not in (')', ']'):
                self.look(index)
            elif isName(token) and token not in KEYWORDS and before not in ('.', '->'):
                self.look(index)
            if token == '{':
                kind = self.initializedAt(index)
                if kind:
                    self.initialize(index, kind)

    def look(self, start):
        """Looks at the members that are reached from here, and whether the last one is written."""
        end, kinds, path = self.follow(start)
        if not path:
            return
        after, before = self.tokens[end], self.tokens[start - 1] if start > 0 else ';'
        if after in WRITES or before in ('++', '--') or (before == '&' and self.isUnary(start - 1)):
            self.found |= self.namedBy(kinds, path)

    def namedBy(self, kinds, path):
        if kinds is None:
            return self.structs.mayBe(path)
        return {(kind, path[-1]) for kind in kinds
                if self.structs.members.get(kind, {}).get(path[-1]) == 'bool'}

    def isUnary(self, index):
        before = self.tokens[index - 1] if index > 0 else ';'
        if before == ')':
            return self.tokens[index - 2] == '*'
        return not (before == ']' or (re.match(r'\w', before) and before not in KEYWORDS))

    def follow(self, start):
        """(the index behind, the types that have the last member or None if unknown, the
        members)."""
        tokens, path = self.tokens, []
        if tokens[start] == '(':
            place = matching(tokens, start) + 1
            kinds = self.typesOfGroup(start, place - 1)
        else:
            kinds = self.variables.get(tokens[start]) or self.whole.get(tokens[start])
            place = start + 1
            if place < len(tokens) and tokens[place] == '(':
                kinds = self.typesOfCall(start)
                place = matching(tokens, place) + 1
        while place < len(tokens):
            if tokens[place] in ('(', '['):
                place = matching(tokens, place) + 1
            elif tokens[place] in ('.', '->') and place + 1 < len(tokens):
                if path and kinds is not None:
                    kinds = {self.structs.members[kind][path[-1]] for kind in kinds
                             if self.structs.members.get(kind, {}).get(path[-1])}
                path.append(tokens[place + 1])
                place += 2
            else:
                break
        return min(place, len(tokens) - 1), kinds, path

    def typesOfGroup(self, start, end):
        inner = self.tokens[start + 1:end]
        if inner[:1] == ['struct'] and len(inner) > 1:
            return {inner[1]}
        first = 1 if inner[:1] in (['*'], ['&']) else 0
        if len(inner) > first and inner[first] == '(' and inner[first + 1:first + 2] == ['struct']:
            return {inner[first + 2]}
        if len(inner) > first and (isName(inner[first]) or inner[first] == '('):
            place, kinds, path = self.follow(start + 1 + first)
            if place == end:
                return self.reached(kinds, path)
        return None

    def reached(self, kinds, path):
        if kinds is None or not path:
            return kinds
        return {self.structs.members[kind][path[-1]] for kind in kinds
                if self.structs.members.get(kind, {}).get(path[-1])} or None

    def typesOfCall(self, start):
        arguments = self.tokens[start + 2:matching(self.tokens, start + 1)]
        if self.tokens[start] == 'FAST_CONTAINER' and 'struct' in arguments:
            return {arguments[arguments.index('struct') + 1]}
        kind = self.structs.returns.get(self.tokens[start])
        return {kind} if kind else None

    def initializedAt(self, brace):
        """The type of what a brace initializes: `(struct X){` or `struct X name[] = {`."""
        tokens = self.tokens
        if brace >= 4 and tokens[brace - 1] == ')' \
                and tokens[brace - 4:brace - 2] == ['(', 'struct']:
            return tokens[brace - 2]
        if brace >= 4 and tokens[brace - 1] == '=':
            place = brace - 2
            while place > 0 and tokens[place] == ']':
                while place > 0 and tokens[place] != '[':
                    place -= 1
                place -= 1
            if place >= 2 and tokens[place - 2] == 'struct':
                return tokens[place - 1]
        return None

    def initialize(self, brace, kind):
        tokens, place, end = self.tokens, brace + 1, matching(self.tokens, brace)
        while place < end:
            inner, value = kind, place
            if tokens[place] == '.':
                inner, value = self.designate(place, kind)
            elif tokens[place] == '[':
                value = matching(tokens, place) + 2
            elif tokens[place] not in ('{', '0', '(') and self.structs.members.get(kind):
                self.found |= self.structs.booleansOf([kind])  # by position: any
            if tokens[value] == '{' and inner:
                self.initialize(value, inner)
            while place < end and tokens[place] != ',':
                place = matching(tokens, place) + 1 if tokens[place] in OPEN else place + 1
            place += 1

    def designate(self, place, kind):
        """Takes `.a.b =`; (the type of what is set or None, the index of the value)."""
        while self.tokens[place] in ('.', '['):
            if self.tokens[place] == '[':
                place = matching(self.tokens, place) + 1
                continue
            what = self.structs.members.get(kind, {}).get(self.tokens[place + 1])
            if what == 'bool':
                self.found.add((kind, self.tokens[place + 1]))
            kind = what if what != 'bool' else None
            place += 2
        return kind, place + 1


def read(library):
    """(booleans of a socket and its parts, {boolean: the stems that write it})."""
    structs = Structs()
    paths = sorted(library.rglob('*.[ch]'))
    texts = {str(path.relative_to(library)): path.read_text() for path in paths}
    for file, text in texts.items():
        structs.read(file, text)
    files = [file for file in texts if file.startswith('socket/') or file == 'ring/armed.h']
    parts = structs.partsOf('FastSocket', files)
    parts |= {kind for kind, file in structs.files.items() if file in files and file.endswith('.h')}
    booleans = structs.booleansOf(parts)
    writers = {boolean: set() for boolean in booleans}
    for file, text in texts.items():
        for boolean in Writers(structs, text).found & booleans:
            writers[boolean].add(str(pathlib.PurePath(file).with_suffix('')))
    return booleans, writers
