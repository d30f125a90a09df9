#!/usr/bin/env python3
"""
Each public header compiles alone, as any C and C++, without a warning; and says what is undefined.

usage: headers-test.py SOURCE_ROOT [gcc or clang]
"""

import pathlib
import re
import shutil
import sys
import tempfile

import source
import tap

WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Werror']
COMPILERS = {
    'gcc': {'c89': 'gcc', 'c99': 'gcc', 'c11': 'gcc', 'c++98': 'g++', 'c++11': 'g++'},
    'clang': {'c89': 'clang', 'c99': 'clang', 'c11': 'clang', 'c++98': 'clang++',
              'c++11': 'clang++'},
}
# Types of the system whose size a program's macros decide, or a compiler's flags.
VARYING = re.compile(r'\b(time_t|suseconds_t|off_t|ino_t|blkcnt_t|fpos_t|rlim_t|fsblkcnt_t|wchar_t|'
                     r'struct (timespec|timeval|itimer\w+|stat|statfs|statvfs|dirent|rlimit|rusage|'
                     r'flock|tm|timex)|enum|_Bool|bool|double|(?<!un)long)\b')
HAVE_BOTH = {'SetFastRingPreciseTimeout', 'SetFastRingPreciseTimeout64'} # a function for each size


def compileAlone(compiler, standard, include, header):
    if not shutil.which(compiler):
        raise tap.Skip(f"no {compiler}")
    suffix = '.cc' if '+' in standard else '.c'
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / ('alone' + suffix)
        # Twice, for the guards; a name used, so that the file isn't empty.
        path.write_text(f'#include <Ring/{header}>\n#include <Ring/{header}>\n'
                        'int alone(void);\nint alone(void) { return 0; }\n')
        tap.run([compiler, f'-std={standard}', *WARNINGS, '-fsyntax-only', '-I', include, path])


# §2.3 after Release: undefined, and the header says so where the release is declared
def saysWhatIsUndefined(include):
    text = (include / 'Ring' / 'FastSocket.h').read_text()
    comment = re.search(r'/\*((?:[^*]|\*(?!/))*)\*/\nvoid ReleaseFastSocket\(', text).group(1)
    assert re.search(r'using it.*?is\s+undefined', comment, re.S), comment


# §2.8 precise timeouts: and no other prototype has what needs a function for each size
def hasOneSize(include, header):
    declarations, _ = source.readHeader((include / 'Ring' / header).read_text())
    assert declarations, "the header was not understood"
    for declaration in declarations:
        found = VARYING.search(source.withoutComments(declaration.text))
        assert not found or declaration.name in HAVE_BOTH, f"{declaration.name} has {found[0]}"


def main():
    include = pathlib.Path(sys.argv[1]) / 'include'
    cases = []
    chosen = sys.argv[2:] or list(COMPILERS)
    for family, drivers in COMPILERS.items():
        if family not in chosen:
            continue
        for standard, compiler in drivers.items():
            for header in sorted(path.name for path in (include / 'Ring').glob('*.h')):
                cases.append((f'headers/{family}/{standard}/{header}',
                              lambda c=compiler, s=standard, h=header:
                              compileAlone(c, s, include, h)))
    for header in sorted(path.name for path in (include / 'Ring').glob('*.h')):
        cases.append((f'headers/hasOneSize/{header}', lambda h=header: hasOneSize(include, h)))
    if len(sys.argv) == 2:  # of the comments; not for those who ask of the code alone
        cases.append(('headers/saysWhatIsUndefined', lambda: saysWhatIsUndefined(include)))
    tap.runCases(cases)


main()
