"""The index: every public name, man page and heading, and the names that people bring with them."""

import html
import re

import frame

KINDS = {
    'function': 'function',
    'callback': 'type of a function',
    'struct': 'type',
    'constant': 'constant',
    'page': 'man page',
    'heading': 'in a document',
    'foreign': 'elsewhere',
}


class Row:
    """A name, its kind, the address of what says most about it, and where else it stands."""

    def __init__(self, name, kind, address, others=()):
        self.name, self.kind, self.address, self.others = name, kind, address, list(others)

    def render(self):
        others = ' '.join(f'<a href="{address}">{html.escape(text)}</a>'
                          for text, address in self.others)
        code = self.kind not in ('page', 'heading')
        name = f'<code>{html.escape(self.name)}</code>' if code else html.escape(self.name)
        return (f'<li><a class="name" href="{self.address}">{name}</a> '
                f'<span class="kind">{KINDS[self.kind]}</span> {others}</li>')


def foreignNames(document):
    """The names in the first column of a document's tables, each at the heading above it."""
    anchor, found = '', {}
    for line in document.text.splitlines():
        if heading := re.match(r'#+ (.*)', line):
            anchor = heading[1]
        elif line.startswith('| `'):
            first = line[1:].replace('\\|', '').split('|')[0]
            for name in re.findall(r'\b(?:uv|UV|event|bufferevent|evbuffer|evconnlistener|evtimer|'
                                   r'evsignal|evdns|evthread|evutil|BEV|LEV|EV)_\w+', first):
                found.setdefault(name, anchor)
    return found


SCRIPT = '<script src="filter.js"></script>'
# The sections of the page: the kinds that are in each.
SECTIONS = {
    'Of libfastsocket': ('function', 'callback', 'struct', 'constant', 'page'),
    'In documents': ('heading',),
    'Of other libraries': ('foreign',),
}
FIELD = ('<p class="seek"><label for="seek">Search</label> '
         '<input id="seek" type="search" autocomplete="off" spellcheck="false" '
         'placeholder="part of a name"></p>\n<p id="none" hidden>Nothing has such a name.</p>')


def render(rows):
    rows = sorted(rows, key=lambda row: (row.name.lower().lstrip('_'), row.kind))
    sections = []
    for title, kinds in SECTIONS.items():
        items = '\n'.join(row.render() for row in rows if row.kind in kinds)
        sections.append(f'<section><h2>{title}</h2>\n<ul class="names">\n{items}\n</ul></section>')
    body = '\n'.join(['<h1>All names</h1>', FIELD, *sections, SCRIPT])
    return frame.Page('names.html', 'All names', body)
