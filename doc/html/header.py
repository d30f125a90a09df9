"""
A public header as HTML: its comments as text that fits any width, its declarations as code, each
with an anchor.
"""

import html
import re

import frame
import listing

SKIPPED = re.compile(r'^#ifndef RING_\w+\n#define RING_\w+\n|'
                     r'^#ifdef __cplusplus\n.*?^#endif\n|^#endif\s*\Z', re.M | re.S)
PART = re.compile(r'^/\*.*?\*/\n?', re.M | re.S)
DECLARED = re.compile(r'^#define[ \t]+(FAST\w+)|^typedef[^;]*?\(\*(\w+)\)|'
                      r'^struct (Fast\w+)(?=;|\n\{)|^(?!typedef)[\w \t*]*?\**\b(\w+)\(', re.M)


def declarations(text):
    """The names that a header declares, with their kinds, in its order."""
    found = {}
    for match in DECLARED.finditer(PART.sub('', SKIPPED.sub('', text))):
        kind = ('constant', 'callback', 'struct', 'function')[match.lastindex - 1]
        found.setdefault(match[match.lastindex], kind)
    return {name: kind for name, kind in found.items() if listing.NAME.fullmatch(name)}


def linesOf(comment):
    text = re.sub(r'^/\*|\s*\*/\s*$', '', comment)
    return [re.sub(r'^\s?\* ?', '', line) if number else line.strip()
            for number, line in enumerate(text.split('\n'))]


def paragraphs(lines):
    group = []
    for line in [*lines, '']:
        if line.strip():
            group.append(line)
        elif group:
            yield group
            group = []


def rowsOf(lines):
    """[(term or None, [line, ...])]: «term   text», and what is indented below it."""
    rows, column = [], None
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        match = re.match(r'(\s*\S(?:.*?\S)?)(\s{2,})(?=\S)', line)
        following = lines[number + 1] if number + 1 < len(lines) else ''
        behind = len(following) - len(following.lstrip())
        if column is not None and indent >= column:
            rows[-1][1].append(line[column:])
            continue
        if not match:  # a term that fills its column
            match = re.match(r'(\S+)( )(?=\S)', line)
            if not (match and behind > 3 and behind == match.end()):
                match = None
        if match and len(match[1]) < 28:
            column = match.end()
            rows.append((match[1].strip(), [line[column:]]))
        elif column is not None and indent > 0:
            rows[-1][1].append(line.strip())
        else:
            column = None
            if rows and rows[-1][0] is None:
                rows[-1][1].append(line)
            else:
                rows.append((None, [line]))
    return rows


def escape(text):
    return html.escape(text, quote=False)


def said(lines):
    """What stands beside a term: a table of its own, or text."""
    if any(re.search(r'\S\s{3,}\S', line) for line in lines):
        return '<pre tabindex="0">' + escape('\n'.join(lines)) + '</pre>'
    return escape(' '.join(line.strip() for line in lines))


def prose(comment):
    parts = []
    for lines in paragraphs(linesOf(comment)):
        for term, text in rowsOf(lines):
            if term is None and re.match(r'\s{2,}', text[0]):
                parts.append('<pre tabindex="0">' + escape('\n'.join(text)) + '</pre>')
            elif term is None:
                parts.append('<p>' + escape(' '.join(line.strip() for line in text)) + '</p>')
            else:
                parts.append(f'<dl><dt>{escape(term)}</dt><dd>{said(text)}</dd></dl>')
    return '\n'.join(parts).replace('</dl>\n<dl>', '\n')


def anchored(shown, names):
    """Each name that a piece of code declares, where it is first met."""
    for name in names:
        shown = re.sub(rf'(?<![\w"#-]){name}\b', f'<span id="{name}">{name}</span>', shown, count=1)
    return shown


def render(name, text, links):
    """The page of a header."""
    names = declarations(text)
    missing = dict(names)
    body, title = [f'<h1>Ring/{name}</h1>'], None

    def addCode(piece):
        if not piece.strip():
            return
        here = [one for one in missing if re.search(rf'\b{one}\b', piece)
                and one in declarations(piece)]
        for one in here:
            del missing[one]
        shown = listing.highlight(re.sub(r'\n{3,}', '\n\n', piece).strip('\n'), 'c')
        body.append('<pre tabindex="0"><code>' + anchored(shown, here) + '</code></pre>')

    position = 0
    text = SKIPPED.sub('', text)
    for comment in PART.finditer(text):
        addCode(text[position:comment.start()])
        position = comment.end()
        title = re.match(r'/\* -+ (.*?) -+ \*/', comment[0])
        if title:
            anchor = re.sub(r'\W+', '-', title[1].lower())
            body.append(f'<h2 id="{anchor}">{escape(title[1][0].upper() + title[1][1:])}</h2>')
        else:
            body.append(f'<div class="said">{prose(comment[0])}</div>')
    addCode(text[position:])
    assert not missing, f"{name}: no place for {list(missing)}"
    page = f'{name}.html'
    whole = links.add('\n'.join(body), page)
    return frame.Page(page, f'Ring/{name}', whole, frame.headsOf(whole), 'headers.html', 'header')
