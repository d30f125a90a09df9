#!/usr/bin/env python3
"""
Static analysis without findings: cppcheck as .cppcheck has it, and clang-tidy as .clang-tidy and
its like in the directories have it. «quick» leaves out the clang-analyzer-* checks, which take
minutes. Each tool refuses a fault that is planted; each suppression in the sources has its reason.

A source without a finding is not analysed again as long as nothing has changed that the tool
reads: it, all that it includes, configuration, arguments and the tool itself. BUILD_ROOT/analysed
remembers.

usage: analysis-test.py SOURCE_ROOT BUILD_ROOT CLANG_TIDY CPPCHECK SANITIZE quick|whole
"""

import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import tap

root, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
tidy, cppcheck, sanitize = sys.argv[3:6]
whole = sys.argv[6] == 'whole'

DIRECTORIES = ['lib', 'tools', 'doc/examples', 'test/helper']
SOURCES = sorted(path for name in DIRECTORIES for path in (root / name).rglob('*.c'))
TOGETHER = 2     # processes at a time
PATIENCE = 1200  # seconds; bounds a hang only
QUICK = [] if whole else ['--checks=-clang-analyzer-*']

# What a compiler's command tells of the code's meaning, and no more: clang doesn't know all of
# gcc's options. Assertions are left in, since the tools learn from them what holds.
MEANING = re.compile(r'-(I|D(?!NDEBUG)|U|isystem|include|std=)')

work = tempfile.TemporaryDirectory(prefix='fastsocket-analysis-')
commands = pathlib.Path(work.name)


def told(command):
    """(exit status, what it said) of a command at the root of the sources."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, cwd=root)
    return result.returncode, result.stdout


def meaningOf(command):
    words = iter(command)
    kept = [next(words)]
    for word in words:
        if MEANING.match(word):
            kept.append(word)
            if word in ('-I', '-D', '-U', '-isystem', '-include'):
                kept.append(next(words))
    return kept


def writeCommands():
    """A database with each source once; the build has those of the library twice."""
    found = {}
    for entry in json.loads((build / 'compile_commands.json').read_text()):
        path = pathlib.Path(os.path.normpath(os.path.join(entry['directory'], entry['file'])))
        if path in SOURCES and path not in found:
            words = entry['arguments'] if 'arguments' in entry else shlex.split(entry['command'])
            found[path] = {'directory': entry['directory'], 'file': str(path),
                           'arguments': [*meaningOf(words), '-c', str(path)]}
    (commands / 'compile_commands.json').write_text(json.dumps(list(found.values())))
    return found


# ---- what is remembered ----

def readDependencies():
    """{source: all files that it is compiled of}, of those that the build knows."""
    ninja, found, words = shutil.which('ninja'), {}, None
    if not ninja:
        return found
    sources = {str(path): path for path in SOURCES}
    for line in subprocess.run([ninja, '-C', build, '-t', 'deps'], stdin=subprocess.DEVNULL,
                               capture_output=True, text=True).stdout.splitlines():
        if not line.startswith(' '):  # the name of an object; its source is the first of its files
            words = [] if line.endswith('(VALID)') else None
        elif words is not None:
            words.append(os.path.normpath(build / line.strip()))
            if words[0] in sources:
                found.setdefault(sources[words[0]], set()).add(words[-1])
            else:
                words = None
    return {path: {pathlib.Path(file) for file in files} for path, files in found.items()}


@functools.cache
def digestOf(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def toolDigest():
    """Of the tool, its configuration, and what it is told for all sources."""
    files = [root / '.clang-tidy', *root.glob('*/.clang-tidy'), *root.glob('*/*/.clang-tidy')]
    words = [told([tidy, '--version']), digestOf(pathlib.Path(tidy)), QUICK,
             [(str(path), digestOf(path)) for path in sorted(files)]]
    return hashlib.sha256(repr(words).encode()).hexdigest()


def memoryOf(path, entry, files):
    """The file that is there if the source had no finding; None: what it includes isn't known."""
    if not files or not all(file.is_file() for file in files):
        return None
    words = [toolDigest(), entry, [(str(file), digestOf(file)) for file in sorted(files)]]
    return build / 'analysed' / hashlib.sha256(repr(words).encode()).hexdigest()


def runTidy(path, entry, files):
    memory = memoryOf(path, entry, files)
    if memory is not None and memory.exists():
        return 0, ''
    outcome = told([tidy, '--quiet', '-p', commands, *QUICK, path])
    if memory is not None and outcome[0] == 0:
        memory.parent.mkdir(exist_ok=True)
        memory.touch()
    return outcome


# ---- the tools ----


def checkTidy(path, outcome):
    if outcome is None:
        raise tap.Skip(f"{path.name} is not built here")
    status, text = outcome.result()
    assert status == 0, text


def cppcheckArguments():
    return [line for line in (root / '.cppcheck').read_text().splitlines() if line.startswith('-')]


def checkCppcheck():
    memory = build / 'analysed' / 'cppcheck'  # its own, by the texts and the arguments
    memory.mkdir(parents=True, exist_ok=True)
    status, text = told([cppcheck, f'--cppcheck-build-dir={memory}', *cppcheckArguments(),
                         *DIRECTORIES])
    assert status == 0, text


# A suppression names what it suppresses, and says why.
SUPPRESSION = re.compile(r'NOLINT|cppcheck-suppress')
REASONED = re.compile(
    r'NOLINT(NEXTLINE|BEGIN|END)?\([\w.,-]+\): \w+|cppcheck-suppress(-begin|-end)? \w+ ; \w+')


def findUnreasoned(text):
    return [line for line in text.splitlines()
            if len(SUPPRESSION.findall(line)) != len(list(REASONED.finditer(line)))]


def checkReasons():
    files = [path for name in DIRECTORIES for path in (root / name).rglob('*.[ch]')]
    files += (root / 'include' / 'Ring').glob('*.h')
    assert len(files) > 50, files
    faults = [f"{path.relative_to(root)}: {line.strip()}"
              for path in files for line in findUnreasoned(path.read_text())]
    assert not faults, "\n".join(faults)
    for line in ['f(); /* NOLINT */', 'f(); /* NOLINT(cert-err34-c) */',
                 '// NOLINTNEXTLINE(*): all', '/* cppcheck-suppress memleak */']:
        assert findUnreasoned(line), f"«{line}» was not refused"


# check: a function that it refuses.
PLANTS = {
    'bugprone-sizeof-expression': 'size_t plant(int a) { return sizeof(sizeof(a)); }',
    'concurrency-mt-unsafe': 'struct tm* plant(const time_t* now) { return localtime(now); }',
    'readability-misleading-indentation':
        'void f(void);\nvoid plant(int a)\n{\n    if (a)\n        f();\n        f();\n}',
}
INHERITED = 'void plant(int count) { int index = 0; while (index < count) { (void)0; } }'
ANALYZER_PLANTS = {
    'clang-analyzer-core.NullDereference':
        'int plant(const int* number) { if (number != NULL) return 0; return *number; }',
    'clang-analyzer-core.uninitialized.UndefReturn':
        'int plant(int a) { int number; if (a > 3) number = 1; return number; }',
    'clang-analyzer-deadcode.DeadStores':
        'int plant(int a) { int number = a; a = number; number = 2; return a; }',
}
CPPCHECK_PLANTS = {
    'arrayIndexOutOfBounds': 'int plant(void) { int row[4] = {0}; return row[4]; }',
    'memleak': 'int plant(void) { char* text = malloc(4); return text != NULL; }',
    'duplicateExpression': 'int plant(int a) { return a && a; }',
}


def plant(name, code, directory='lib'):
    """A file that is configured as one in the directory is."""
    copy = commands / name
    for path in [root / '.clang-tidy', *root.glob('*/.clang-tidy'), *root.glob('*/*/.clang-tidy')]:
        target = copy / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    path = copy / directory / 'plant.c'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#include <stdlib.h>\n#include <time.h>\n{code}\n')
    return path


def refusesByTidy(check, path):
    status, text = told([tidy, '--quiet', *QUICK, path, '--', '-std=gnu11'])
    assert status != 0 and re.search(rf'error: .*\[{re.escape(check)}', text), text or "not refused"


def refusesByCppcheck(check, path):
    status, text = told([cppcheck, *cppcheckArguments(), path])
    assert status != 0 and f'[{check}]' in text, text or "not refused"


def collectCases(executor):
    """The cases; what the tools do for them runs in the background."""
    name = 'analyzer' if whole else 'analysis'
    cases = []

    def add(case, function, *arguments):
        cases.append((f'{name}/{case}', executor.submit(function, *arguments).result))

    found, known = writeCommands(), readDependencies()
    if not whole:
        cases.append((f'{name}/reasons', checkReasons))
        add('cppcheck', checkCppcheck)
    for path in SOURCES:
        outcome = executor.submit(runTidy, path, found[path]['arguments'],
                                  known.get(path)) if path in found else None
        cases.append((f'{name}/{path.relative_to(root)}',
                      lambda path=path, outcome=outcome: checkTidy(path, outcome)))
    for check, code in (ANALYZER_PLANTS if whole else PLANTS).items():
        add(f'refuses/{check}', refusesByTidy, check, plant(check, code))
    if not whole:
        for directory in DIRECTORIES:
            add(f'refuses/in/{directory}', refusesByTidy, 'bugprone-infinite-loop',
                plant('inherited', INHERITED, directory))
        for check, code in CPPCHECK_PLANTS.items():
            add(f'refuses/{check}', refusesByCppcheck, check, plant(check, code))
    return cases


def skipAll(reason):
    def skip():
        raise tap.Skip(reason)
    tap.runCases([('analyzer/all' if whole else 'analysis/all', skip)])


def main():
    if sanitize != 'none':
        skipAll("built with sanitizers; a build without has the same sources")
    elif not tidy or not cppcheck:
        skipAll("no clang-tidy" if not tidy else "no cppcheck")
    else:
        with concurrent.futures.ThreadPoolExecutor(TOGETHER) as executor:
            tap.runCases(collectCases(executor))


main()
