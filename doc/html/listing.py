"""Code as HTML: highlighted, and each public name a link to what is said of it."""

import html
import re

import pygments
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

NAME = re.compile(r'\b\w*(?:F(?:ast|AST)|RingBufferFunction)\w*(?:\.h)?\b')
ERRNO = re.compile(r'(?<![\w-])-E[A-Z0-9]{2,}\b')


class Links:
    """Where each public name leads, as {name: address}."""

    def __init__(self, targets):
        self.targets = targets

    def add(self, text, page=''):
        """HTML with links: not in links or headings, nor to the page itself."""
        inside = 0
        parts = re.split(r'(<[^>]+>)', text)
        for number, part in enumerate(parts):
            if part.startswith('<'):
                if re.match(r'<(a|h[1-6])\b', part):
                    inside += 1
                elif re.match(r'</(a|h[1-6])>', part):
                    inside -= 1
            elif not inside:
                part = ERRNO.sub(r'<span class="errno">\g<0></span>', part)
                parts[number] = NAME.sub(lambda match: self.link(match[0], page), part)
        return ''.join(parts)

    def link(self, name, page):
        target = self.targets.get(name)
        if target is None or target.partition('#')[0] == page:
            return name
        return f'<a href="{target}">{name}</a>'


def highlight(text, language):
    lexer = get_lexer_by_name(language or 'text', stripnl=False)
    return pygments.highlight(text, lexer, HtmlFormatter(nowrap=True)).rstrip('\n')


def block(text, language):
    """A block of code. Who can't see its end can move it, also by keys."""
    shown = highlight(text, language) if language else html.escape(text.rstrip('\n'), quote=False)
    return f'<pre tabindex="0"><code>{shown}</code></pre>'


def breakable(text):
    """HTML of a table, whose names may be broken between their words."""
    def cut(match):
        return re.sub(r'(?<=[a-z])(?=[A-Z])|(?<=\w)_(?=\w)',
                      lambda place: (place[0] or '') + '<wbr>', match[0])

    return re.sub(r'(?<=>)[^<>]+(?=<)', cut, text)


def guess(text):
    """The language of a man page's example."""
    return 'c' if re.search(r';$|^#include', text, re.M) else ''
