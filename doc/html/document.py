"""The documents in markdown: a page for each; for the guide, which is long, a page a chapter."""

import html
import re

import markdown

import frame
import listing


def slug(title, _=None):
    """As GitHub and test/house/snippets.py have it: spaces become hyphens, marks go."""
    return re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-')


FENCE = re.compile(r'^```(\w*)\n(.*?)^```$', re.M | re.S)


def convert(text):
    """HTML of markdown."""
    blocks = []

    def keep(match):
        blocks.append(listing.block(match[2], match[1]))
        return f'\n@block{len(blocks) - 1}@\n'

    body = markdown.Markdown(
        extensions=['tables', 'sane_lists', 'toc'],
        extension_configs={'toc': {'slugify': slug}},
    ).convert(FENCE.sub(keep, text))
    body = re.sub(r'<p>@block(\d+)@</p>', lambda match: blocks[int(match[1])], body)
    body = re.sub(r'<code>[^<]*</code>', lambda match: match[0].replace('\\|', '|'), body)
    body = body.replace('<pre>', '<pre tabindex="0">')
    body = re.sub(r'<table>.*?</table>', r'<div class="wide" tabindex="0">\g<0></div>',
                  body, flags=re.S)
    return re.sub(r'<table>\s*<thead>\s*<tr>(\s*<th>\s*</th>\s*)+</tr>\s*</thead>', '<table>', body)


def chaptersOf(text):
    """[(title, markdown)] of a document: a chapter begins with «# », outside of code."""
    chapters, fenced = [], False
    for line in text.splitlines(keepends=True):
        if line.startswith('```'):
            fenced = not fenced
        if line.startswith('# ') and not fenced:
            chapters.append((line[2:].strip(), []))
        chapters[-1][1].append(line)
    return [(title, ''.join(lines)) for title, lines in chapters]


class Document:
    """A file in markdown, and the pages that it becomes: [(page's name, title, HTML)]."""

    def __init__(self, path):
        self.path = path
        self.text = path.read_text()
        chapters = chaptersOf(self.text)
        self.pages = [(f'{path.stem}{"-" + slug(title) if number else ""}.html', title,
                       convert(body)) for number, (title, body) in enumerate(chapters)]
        self.places = {anchor: name for name, _, body in reversed(self.pages)
                       for _, anchor, _ in frame.headsOf(body, '1-6')}


def resolve(body, document, documents):
    """Links between documents as links between pages. A file that becomes no page is named only."""

    def place(match):
        before, address, text = match[1], html.unescape(match[2]), match[3]
        if re.match(r'\w+:', address):
            return match[0]
        name, _, anchor = address.partition('#')
        target = documents.get((document.path.parent / name).resolve()) if name else document
        if target is None:
            return text
        page = target.places.get(anchor) if anchor else target.pages[0][0]
        assert page, f"{document.path.name}: no heading for {address}"
        return f'<a{before} href="{page}{"#" + anchor if anchor else ""}">{text}</a>'

    return re.sub(r'<a([^>]*?) href="([^"]*)">(.*?)</a>', place, body, flags=re.S)


def pagesOf(document, documents, links, part):
    """The pages of a document, each with a way to the next."""
    names = [(name, title) for name, title, _ in document.pages]
    for number, (name, title, body) in enumerate(document.pages):
        body = links.add(resolve(body, document, documents), name)
        body = re.sub(r'<td>.*?</td>', lambda match: listing.breakable(match[0]), body, flags=re.S)
        if len(names) > 1:
            chapters = ' '.join(f'<a href="{other}"{" class=here" if other == name else ""}>'
                                f'{html.escape(text)}</a>' for other, text in names)
            body = f'<nav class="chapters">{chapters}</nav>\n{body}'
            if number + 1 < len(names):
                following, text = names[number + 1]
                body += f'\n<p class="next">Next: <a href="{following}">{html.escape(text)}</a></p>'
        yield frame.Page(name, title, body, frame.headsOf(body, '23'), part)
