#!/usr/bin/env python3
"""
The shape of the sources: columns, lengths of files and functions, comments, and words that this
library doesn't use.

usage: format-test.py SOURCE_ROOT
"""

import pathlib
import re
import statistics
import sys
import tempfile

import source
import tap

# What is wrong in files whose paths begin so is reported, not refused.
UNDER_REBUILD = []
REPORTED = 40  # faults of a kind, the others are counted

COLUMNS = 100
FILE_LINES = 450
FUNCTION_LINES = 60
MEDIAN_LINES = 10
COMMENTS = (15, 25)  # percent of the lines of lib/
FILE_COMMENTS = (8, 40)  # outside of it a file is reported
GROUP = 4  # declarations that one comment may speak for


class Faults:
    def __init__(self):
        self.refused, self.reported = [], []

    def add(self, file, text):
        rebuilt = any(str(file).startswith(prefix) for prefix in UNDER_REBUILD)
        (self.reported if rebuilt else self.refused).append(f"{file}: {text}")

    def all(self):
        return self.refused + self.reported

    def check(self):
        for text in self.reported[:REPORTED]:
            print(f"# under rebuild: {text}")
        if len(self.reported) > REPORTED:
            print(f"# under rebuild: … and {len(self.reported) - REPORTED} more")
        assert not self.refused, "\n".join(self.refused)


def filesIn(root, folders, endings):
    for folder in folders:
        path = root / folder
        for file in [path] if path.is_file() else sorted(path.rglob('*')):
            if file.is_file() and file.suffix in endings:
                yield file.relative_to(root), file.read_text()


def linesOf(text):
    return text.removesuffix('\n').split('\n')


# ---- columns and lengths ----

def findLongLines(root, faults):
    for file, text in filesIn(root, ['lib', 'include', 'test'], ['.c', '.h', '.py', '.sh']):
        for number, line in enumerate(linesOf(text), 1):
            if len(line) > COLUMNS:
                faults.add(file, f"line {number} has {len(line)} columns")


def findLongFiles(root, faults):
    for file, text in filesIn(root, ['lib'], ['.c', '.h']):
        if len(linesOf(text)) > FILE_LINES:
            faults.add(file, f"has {len(linesOf(text))} lines, more than {FILE_LINES}")


def functionsOf(text):
    """(name, lines of the body with its braces): bodies begin and end in the first column."""
    lines, start = linesOf(text), None
    for number, line in enumerate(lines):
        if line == '{' and number > 0 and lines[number - 1].endswith(')'):
            start = number
        elif line == '}' and start is not None:
            yield nameOfFunction(lines[:start]), number - start + 1
            start = None


def nameOfFunction(lines):
    head = len(lines) - 1
    while head > 0 and lines[head].startswith(' '):
        head -= 1
    match = re.search(r'(\w+)\(', lines[head])
    return match[1] if match else lines[head]


def findLongFunctions(root, faults):
    lengths = []
    for file, text in filesIn(root, ['lib'], ['.c', '.h']):
        for name, length in functionsOf(text):
            lengths.append(length)
            if length > FUNCTION_LINES:
                faults.add(file, f"{name} has {length} lines, more than {FUNCTION_LINES}")
    if lengths and statistics.median(lengths) > MEDIAN_LINES:
        faults.add('lib/',
                   f"half of the functions have more than {statistics.median(lengths)} lines")


# ---- comments ----

def marked(text):
    """A text with a \1 in the place of each comment, or of its part on a line."""
    text = re.sub(r'//[^\n]*', '\1', text)
    return re.sub(r'/\*.*?\*/', lambda match: re.sub(r'[^\n]+', '\1', match[0]), text, flags=re.S)


def countComments(text):
    lines = linesOf(marked(text))
    return sum('\1' in line for line in lines), len(lines)


def findCommentShare(root, faults):
    sum, all = 0, 0
    for file, text in filesIn(root, ['lib'], ['.c', '.h']):
        comments, lines = countComments(text)
        sum, all = sum + comments, all + lines
        if not FILE_COMMENTS[0] <= 100 * comments / lines <= FILE_COMMENTS[1]:
            print(f"# {file}: {100 * comments / lines:.0f} % of the lines have a comment")
    if not COMMENTS[0] <= 100 * sum / max(all, 1) <= COMMENTS[1]:
        faults.add('lib/', f"{100 * sum / max(all, 1):.1f} % of the lines have a comment, not "
                   f"{COMMENTS[0]} to {COMMENTS[1]}")


def uncommented(text):
    """The functions of a header that no comment speaks of: none on their lines, none right above
    them, and none right above the first of a few that follow each other without a blank line. A
    comment between lines of «----» names a part of the header and speaks of no function."""
    text = re.sub(r'/\*[ \t]*----[^\n]*', '', source.withoutLineEnds(text))
    spoken, left, depth, statement = False, 0, 0, []
    for line in linesOf(marked(text)):
        code = line.replace('\1', '').strip()
        if not statement and depth == 0 and not code:
            spoken, left = ('\1' in line), GROUP
            continue
        statement.append(line)
        depth += code.count('{') - code.count('}')
        if depth > 0 or not re.search(r'[;}]$|^#', code):
            continue
        whole, statement = ' '.join(statement), []
        name = re.match(
            r'(?!typedef\b|struct \w+\s*\{|enum\b|union\b|_Static_assert|#)[^({]*?\b(\w+)\(',
                        whole.replace('\1', '').strip())
        if not name or code.startswith('#'):
            spoken = False
        elif '\1' not in whole.partition('{')[0] and not (spoken and left > 0):
            yield name[1]
        left -= 1


def findUncommented(root, faults):
    for file, text in filesIn(root, ['lib'], ['.h']):
        for name in uncommented(text):
            faults.add(file, f"no comment speaks of {name}")


def findContinuations(root, faults):
    for file, text in filesIn(root, ['lib', 'include'], ['.c', '.h']):
        for number, line in enumerate(linesOf(text), 1):
            if re.search(r'/\*\s*…', line):
                faults.add(file,
                           f"line {number}: a comment that continues another; each stands alone")


# ---- words ----

# As a word of prose or of a name, in whatever case: what to write instead.
WORDS = {
    r'flying': 'inFlight',
    r'resting': 'backoff',
    r'unmoved': 'cancelFailed',
    r'tighten(s|ed|ing)?': 'throttle',
    r'settle[sd]?|settling': 'reconcile',
    r'modest': 'singleBuffer',
    r'forgiven': 'unexpectedEnds',
    r'patient': 'needsWorker',
    r'renew(s|ed|ing|al)?': 'rearm',
    r'deafen(s|ed|ing)?': 'closeHandles',
    r'judge[sd]?|judging': 'classify',
    r'keepers?': 'source',
    r'shells?': 'defunct',
    r'cancell(ed|ing|er)': 'canceled, canceling',
    r'anew': 'again',
}
# A line that has this beside the word means something else: the program that runs jobs.
MEANT = {
    'defunct': re.compile(r'\bjobs?\b'),
}
DOCUMENTS = [f'doc/{name}.md'
             for name in ('guide', 'recipes', 'sizing', 'faq', 'from-libuv', 'from-libevent')]
PHRASES = {
    r'for want of': 'because … failed',
}


def wordsOf(line):
    """The words of a line, those of its names one by one."""
    return [word.lower() for word in re.findall(r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+', line)]


def findWords(root, faults):
    for file, text in filesIn(root, ['lib', 'include', 'doc/man', *DOCUMENTS],
                              ['.c', '.h', '.scd', '.md']):
        for number, line in enumerate(linesOf(text), 1):
            for word, better in strangeWords(line):
                faults.add(file, f"line {number} says «{word}»: {better}")
        for phrase, better in PHRASES.items():
            for match in re.finditer(phrase.replace(' ', r'[\s*]+'), text):
                number = text.count('\n', 0, match.start()) + 1
                faults.add(file, f"line {number} says «{phrase}»: {better}")


def strangeWords(line):
    for word in wordsOf(line):
        for pattern, better in WORDS.items():
            meant = MEANT.get(better)
            if re.fullmatch(pattern, word) and not (meant and meant.search(line)):
                yield word, better


# ---- kinds ----

# The only files that may ask whether a socket is a stream, records, datagrams or a file, or of what
# family it is: all others ask a trait that says what the socket can, or call the kind's table. One
# function elsewhere may ask: a stream of the C library can't show messages.
KIND_FILES = re.compile(r'lib/socket/(kind-[\w-]+|create)\.[ch]$')
KIND_BRANCHES = 1
KINDS = ('Stream', 'Record', 'Datagram', 'File')
# What trait.h marks as theirs.
FAMILY_TRAITS = ('TCP', 'MPTCP', 'SCTP', 'NETLINK', 'LOCAL', 'PIPE', 'TERMINAL')
FAMILY_MARK = 'for kind-*.c alone, like all that follow'
KIND_QUESTION = re.compile(rf"&\s*FastKind({'|'.join(KINDS)})\b|"
                           rf"\bFAST_TRAIT_({'|'.join(FAMILY_TRAITS)})\b(?!\s*=)")


def kindQuestionsOf(text):
    """Where a text asks: the function around, or the line where there is none."""
    function = None
    lines = linesOf(source.withoutLineEnds(source.withoutComments(text)))
    for number, line in enumerate(lines):
        if line == '{':
            function = nameOfFunction(lines[:number])
        if KIND_QUESTION.search(line):
            yield function or f"line {number + 1}"
        if line == '}':
            function = None


def findKindBranches(root, faults):
    found = set()
    for file, text in filesIn(root, ['lib'], ['.c', '.h']):
        if not KIND_FILES.match(str(file)):
            found |= {f"{file} ({place})" for place in kindQuestionsOf(text)}
    if len(found) > KIND_BRANCHES:
        faults.add('lib/socket/', f"asks for a socket's kind in {len(found)} places, "
                   f"more than {KIND_BRANCHES}: {', '.join(sorted(found))}")


def findFamilyTraits(root, faults):
    """That what trait.h marks is what findKindBranches knows."""
    for file, text in filesIn(root, ['lib/socket/trait.h'], ['.h']):
        traits = text.partition('enum FastTrait\n')[2].partition('};')[0]
        before, mark, behind = traits.partition(FAMILY_MARK)
        marked = re.findall(r'FAST_TRAIT_(\w+)\s*=', before.rpartition('\n')[2] + behind)
        if sorted(marked) != sorted(FAMILY_TRAITS):
            faults.add(file, f"marks {', '.join(marked)} as {FAMILY_MARK}, not "
                       f"{', '.join(FAMILY_TRAITS)}")


# ---- the tests of all this ----

FINDERS = {
    'columns': findLongLines,
    'files': findLongFiles,
    'functions': findLongFunctions,
    'comments': findCommentShare,
    'declarations': findUncommented,
    'continuations': findContinuations,
    'words': findWords,
    'kinds': findKindBranches,
    'families': findFamilyTraits,
}


def check(root, finder):
    faults = Faults()
    finder(root, faults)
    faults.check()


CODE = ''.join(f'static int f{number}(void)\n{{\n    return 0;\n}}\n' for number in range(4))


def enumOfTraits(marked):
    traits = [f'    FAST_TRAIT_{name} = 1 << 9,' for name in marked]
    traits[0] += f' /* {FAMILY_MARK} */'
    return '\n'.join(['enum FastTrait', '{', '    FAST_TRAIT_READABLE = 1,', *traits, '};', ''])


# finder, name: (file, text, whether it must be refused).
PLANTS = {
    ('columns', 'longLine'): ('lib/base/a.c', 'x' * 101, True),
    ('columns', 'fullLine'): ('lib/base/a.c', 'x' * 100, False),
    ('columns', 'characters'): ('test/api/a.c', '«' * 100, False),
    ('columns', 'python'): ('test/house/a.py', '#' * 101, True),
    ('columns', 'shell'): ('test/root/a.sh', '#' * 101, True),
    ('columns', 'header'): ('include/Ring/a.h', '/' * 101, True),
    ('files', 'longFile'): ('lib/base/a.c', '\n' * 451, True),
    ('files', 'fullFile'): ('lib/base/a.c', '\n' * 450, False),
    ('functions', 'long'): ('lib/base/a.c',
                            CODE + 'int f(int a,\n      int b)\n{\n' + '    f();\n' * 59 + '}\n',
                            True),
    ('functions', 'full'): ('lib/base/a.c', CODE + 'int f(int a)\n{\n' + '    f();\n' * 58 + '}\n',
                            False),
    ('functions', 'struct'): ('lib/base/a.c', CODE + 'struct a\n{\n' + '    int a;\n' * 99 + '};\n',
                              False),
    ('functions', 'median'): ('lib/base/a.c', ('int f(void)\n{\n' + '    f();\n' * 9 + '}\n') * 3,
                              True),
    ('comments', 'few'): ('lib/base/a.c', '/* a */\n' * 14 + 'int a;\n' * 86, True),
    ('comments', 'enough'): ('lib/base/a.c', '/*\n * a\n */\n' * 5 + 'int a;\n' * 85, False),
    ('comments', 'many'): ('lib/base/a.c', 'int a; /* a */\n' * 26 + 'int a;\n' * 74, True),
    ('declarations', 'none'): ('lib/base/a.h', 'int f(void);\n', True),
    ('declarations', 'before'): ('lib/base/a.h', '/* What it does. */\nint f(void);\n', False),
    ('declarations', 'behind'): ('lib/base/a.h', 'int f(int a,\n      int b); /* what it does */\n',
                                 False),
    ('declarations', 'detached'): ('lib/base/a.h', '/* Something. */\n\nint f(void);\n', True),
    ('declarations', 'group'): ('lib/base/a.h', '/* What they do. */\n' + 'int f(void);\n' * 4,
                                False),
    ('declarations', 'largeGroup'): ('lib/base/a.h', '/* What they do. */\n' + 'int f(void);\n' * 5,
                                     True),
    ('declarations', 'title'): ('lib/base/a.h', '/* ---- a.c ---- */\nint f(void);\n', True),
    ('declarations', 'ofAnother'): ('lib/base/a.h',
                                    '/* A struct. */\nstruct a\n{\n    int a;\n};\nint f(void);\n',
                                    True),
    ('declarations', 'inline'): ('lib/base/a.h',
                                 'static inline int f(void)\n{\n    return 0; /* a */\n}\n', True),
    ('declarations', 'inlineBefore'): ('lib/base/a.h',
                                       '/* A. */\nstatic inline int f(void)\n{\n    return '
                                       'g();\n}\n', False),
    ('declarations', 'noFunction'): ('lib/base/a.h',
                                     'struct a\n{\n    int (*f)(void);\n};\ntypedef int '
                                     '(*T)(int);\n', False),
    ('continuations', 'dots'): ('lib/base/a.h', '    bool a; /* … and more */\n', True),
    ('continuations', 'within'): ('lib/base/a.h', '    bool a; /* HELLO … BYE */\n', False),
    ('words', 'name'): ('lib/base/a.c', 'bool unmovedYet;\n', True),
    ('words', 'inName'): ('lib/base/a.c', 'void FastSocketTightenReceive(void);\n', True),
    ('words', 'constant'): ('lib/base/a.c', 'enum { STATE_RESTING };\n', True),
    ('words', 'prose'): ('include/Ring/a.h', '/* It becomes a shell. */\n', True),
    ('words', 'job'): ('lib/base/a.c', "/* While another job of the shell's has it. */\n", False),
    ('words', 'spelling'): ('doc/man/a.3.scd', 'It is cancelled.\n', True),
    ('words', 'brokenPhrase'): ('lib/base/a.c', '/*\n * ends for\n * want of memory\n */\n', True),
    ('words', 'standard'): ('lib/base/a.c', 'cancellation canceled rest notice interest Shelley\n',
                            False),
    ('kinds', 'two'): ('lib/socket/a.c',
                       'int f(void)\n{\n    return a->kind == &FastKindFile;\n}\n'
                       'int g(void)\n{\n    return &FastKindRecord != a->kind;\n}\n', True),
    ('kinds', 'one'): ('lib/socket/a.c',
                       'int f(void)\n{\n    return a->kind == &FastKindRecord ||\n'
                       '           a->kind == &FastKindDatagram;\n}\n', False),
    ('kinds', 'families'): ('lib/socket/a.c',
                            'int f(void)\n{\n    return a->traits & FAST_TRAIT_LOCAL;\n}\n'
                            'int g(void)\n{\n    return a->traits & FAST_TRAIT_TCP;\n}\n', True),
    ('kinds', 'broken'): ('lib/socket/a.c',
                          'int f(void)\n{\n    return a->traits &\n        (FAST_TRAIT_PIPE |\n'
                          '         FAST_TRAIT_TERMINAL);\n}\n#define A FAST_TRAIT_SCTP\n', True),
    ('kinds', 'otherRoom'): ('lib/memory/a.c',
                             '#define A (&FastKindFile)\n#define B FAST_TRAIT_NETLINK\n', True),
    ('kinds', 'others'): ('lib/socket/a.c',
                          'int f(void)\n{\n    return FastSocketHas(a, FAST_TRAIT_PACKETS);\n}\n'
                          'int g(void)\n{\n    return a->kind->end == NULL;\n}\n'
                          'int h(void)\n{\n    return a->item->kind == FAST_ITEM_MARKER;\n}\n',
                          False),
    ('kinds', 'inKind'): ('lib/socket/kind-file.c', '#define A FAST_TRAIT_PIPE\n'
                          '#define B (&FastKindFile)\n#define C FAST_TRAIT_TCP\n', False),
    ('kinds', 'inCreate'): ('lib/socket/create.c', 'if (a == &FastKindFile)\n'
                            'if (a == &FastKindStream)\n', False),
    ('kinds', 'commented'): ('lib/socket/a.c', '/* &FastKindFile */\n/* FAST_TRAIT_TCP */\n',
                             False),
    ('families', 'unmarked'): ('lib/socket/trait.h', enumOfTraits(['TCP', 'NEW']), True),
    ('families', 'forgotten'): ('lib/socket/trait.h', enumOfTraits(FAMILY_TRAITS[1:]), True),
    ('families', 'marked'): ('lib/socket/trait.h', enumOfTraits(FAMILY_TRAITS), False),
}


def checkPlant(finder, file, text, refused):
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        (root / file).parent.mkdir(parents=True)
        (root / file).write_text(text)
        faults = Faults()
        FINDERS[finder](root, faults)
        found = [fault for fault in faults.all() if fault.startswith(('lib/', file))]
        assert bool(found) == refused, found or "was not refused"


def main():
    root = pathlib.Path(sys.argv[1])
    cases = [(f'format/{name}', lambda finder=finder: check(root, finder))
             for name, finder in FINDERS.items()]
    for (finder, name), plant in PLANTS.items():
        kind = 'refuses' if plant[-1] else 'takes'
        cases.append((f'format/{kind}/{finder}-{name}',
                      lambda finder=finder, plant=plant: checkPlant(finder, *plant)))
    tap.runCases(cases)


main()
