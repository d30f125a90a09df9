#!/usr/bin/env python3
"""
Every promise of the library's behaviour has a test that names it, on each engine. The promises are
the rows of test/promises. A test names its rows in a comment directly above its CASE, or above a
function of test/interop, test/tools or test/house:

    /* §2.3 truncation: what it checks */
    # §2.4 order, §2.4 empty: of several rows

The default suite runs all tests on io_uring, where that is to be had; the suite «epoll» runs the
programs that test/epoll/meson.build says, and there a case that asks for io_uring, or for sends
without a copy, is a skip, and counts as none. What needs no test on epoll is in ONE_ENGINE.

usage: promises-test.py SOURCE_ROOT [--list] [BEHAVIOUR]

--list prints the rows with their tests, those without first. BEHAVIOUR, or FASTSOCKET_BEHAVIOUR in
the environment, is the specification's text of the behaviour: then the rows of its tables must be
the list's.
"""

import os
import pathlib
import re
import sys
import tempfile

import tap

SECTION = re.compile(r'\d+\.\d+')
ROW = re.compile(r'§(\d+\.\d+) ([^:§]+?)(?=, §|: |$)')
GRAMMAR = re.compile(r'(?:§\d+\.\d+ [^:§]+, )*§\d+\.\d+ [^:§]+: \S.*')

SECTIONS = [f'2.{number}' for number in range(1, 10)] + ['3.1', '3.2', '3.3', '3.4']

# Rows that no test on epoll names, with the reason.
ONE_ENGINE = {
    ('2.3', 'after Release'): "what the headers say, whatever runs",
    ('2.4', 'ZC ordering'): "epoll copies what it sends",
    ('2.4', 'ZC adaptivity'): "the same",
    ('2.8', 'ENOMEM at creation'): "on epoll the entries are the process's own memory",
    ('2.8', 'NO_IOWAIT'): "a flag of io_uring's own system call",
    ('3.2', 'constants'): "what the headers say, whatever runs",
}


def readList(path):
    """{(section, name): wording}, and the faults of the file."""
    rows, faults = {}, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        parts = [part.strip() for part in line.split(' | ')]
        if len(parts) != 3 or not SECTION.fullmatch(parts[0]) or not all(parts):
            faults.append(f"{path.name}:{number}: not «section | name | wording»")
        elif re.search(r'[:§]', parts[1]):
            faults.append(f"{path.name}:{number}: «:» and «§» are the grammar's")
        elif (parts[0], parts[1]) in rows:
            faults.append(f"{path.name}:{number}: «{parts[0]} {parts[1]}» is there twice")
        else:
            rows[parts[0], parts[1]] = parts[2]
    return rows, faults


def textOf(comment):
    """The words of a comment, whatever its lines."""
    lines = (re.sub(r'^\s*(?:/\*|\*(?!/)|#)?', '', line) for line in comment.splitlines())
    return ' '.join(' '.join(lines).replace('*/', ' ').split())


class EpollSuite:
    """What the suite «epoll» runs again: programs of whole folders, and others by their names."""

    SKIPS = re.compile(r'\bneedUring\(\)|\bskipTest\("[^"]*zero copy')

    def __init__(self, test):
        text = (test / 'epoll' / 'meson.build').read_text()
        self.folders = re.findall(r"^foreach \w+, \w+ : (\w+)_programs\n    test\('epoll/", text,
                                  re.M)
        self.names = re.findall(r"^ *test\('epoll/(\w+)', python3", text, re.M)
        for words in re.findall(r"^epoll_house = \[(.*?)\]", text, re.M | re.S):
            self.names += re.findall(r"'([\w-]+)'", words)
        unit = test / 'unit' / 'meson.build'
        found = re.search(r'^uring_tests = \[(.*?)\]', unit.read_text(), re.M | re.S) \
            if unit.exists() else None
        self.skipped = re.findall(r"'([\w-]+)'", found[1]) if found else []

    def runs(self, path, body):
        name = re.sub(r'-test$', '', path.stem)
        if path.parent.name not in self.folders and (path.suffix == '.c' or name not in self.names):
            return False
        return name not in self.skipped and not self.SKIPS.search(body)


def findTests(root):
    """(file, test, comment above it, whether it is run, and on epoll, too) of each test; comments
    that belong to none."""
    tests, strays = [], []
    epoll = EpollSuite(root / 'test')
    for path in sorted((root / 'test').glob('*/*-test.c')):
        text = path.read_text()
        name = f'{path.parent.name}/{path.name}'
        # A case registers itself; it runs if its program is built.
        built = (path.parent / 'meson.build').read_text()
        run = f"'{path.name.removesuffix('-test.c')}'" in built
        spots = set()
        for match in re.finditer(
                r'(^/\*(?:[^*]|\*(?!/))*\*/[ \t]*\n)?^CASE(?:_ROUNDS)?\(\w+,\s*(\w+)', text, re.M):
            if match.group(1):
                spots.add(match.start(1))
            body = text[match.end():].partition('\n}\n')[0]
            tests.append((name, match.group(2), textOf(match.group(1) or ''), run,
                          epoll.runs(path, body)))
        for match in re.finditer(r'/\*(?:[^*]|\*(?!/))*\*/', text):
            if re.match(r'§\d', textOf(match.group(0))) and match.start() not in spots:
                strays.append(f"{name}: a row is named above no test: {textOf(match.group(0))}")
    for path in sorted(
        path for kind in ('interop/*.py', 'house/*-test.py', 'tools/*-test.py')
        for path in (root / 'test').glob(kind)):
        text = path.read_text()
        name = f'{path.parent.name}/{path.name}'
        spots = 0
        for match in re.finditer(r'((?:^#[^\n]*\n)+)((?:@\w+\n)?)def (\w+)', text, re.M):
            comment = textOf(match.group(1))
            spots += comment.startswith('§')
            # Decorated in interop; in the house its name stands in a table of cases.
            run = '@case' in match.group(2) or len(re.findall(rf'\b{match.group(3)}\b', text)) > 1
            tests.append((name, match.group(3), comment, run, epoll.runs(path, '')))
        if len(re.findall(r'^# §\d', text, re.M)) != spots:
            strays.append(f"{name}: a row is named above no test")
    return tests, strays


def examine(root, oneEngine):
    """The rows, {row: its tests}, {row: those on epoll}, and all faults but rows without a test."""
    rows, faults = readList(root / 'test' / 'promises')
    tests, strays = findTests(root)
    faults += strays
    faults += [
        f"test/promises: there is no section {section}" for section, _ in rows
        if section not in SECTIONS
    ]
    faults += [f"ONE_ENGINE: §{section} {name} is no row" for section, name in oneEngine
               if (section, name) not in rows]
    found, onEpoll = ({row: [] for row in rows} for _ in range(2))
    for file, test, comment, run, also in tests:
        if '§' not in comment:
            continue
        if not GRAMMAR.fullmatch(comment):
            faults.append(f"{file} {test}: not «§2.3 name: what it checks»: {comment}")
            continue
        for row in ROW.findall(comment[:comment.index(': ')]):
            if row not in rows:
                faults.append(f"{file} {test}: §{row[0]} {row[1]} is no row of test/promises")
            elif not run:
                faults.append(f"{file} {test}: is never run, and so no test of §{row[0]} {row[1]}")
            else:
                found[row].append(f'{file} {test}')
                onEpoll[row] += [f'{file} {test}'] if also else []
    faults += [f"ONE_ENGINE: §{row[0]} {row[1]} has a test on epoll: {onEpoll[row]}"
               for row in oneEngine if onEpoll.get(row)]
    for row in oneEngine:
        onEpoll[row] = [f"none: {oneEngine[row]}"]
    return rows, found, onEpoll, faults


def missing(found, section=None):
    return [row for row, tests in found.items() if not tests and section in (None, row[0])]


def lacking(found, onEpoll, section=None):
    """A line for each row without a test, and each without one on epoll."""
    return [f"§{row[0]} {row[1]}: no test" for row in missing(found, section)] + \
        [f"§{row[0]} {row[1]}: no test on epoll, only {found[row]}"
         for row in missing(onEpoll, section) if found[row]]


def checkSection(found, onEpoll, section):
    assert any(row[0] == section for row in found), f"§{section} has no row"
    faults = lacking(found, onEpoll, section)
    assert not faults, '\n'.join(faults)


# ---- the specification ----


def tableRows(text):
    """The first cells of the tables of section 2, in order."""
    rows = set()
    section = None
    for line in text.splitlines():
        heading = re.match(r'#+ (\d+(?:\.\d+)?)', line)
        if heading:
            section = heading.group(1)
        if section is None or not section.startswith('2.') or not line.startswith('|'):
            continue
        cells = re.split(r'(?<!\\)\|', line)
        name = cells[1].strip().strip('`')
        if name in ('point', 'parameter') or set(name) <= {'-'}:
            continue
        rows.add((section, name))
    return rows


def checkSpecification(root, path):
    theirs = tableRows(pathlib.Path(path).read_text())
    ours, _ = readList(root / 'test' / 'promises')
    sections = {section for section, _ in theirs}
    assert theirs, f"{path} has no rows"
    absent = theirs - set(ours)
    extra = {row for row in ours if row[0] in sections} - theirs
    assert not absent and not extra, \
        f"not on the list: {sorted(absent)}\nonly there: {sorted(extra)}"


# ---- the check of the check ----

LIST = "# rows\n2.1 | order | one after the other\n2.1 | end | of all\n2.3 | res 0 | nothing\n"
GOOD = """/* §2.1 order, §2.1 end: both,
 * on two lines */
CASE(some, one)
{
}

/* §2.3 res 0: nothing */
CASE_ROUNDS(some, two, 3)
{
}
"""
BUILD = "tests = [\n    ['some', 600],\n]\n"
INTEROP = "# §2.1 end: by others\n@case\ndef three():\n    pass\n"
EPOLL = "foreach name, program : api_programs\n    test('epoll/' + name, program[0],\n"

# name: (what is replaced in the test, by what, what the fault must say)
PLANTS = {
    'rowWithoutTest': ('/* §2.3 res 0: nothing */\n', '', 'res 0: no test'),
    'unknownRow': ('§2.3 res 0', '§2.3 res 1', 'no row of test/promises'),
    'unknownSection': ('§2.3 res 0', '§2.4 res 0', 'no row of test/promises'),
    'commentedTest': ('CASE_ROUNDS(some, two, 3)', '/* CASE_ROUNDS(some, two, 3) */',
                      'above no test'),
    'otherGrammar': ('§2.3 res 0: nothing', 'res 0 of §2.3: nothing', 'not «§2.3 name'),
    'noWording': ('§2.3 res 0: nothing', '§2.3 res 0', 'not «§2.3 name'),
    'onlyOnUring': ('CASE_ROUNDS(some, two, 3)\n{',
                    'CASE_ROUNDS(some, two, 3)\n{\n    needUring();',
                    'res 0: no test on epoll'),
    'onlyWithoutCopy': ('CASE_ROUNDS(some, two, 3)\n{',
                        'CASE_ROUNDS(some, two, 3)\n{\n    skipTest("no zero copy");',
                        'res 0: no test on epoll'),
    'rowAboveNothing': ('CASE_ROUNDS(some, two, 3)', 'static void two(void)', 'above no test'),
}


def faultsOf(rows, test, interop=INTEROP, build=BUILD, epoll=EPOLL, oneEngine=None):
    files = {'promises': rows, 'api/some-test.c': test, 'api/meson.build': build,
             'interop/some.py': interop, 'epoll/meson.build': epoll}
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        for name, text in files.items():
            path = root / 'test' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        _, found, onEpoll, faults = examine(root, oneEngine or {})
        return faults + lacking(found, onEpoll)


def checkAccepts():
    assert faultsOf(LIST, GOOD) == [], faultsOf(LIST, GOOD)


def checkRefuses(old, new, said):
    assert old in GOOD
    faults = faultsOf(LIST, GOOD.replace(old, new))
    assert any(said in fault for fault in faults), faults


def checkRefusesNewRow():
    assert faultsOf(LIST + "2.8 | invented | nobody keeps it\n", GOOD) == ["§2.8 invented: no test"]


def checkRefusesDeadTest():
    faults = faultsOf(LIST, GOOD, build=BUILD.replace("'some'", "'other'"))
    assert any('is never run' in fault for fault in faults), faults


def checkRefusesEngine():
    """A row whose tests run on io_uring alone, unless a reason is given; and a reason too many."""
    row = {('2.3', 'res 0'): "a reason"}
    only = GOOD.replace('3)\n{', '3)\n{\n    needUring();')
    assert faultsOf(LIST, only, oneEngine=row) == []
    assert any('has a test on epoll' in fault for fault in faultsOf(LIST, GOOD, oneEngine=row))
    faults = faultsOf(LIST, GOOD, oneEngine={('2.3', 'res 1'): "a reason"})
    assert any('is no row' in fault for fault in faults), faults
    without = faultsOf(LIST, GOOD, epoll=EPOLL.replace('api_', 'other_'))
    assert len(without) == 3 and all('no test on epoll' in fault for fault in without), without


def checkRefusesLists():
    for line in ("2.1 | order | again", "2.1 | order", "order | in | three", "2.1 | a: b | colon"):
        assert faultsOf(LIST + line + '\n', GOOD), line


def checkRefusesInterop():
    assert faultsOf(LIST, GOOD, INTEROP.replace('@case\n', ''))
    assert faultsOf(LIST, GOOD, INTEROP.replace('end', 'start'))


def checkReadsTables():
    text = (
        "# Title\n## 1. Other\n| no | row |\n## 2. Calls\n### 2.1 Events\n"
        "| point | decision |\n|---|---|\n"
        "| order | a \\| b |\n| end | c |\n### 2.6 Prose\n1. nothing\n")
    assert tableRows(text) == {('2.1', 'order'), ('2.1', 'end')}, tableRows(text)


# ---- main ----


def printList(found, onEpoll):
    for row in missing(found):
        print(f"§{row[0]} {row[1]}\n    no test")
    for row, tests in found.items():
        if tests:
            print(f"§{row[0]} {row[1]}")
            for test in tests:
                print(f"    {test}{'' if test in onEpoll[row] else ' (not on epoll)'}")


def main():
    arguments = [word for word in sys.argv[1:] if word != '--list']
    root = pathlib.Path(arguments[0])
    specification = arguments[1] if len(arguments) > 1 else os.environ.get('FASTSOCKET_BEHAVIOUR')
    _, found, onEpoll, faults = examine(root, ONE_ENGINE)
    if '--list' in sys.argv:
        printList(found, onEpoll)
        return

    def checkFaults():
        assert not faults, '\n'.join(faults)

    cases = [('promises/names', checkFaults)]
    for section in SECTIONS:
        cases.append((f'promises/{section}',
                      lambda section=section: checkSection(found, onEpoll, section)))
    if specification:
        cases.append(('promises/specification', lambda: checkSpecification(root, specification)))
    cases.append(('promises/accepts', checkAccepts))
    for name, plant in PLANTS.items():
        cases.append((f'promises/refuses/{name}', lambda plant=plant: checkRefuses(*plant)))
    cases += [
        ('promises/refuses/newRow', checkRefusesNewRow),
        ('promises/refuses/deadTest', checkRefusesDeadTest),
        ('promises/refuses/engine', checkRefusesEngine),
        ('promises/refuses/lists', checkRefusesLists),
        ('promises/refuses/interop', checkRefusesInterop),
        ('promises/readsTables', checkReadsTables),
    ]
    tap.runCases(cases)


main()
