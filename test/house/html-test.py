#!/usr/bin/env python3
"""
The reference in HTML: it is made of what is there, every link leads somewhere, every public name is
in its index, and a page needs nothing but what lies beside it.

usage: html-test.py SOURCE_ROOT VERSION PYTHON
"""

import html.parser
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse

import source
import tap

root, version, python = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
make = root / 'doc' / 'html' / 'make.py'
work = tempfile.TemporaryDirectory(prefix='fastsocket-html-')
folder = pathlib.Path(work.name) / 'html'
VOID = {'meta', 'link', 'br', 'img', 'input', 'hr', 'col', 'wbr'}


class Reader(html.parser.HTMLParser):
    """A page: what it links, loads and names, and which elements aren't closed in order."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.links, self.loads, self.ids, self.classes, self.faults = [], [], [], set(), []
        self.open, self.text = [], ''
        self.feed(path.read_text())
        self.close()
        self.faults += [f"<{name}> is not closed" for name in self.open]

    def handle_starttag(self, name, attributes):
        values = dict(attributes)
        if 'id' in values:
            self.ids.append(values['id'])
        self.classes.update((values.get('class') or '').split())
        if name == 'a' and 'href' in values:
            self.links.append(values['href'])
        elif 'src' in values or name == 'link':
            self.loads.append(values.get('src') or values['href'])
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        if name in VOID:
            return
        if not self.open or self.open[-1] != name:
            self.faults.append(f"</{name}> in line {self.getpos()[0]}, where {self.open[-1:]} ends")
        if name in self.open:
            while self.open.pop() != name:
                pass

    def handle_data(self, text):
        self.text += text


pages = {}


def makePages():
    result = subprocess.run([python, '-B', make, root, folder, version], capture_output=True,
                            text=True)
    if 'apt-get install' in result.stderr:
        raise tap.Skip(result.stderr.splitlines()[0])
    assert result.returncode == 0, result.stderr
    pages.update({path.name: Reader(path) for path in sorted(folder.glob('*.html'))})
    assert len(pages) > 40, sorted(pages)


def made(function):
    """For a case that looks at the pages."""
    def run():
        if not pages:
            raise tap.Skip("the pages could not be made")
        function()
    return run


def assertNone(faults):
    faults = list(faults)
    assert not faults, '\n'.join(faults[:40])


def wellFormed():
    assertNone(f"{name}: {fault}" for name, page in pages.items() for fault in page.faults)
    assertNone(f"{name}: {one} is there twice" for name, page in pages.items()
               for one in set(page.ids) if page.ids.count(one) > 1)


def links():
    def fault(name, link):
        address, _, anchor = link.partition('#')
        address = urllib.parse.urlsplit(address).path or name
        if address not in pages:
            return f"{name}: no page for {link}"
        if anchor and urllib.parse.unquote(anchor) not in pages[address].ids:
            return f"{name}: no place for {link}"
        return None

    assertNone(filter(None, (fault(name, link) for name, page in pages.items()
                             for link in page.links if not re.match(r'https?://', link))))


def loads():
    """One style for all, and nothing from elsewhere."""
    for name, page in pages.items():
        assert page.loads.count('style.css') == 1, f"{name}: {page.loads}"
        assertNone(f"{name}: {one} is missing" for one in page.loads
                   if not (folder / one).exists())


def reached():
    """By links, from the first page."""
    found, todo = {'index.html'}, ['index.html']
    while todo:
        for link in pages[todo.pop()].links:
            name = link.partition('#')[0]
            if name in pages and name not in found:
                found.add(name)
                todo.append(name)
    assert found == set(pages), set(pages) - found


def publicNames():
    declared = set()
    for path in sorted((root / 'include' / 'Ring').glob('*.h')):
        text = path.read_text()
        found = {one.name for one in source.readHeader(text)[0]}
        found |= set(re.findall(r'^#define (FAST\w+)', text, re.M))
        found |= set(re.findall(r'^struct (Fast\w+)(?:;|\n\{)', text, re.M))
        assertNone(f"{path.name}.html has no {name}" for name in found
                   if name not in pages[f'{path.name}.html'].ids)
        declared |= found
    assert len(declared) > 150, len(declared)
    index = set(re.findall(r'<a class="name" href="[^"]*"><code>(\w+)</code>',
                           (folder / 'names.html').read_text()))
    assertNone(f"the index has no {name}" for name in declared - index)


def manuals():
    """Each name of a man page leads there."""
    text = (folder / 'names.html').read_text()
    for path in sorted((root / 'doc' / 'man').glob('*.3.scd')):
        page = path.name.removesuffix('.scd') + '.html'
        names = re.search(r'^# NAME\n(.*?)\s-\s', path.read_text(), re.M | re.S)[1].split()
        for name in (one.rstrip(',') for one in names):
            assert f'href="{page}"><code>{name}</code>' in text, f"{name} does not lead to {page}"


def nothingIsLeft():
    """Of markdown, of roff, or of what stands for something meanwhile."""
    signs = re.compile(r'```|@block|\]\(|^\s*\* \w|\\f[BIR]|^\.(?:SH|PP|TP)\b', re.M)
    for path in sorted(folder.glob('*.html')):
        text = re.sub(r'<pre.*?</pre>', '', path.read_text(), flags=re.S)
        found = signs.search(text)
        assert not found, f"{path.name}: {text[found.start() - 60:found.end() + 60]!r}"


def highlighted():
    for name in ('index.html', 'guide.html', 'CreateFastRing.3.html', 'FastRing.h.html',
                 'from-libuv.html'):
        assert pages[name].classes & {'kt', 'k'}, f"{name}: no code is highlighted"


def fitsAnyWidth():
    """What may be wider than a window moves by itself."""
    for path in sorted(folder.glob('*.html')):
        text = path.read_text()
        assert '<meta name="viewport" content="width=device-width' in text, path.name
        bare = re.sub(r'<div class="wide".*?</table>', '', text, flags=re.S)
        assert '<table' not in bare, f"{path.name}: a table that can't move"


def saysWhatIsMissing():
    """Without its tools it tells which, and how to get them."""
    empty = pathlib.Path(work.name) / 'empty'
    empty.mkdir()
    result = subprocess.run([python, '-B', make, root, empty / 'html', version],
                            capture_output=True, text=True, env={**os.environ, 'PATH': str(empty)})
    assert result.returncode == 1 and not (empty / 'html').exists(), result
    assert re.search(r'apt-get install .*\bmandoc\b', result.stderr), result.stderr


tap.runCases([('html/saysWhatIsMissing', saysWhatIsMissing), ('html/made', makePages)] +
             [(f'html/{case.__name__}', made(case)) for case in
              (wellFormed, links, loads, reached, publicNames, manuals, nothingIsLeft, highlighted,
               fitsAnyWidth)])
