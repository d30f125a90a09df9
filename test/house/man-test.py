#!/usr/bin/env python3
"""
The man pages say what the headers say, as far as a program can tell: each function has its page or
link and its prototype there, each error that a header names stands in the function's page, each
constant in some page. The examples compile, those with a main run, and the pages render and are
installed.

usage: man-test.py SOURCE_ROOT BUILD_ROOT LIBRARY SANITIZE SCDOC COMPILER...   SCDOC may be empty
"""

import errno
import os
import pathlib
import re
import shlex
import shutil
import sys
import tempfile

import echo
import source
import tap

root, build, library = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3]).resolve()
sanitize, scdoc = sys.argv[4:6]
compiler = sys.argv[6:]
WARNINGS = ['-Wall', '-Wextra', '-Werror']
SECTIONS = {
    '3': ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'OWNERSHIP', 'THREADS', 'RETURN VALUE', 'ERRORS',
          'VERSIONS', 'EXAMPLES', 'SEE ALSO'],
    '7': ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'LIFE OF A SOCKET', 'THREADS', 'OWNERSHIP', 'MEMORY',
          'ERRORS', 'ENVIRONMENT', 'VERSIONS', 'EXAMPLES', 'SEE ALSO'],
    '1': ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'OPTIONS', 'EXIT STATUS', 'ENVIRONMENT', 'VERSIONS',
          'EXAMPLES', 'SEE ALSO'],
}
COLUMNS = 80

work = tempfile.TemporaryDirectory(prefix='fastsocket-man-')


class Page:
    def __init__(self, path):
        self.name = path.name.removesuffix('.scd')  # with the number, as «CreateFastRing.3»
        self.text = path.read_text()
        parts = re.split(r'^# (.*)$', self.text, flags=re.M)
        self.preamble, self.titles = parts[0], parts[1::2]
        self.sections = dict(zip(parts[1::2], parts[2::2]))

    def number(self):
        return self.name[-1]

    def names(self):
        before, dash, _ = ' '.join(self.sections['NAME'].split()).partition(' - ')
        assert dash, f"{self.name}: NAME has no « - »"
        return before.split(', ')

    def blocks(self, title):
        """The literal text of a section, as it is printed."""
        return [re.sub(r'\\(.)', r'\1', text)
                for text in re.findall(r'^```\n(.*?)^```$', self.sections[title], re.M | re.S)]

    def errors(self):
        return namedErrors(self.sections.get('RETURN VALUE', '') + self.sections['ERRORS'])

    def errorsOf(self, name):
        """Those of one function: an entry of ERRORS that begins with functions is about these
        alone."""
        found = namedErrors(self.sections['RETURN VALUE'])
        for terms, text in re.findall(r'^(\*E.*)\n((?:\t.*\n)+)', self.sections['ERRORS'], re.M):
            only = re.findall(r'\*(\w+)\*\(\):', text)
            if name in only or not re.match(r'\s*\*\w+\*\(\):', text):
                found |= namedErrors(terms)
        return found


def namedErrors(text):
    return {name for name in re.findall(r'\bE[A-Z0-9]+\b', text) if hasattr(errno, name)}


pages = {path.name.removesuffix('.scd'): Page(path)
         for path in sorted((root / 'doc' / 'man').glob('*.scd'))}
reference = [page for page in pages.values() if page.number() == '3']
headers = {path.name: path.read_text() for path in sorted((root / 'include' / 'Ring').glob('*.h'))}
contents = {name: source.readHeader(text) for name, text in headers.items()}
declared = {one.name: one for declarations, _ in contents.values() for one in declarations}
headerOf = {
    one.name: header for header, (declarations, _) in contents.items() for one in declarations}
# Constants that follow each other, with the comment above them; of each constant that, and its own
# line.
constantGroups = [group for text in headers.values()
                  for group in re.findall(r'(/\*(?:(?!\*/).)*\*/\n)?((?:#define FAST[^\n]*\n)+)',
                                          text, re.S)]
constant = {name: comment + line for comment, lines in constantGroups
            for line, name in re.findall(r'^(#define (FAST\w+).*)', lines, re.M)}
nodes = source.versionNodes((root / 'lib' / 'libfastsocket.map').read_text())
nodeOf = {name: node for node, parts in nodes.items() for name in parts['global']}


def assertNone(faults):
    faults = list(faults)
    assert not faults, '\n'.join(faults)


def pageOf(name):
    found = [page for page in reference if name in page.names()]
    assert len(found) == 1, f"{name} is on {len(found)} pages"
    return found[0]


def understood():
    """What the cases below take for granted."""
    functions = {name for name, one in declared.items() if not one.isType}
    assert functions == set(nodeOf), functions ^ set(nodeOf)
    assert len(functions) > 50 and len(pages) > 15, (len(functions), len(pages))
    bare = [one.name for one in declared.values() if not one.isType and not one.comment]
    assert not bare, f"no comment: {bare}"


def names():
    for name in declared:
        pageOf(name)
    for page in pages.values():
        assert page.preamble.startswith(f'{page.name[:-2]}({page.number()}) '), page.preamble
        assert page.names()[0] == page.name[:-2], f"{page.name} is not called after its first name"
        strange = set(page.names()) - set(declared) if page.number() == '3' else set()
        assert not strange, f"{page.name}: no header has {strange}"


def links():
    """The build makes a page of each source, and a link of each other name."""
    text = (root / 'doc' / 'man' / 'meson.build').read_text()
    built = {page: re.findall(r"'(\w+)'", others)
             for page, others in re.findall(r"'([\w-]+\.\d)': \[(.*?)\]", text, re.S)}
    assert set(built) == set(pages), set(built) ^ set(pages)
    assertNone(f"{page.name}: the build has {built[page.name]}, NAME {page.names()[1:]}"
               for page in pages.values() if built[page.name] != page.names()[1:])


def sections():
    for page in pages.values():
        assert page.titles == SECTIONS[page.number()], f"{page.name}: {page.titles}"
        empty = [title for title, text in page.sections.items() if not text.strip()]
        assert not empty, f"{page.name}: {empty}"


def synopsis(page):
    return source.readHeader('\n'.join(page.blocks('SYNOPSIS')))[0]


def prototypes():
    for page in reference:
        shown = [one.name for one in synopsis(page)]
        assert sorted(shown) == sorted(page.names()), f"{page.name}: SYNOPSIS has {shown}"
    assertNone(f"{page.name}: SYNOPSIS has\n{one.text}\nthe header has\n{declared[one.name].text}"
               for page in reference for one in synopsis(page)
               if one.text != declared[one.name].text)
    assertNone(f"{page.name}: SYNOPSIS includes no {headerOf[name]}"
               for page in reference for name in page.names()
               if f'#include <Ring/{headerOf[name]}>\n' not in page.sections['SYNOPSIS'])


def promised(name):
    """The errors that the headers name for a function, also by saying «as» another."""
    comment = declared[name].comment
    others = [other for other in re.findall(r'\b[Aa]s (\w+)', comment) if other in declared
              and other != name]
    return namedErrors(comment).union(*map(promised, others))


def told(name):
    """The errors that a page tells of for a function. A comment of several doesn't say whose each
    is."""
    page = pageOf(name)
    several = [one for one in declared.values() if one.comment == declared[name].comment]
    return page.errors() if len(several) > 1 else page.errorsOf(name)


def errors():
    assertNone(f"{pageOf(name).name}: {error} of {name} is missing from RETURN VALUE and ERRORS"
               for name, one in declared.items() if not one.isType
               for error in sorted(promised(name) - told(name)))
    assertNone(f"{pageOf(name).name}: {error} of {name} is missing"
               for name, one in declared.items() if one.isType
               for error in sorted(namedErrors(one.comment) - namedErrors(pageOf(name).text)))


def common(header):
    """The comments of no function: those that open the header, and for each section the others."""
    declarations, others = contents[header]
    ofConstants = {comment.strip() for comment, _ in constantGroups}
    for number, (section, comment) in enumerate(others):
        if comment in ofConstants:
            continue
        # What stands before the first section belongs to the first.
        near = [one.name for one in declarations if one.section == max(section, 1)]
        yield number == 0, comment, {pageOf(name) for name in near}


def commonErrors():
    for header in headers:
        for opening, comment, near in common(header):
            for page in [pages['fastsocket.7']] if opening else near:
                found = page.errors() if 'Returns' in comment or opening else namedErrors(page.text)
                missing = namedErrors(comment) - found
                assert not missing, f"{page.name}: {missing} of {header} is missing:\n{comment}"


def noOtherErrors():
    """A page names no error that its header doesn't."""
    for page in reference:
        known = set().union(*(promised(name) for name in page.names()))
        for opening, comment, near in common(headerOf[page.names()[0]]):
            if opening or page in near:
                known |= namedErrors(comment)
        known |= namedErrors(' '.join(line for name, line in constant.items()
                                      if f'*{name}*' in page.text))
        strange = namedErrors(page.text.partition('# EXAMPLES')[0]) - known
        assert not strange, f"{page.name}: no header has {strange} for it"


def constants():
    assert len(constant) > 30, constant
    for name, line in constant.items():
        found = [page for page in pages.values() if f'*{name}*' in page.text]
        assert found, f"no page has {name}"
        assert any(namedErrors(line) <= namedErrors(page.text) for page in found), \
            f"no errors of\n{line}"


def fields():
    found = 0
    for header in headers.values():
        for name, body in re.findall(r'struct (\w+Statistics)\s*\{(.*?)\}', header, re.S):
            text = pageOf(f'Get{name}').sections['DESCRIPTION']
            for field in re.findall(r'\buint64_t (\w+);', body):
                found += 1
                assert re.search(rf'^\|  {field}$', text, re.M), f"{field} of {name} is missing"
    assert found > 20, found


def versions():
    for name, node in nodeOf.items():
        version = node.removeprefix('FASTSOCKET_')
        assert f'Since {version}.' in pageOf(name).sections['VERSIONS'], f"{name}: since {version}"


def references():
    """Each page that is referred to is there, and each of section 3 stands in fastsocket(7)."""
    there = {(name, page.number()) for page in pages.values() for name in page.names()}
    for page in pages.values():
        for name, number in re.findall(r'\*([\w-]+)\*\((\d)\)', page.text):
            ours = 'fast' in name.lower()
            assert not ours or (name, number) in there, f"{page.name}: {name}({number}) isn't there"
        for name in re.findall(r'\*(\w+)\*\(\)', page.text):
            assert name in page.names(), f"{page.name}: {name}() is on another page"
    missing = [page.name for page in reference
               if f'*{page.name[:-2]}*(3)' not in pages['fastsocket.7'].sections['SEE ALSO']]
    assert not missing, f"fastsocket.7: SEE ALSO lacks {missing}"


# ---- examples ----

def examples():
    """(page, number, text) of each example in C."""
    for page in pages.values():
        if page.number() != '1':
            for number, text in enumerate(page.blocks('EXAMPLES'), 1):
                yield page.name, number, text


def compileExample(text, directory):
    path = pathlib.Path(directory) / 'example.c'
    path.write_text(text)
    sanitizer = [] if sanitize == 'none' else [f'-fsanitize={sanitize}']
    command = [*compiler, *WARNINGS, *sanitizer, f'-I{root / "include"}', path]
    if not re.search(r'^int main\(', text, re.M):
        tap.run([*command, '-c', '-o', path.with_suffix('.o')])
        return None
    tap.run([*command, '-pthread', library, '-o', path.with_suffix('')])
    return path.with_suffix('')


def runExample(name, text):
    """Compiles it, and runs what is a program."""
    assert '#include <Ring/' in text, "not complete"
    environment = dict(os.environ, LD_LIBRARY_PATH=str(library.parent))
    with tempfile.TemporaryDirectory(dir=work.name) as directory:
        executable = compileExample(text, directory)
        if name == 'fastsocket.7':
            echo.serve(executable, environment)
        elif executable is not None:
            tap.run([executable], env=environment)


def exampleEach():
    without = [page.name for page in pages.values() if not page.blocks('EXAMPLES')]
    assert not without, f"no example: {without}"
    assert len(pages['fastsocket.7'].blocks('EXAMPLES')) == 1


# ---- pages ----

def render():
    """Neither scdoc nor groff complains, and everything fits a terminal."""
    if not scdoc:
        raise tap.Skip("scdoc is missing")
    groff = shutil.which('groff')
    if groff is None:
        raise tap.Skip("groff is missing")
    roff = pathlib.Path(work.name) / 'page'
    for page in pages.values():
        file = shlex.quote(str(root / 'doc' / 'man' / f'{page.name}.scd'))
        roff.write_text(tap.run(['sh', '-c', f'exec {shlex.quote(scdoc)} < {file}']))
        show = f'exec {groff} -t -man -Tutf8 -P-cbou -ww -rLL={COLUMNS - 2}n {roff}'
        complaints = tap.run(['sh', '-c', f'{show} 2>&1 >/dev/null'])
        assert not complaints, f"{page.name}: {complaints}"
        wide = [line for line in tap.run(['sh', '-c', show]).splitlines() if len(line) > COLUMNS]
        assert not wide, f"{page.name} is wider than {COLUMNS} columns:\n" + '\n'.join(wide)


def install():
    if not scdoc:
        raise tap.Skip("scdoc is missing")
    stage = pathlib.Path(work.name) / 'stage'
    meson = shlex.split(os.environ.get('MESONINTROSPECT', 'meson introspect'))[:-1]
    tap.run([*meson, 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', str(stage)])
    for page in pages.values():
        for name in page.names():
            found = list(stage.glob(f'**/man/man{page.number()}/{name}.{page.number()}'))
            assert len(found) == 1, f"{name}: {found}"
            assert '.SH SYNOPSIS' in found[0].read_text(), f"{name} is no page"
            assert found[0].resolve().name == page.name, f"{name} leads to {found[0].resolve()}"


tap.runCases([
    ('man/understood', understood),
    ('man/names', names),
    ('man/links', links),
    ('man/sections', sections),
    ('man/prototypes', prototypes),
    ('man/errors', errors),
    ('man/commonErrors', commonErrors),
    ('man/noOtherErrors', noOtherErrors),
    ('man/constants', constants),
    ('man/fields', fields),
    ('man/versions', versions),
    ('man/references', references),
    ('man/render', render),
    ('man/install', install),
    ('man/exampleEach', exampleEach),
] + [(f'man/{name}/{number}', lambda name=name, text=text: runExample(name, text))
     for name, number, text in examples()])
