"""All pages, from the sources to the folder."""

import html
import pathlib
import re
import shutil

import document
import frame
import header
import listing
import manual
import names

HERE = pathlib.Path(__file__).resolve().parent
HEADERS = {
    'FastSocket.h': "Sockets, listeners, addresses.",
    'FastRing.h': "The loop: timeouts, watches, events, calls, signals, raw operations, providers.",
    'FastBuffer.h': "Counted buffers, and pools of them.",
}


class Sources:
    """What is read before any page can be written, since pages point at each other."""

    def __init__(self, root, stems):
        self.root = root
        self.headers = {name: (root / 'include' / 'Ring' / name).read_text() for name in HEADERS}
        self.manuals = sorted((root / 'doc' / 'man').glob('*.scd'))
        documents = [document.Document(root / 'doc' / f'{stem}.md') for stem in stems]
        self.documents = {document.path.resolve(): document for document in documents}
        self.declared = {}
        for file, source in self.headers.items():
            for name, kind in header.declarations(source).items():
                # Several headers name a type: the one that is called after it says what it is.
                if name not in self.declared or name.startswith(file.removesuffix('.h')):
                    self.declared[name] = kind, f'{file}.html#{name}'
        self.said = {path: manual.namesOf(path.read_text()) for path in self.manuals}
        self.links = listing.Links(self.findTargets())

    def findTargets(self):
        """Where names lead: to the man page, else to the declaration."""
        targets = {name: address for name, (_, address) in self.declared.items()}
        targets.update((name, f'{name}.html') for name in HEADERS)
        for path, (found, _) in self.said.items():
            page = path.name.removesuffix('.scd')
            for name in found:
                targets[f'{name}({page[-1]})'] = f'{page}.html'
                if name in targets:
                    targets[name] = f'{page}.html'
        return targets

    def rows(self):
        """Of the index."""
        for name, (kind, address) in self.declared.items():
            page = self.links.targets[name]
            others = [('declaration', address)] if page != address else []
            yield names.Row(name, kind, page, others)
        for path, (found, _) in self.said.items():
            page = path.name.removesuffix('.scd')
            if page[-1] != '3':
                yield names.Row(f'{found[0]}({page[-1]})', 'page', f'{page}.html')
        for one in self.documents.values():
            for page, title, body in one.pages:
                for _, anchor, head in frame.headsOf(body, '1-3'):
                    yield names.Row(html.unescape(head), 'heading', f'{page}#{anchor}',
                                    [(title, page)] if title != html.unescape(head) else [])
            for name, heading in names.foreignNames(one).items():
                anchor = document.slug(heading)
                yield names.Row(name, 'foreign', f'{one.places[anchor]}#{anchor}',
                                [(one.pages[0][1], one.pages[0][0])])


def listOf(rows):
    return '<ul class="start">' + '\n'.join(
        f'<li><a href="{address}">{html.escape(title)}</a><p>{html.escape(about)}</p></li>'
        for title, address, about in rows) + '</ul>'


def startPage(sources, documents):
    """What it is, where to begin, and README's program."""
    readme = (sources.root / 'README.md').read_text()
    lead = re.split(r'^(?:!\[|It \*\*is|## )', readme, maxsplit=1, flags=re.M)[0]
    program = re.search(r'^```c\n.*?^```$', readme, re.M | re.S)[0]
    pages = [(one.pages[0][1], one.pages[0][0], documents[one.path.stem][0])
             for one in sources.documents.values()]
    pages[-1:-1] = [
        ("Man pages", 'manual.html', "fastsocket(7) first, and a page for each family."),
        ("Headers", 'headers.html', "Each function's promise."),
        ("All names", 'names.html', "Functions, types, constants, headings: a search."),
    ]
    build = 'cc echo.c -o echo $(pkg-config --cflags --libs fastsocket)'
    body = '\n'.join([
        document.convert(lead), listOf(pages), '<h2 id="program">A complete program</h2>',
        '<p>An echo server, made so:</p>', listing.block(build, ''), document.convert(program)])
    return frame.Page('index.html', 'libfastsocket', sources.links.add(body, 'index.html'))


def manualList(sources):
    rows = []
    order = sorted(sources.said.items(), key=lambda one: (-int(one[0].name[-5]), one[0].name))
    for path, (found, about) in order:
        page = path.name.removesuffix('.scd')
        others = ', '.join(found[1:])
        rows.append(f'<li><a class="name" href="{page}.html">{found[0]}({page[-1]})</a> '
                    f'<span class="about">{html.escape(about)}'
                    f'{"<br>also " + others if others else ""}</span></li>')
    return frame.Page('manual.html', 'Man pages',
                      '<h1>Man pages</h1>\n<ul class="names">' + '\n'.join(rows) + '</ul>')


def headerList():
    return frame.Page('headers.html', 'Headers', '<h1>Headers</h1>\n' + listOf(
        [(f'Ring/{name}', f'{name}.html', about) for name, about in HEADERS.items()]))


def allPages(sources, documents, scdoc, mandoc):
    yield startPage(sources, documents)
    for one in sources.documents.values():
        part = documents[one.path.stem][1]
        yield from document.pagesOf(one, sources.documents, sources.links, part)
    yield manualList(sources)
    for path in sources.manuals:
        yield manual.render(path, scdoc, mandoc, sources.links)
    yield headerList()
    for name, source in sources.headers.items():
        yield header.render(name, source, sources.links)
    yield names.render(sources.rows())


def write(root, output, version, documents, scdoc, mandoc):
    sources = Sources(root, documents)
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    for page in allPages(sources, documents, scdoc, mandoc):
        shown = page.render(version)
        (output / page.name).write_text(shown)
        for picture in re.findall(r'<img [^>]*src="([^":]+)"', shown):
            shutil.copy(root / 'doc' / picture, output / picture)
    for file in ('style.css', 'filter.js'):
        shutil.copy(HERE / file, output / file)
