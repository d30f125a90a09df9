#!/usr/bin/env python3
"""
Each public header compiles alone, as C11 and C++11, without a warning; and says what is undefined.

usage: headers-test.py SOURCE_ROOT [gcc or clang]
"""

import pathlib
import re
import shutil
import sys
import tempfile

import tap

WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Werror']
COMPILERS = {
    'gcc': {'c11': 'gcc', 'c++11': 'g++'},
    'clang': {'c11': 'clang', 'c++11': 'clang++'},
}


def compileAlone(compiler, standard, include, header):
    if not shutil.which(compiler):
        raise tap.Skip(f"no {compiler}")
    suffix = '.c' if standard == 'c11' else '.cc'
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
    if len(sys.argv) == 2:  # of the comments; not for those who ask of the code alone
        cases.append(('headers/saysWhatIsUndefined', lambda: saysWhatIsUndefined(include)))
    tap.runCases(cases)


main()
