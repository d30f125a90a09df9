#!/usr/bin/env python3
"""
Each snippet of doc/guide.md compiles without a warning. The first one is how the file of every other
begins; one without a function of its own stands inside one.

usage: guide-test.py SOURCE_ROOT COMPILER...
"""

import pathlib
import re
import sys
import tempfile

import tap

root, compiler = pathlib.Path(sys.argv[1]), sys.argv[2:]
snippets = re.findall(r'^```c\n(.*?)^```$', (root / 'doc' / 'guide.md').read_text(), re.M | re.S)
beginning = snippets[0] if snippets else ''
WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Werror', '-Wno-unused-function']


def compileSnippet(text):
    if not re.search(r'^static ', text, re.M):
        text = f"void snippet(void);\nvoid snippet(void)\n{{\n{text}}}\n"
    with tempfile.TemporaryDirectory(prefix='fastsocket-guide-') as work:
        source = pathlib.Path(work) / 'snippet.c'
        source.write_text(beginning + text)
        tap.run([*compiler, '-std=c11', *WARNINGS, f'-I{root / "include"}', '-c', source,
                 '-o', source.with_suffix('.o')])


def found():
    assert len(snippets) >= 5 and '#include' in beginning, len(snippets)


tap.runCases([('guide/found', found)] +
             [(f'guide/{number}', lambda text=text: compileSnippet(text))
              for number, text in enumerate(snippets[1:], 1)])
