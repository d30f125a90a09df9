"""What the pages share: the frame around each, and the list of what is on it."""

import html
import re

PARTS = [
    ('index.html', 'libfastsocket'),
    ('guide.html', 'Guide'),
    ('recipes.html', 'Recipes'),
    ('faq.html', 'Questions'),
    ('manual.html', 'Man pages'),
    ('headers.html', 'Headers'),
    ('names.html', 'All names'),
]

FRAME = '''<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="style.css">
</head>
<body>
<header><nav>{bar}</nav></header>
<div class="page">
{contents}<main class="{kind}">
{body}
</main>
</div>
<footer>libfastsocket {version}</footer>
</body>
</html>
'''


class Page:
    """name is its file; heads are what is on it: (level, anchor, text)."""

    def __init__(self, name, title, body, heads=(), part='', kind='text'):
        self.name, self.title, self.body = name, title, body
        self.heads, self.part, self.kind = list(heads), part or name, kind

    def render(self, version):
        bar = ' '.join(f'<a href="{name}"{" class=here" if name == self.part else ""}>{title}</a>'
                       for name, title in PARTS)
        title = self.title if self.name == 'index.html' else f'{self.title} – libfastsocket'
        return FRAME.format(title=html.escape(title), bar=bar, body=self.body, kind=self.kind,
                            contents=self.contents(), version=version)

    def contents(self):
        if len(self.heads) < 3:
            return ''
        rows = ''.join(f'<li class="level{level}"><a href="#{anchor}">{text}</a></li>'
                       for level, anchor, text in self.heads)
        # A box that needs no script: closed on narrow screens, always open on wide ones.
        return ('<aside><input type="checkbox" id="open-contents">'
                '<label for="open-contents">On this page</label>'
                f'<ul>{rows}</ul></aside>\n')


def headsOf(body, levels='23'):
    """The (level, anchor, text) of the headings in a text of HTML."""
    return [(int(level), anchor, re.sub(r'<[^>]+>', '', text)) for level, anchor, text in
            re.findall(rf'<h([{levels}]) id="([^"]*)"[^>]*>(.*?)</h\1>', body, re.S)]
