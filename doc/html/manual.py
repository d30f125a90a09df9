"""The man pages as HTML: scdoc makes them, mandoc shows them."""

import re
import subprocess

import frame
import listing


def run(command, text):
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def namesOf(source):
    """The names of a page, and what it is about: its section NAME."""
    text = ' '.join(re.search(r'^# NAME\n(.*?)^# ', source, re.M | re.S)[1].split())
    names, _, about = text.partition(' - ')
    return names.split(', '), about


def improve(body):
    """What is the frame's goes, headings are below the page's own, and code is highlighted."""
    body = re.sub(r'<table class="(head|foot)">.*?</table>', '', body, flags=re.S)
    body = re.sub(r'<div class="manual-text">(.*)</div>', r'\1', body, flags=re.S)
    body = re.sub(r'<h([12]) class="S[hs]"( id="[^"]*")?>(?:<a[^>]*>)?(.*?)(?:</a>)?</h\1>',
                  lambda match: f'<h{int(match[1]) + 1}{match[2] or ""}>'
                  f'{titled(match[3]) if match[1] == "1" else match[3]}</h{int(match[1]) + 1}>',
                  body, flags=re.S)
    return re.sub(r'<table class="tbl".*?</table>', r'<div class="wide" tabindex="0">\g<0></div>',
                  body, flags=re.S)


def titled(title):
    return title.strip().capitalize()


def takeExamples(source):
    """A source with a mark in the place of each example, and the examples as they are printed."""
    examples = []

    def take(match):
        examples.append(re.sub(r'\\(.)', r'\1', match[1]).strip('\n'))
        return f'```\n@{len(examples) - 1}@\n```'

    return re.sub(r'^```\n(.*?)^```$', take, source, flags=re.M | re.S), examples


def render(path, scdoc, mandoc, links):
    """The page of a source of scdoc's."""
    source, examples = takeExamples(path.read_text())
    name = path.name.removesuffix('.scd')
    roff = run([scdoc], source)
    body = improve(run([mandoc, '-T', 'html', '-O', 'fragment', '-I', 'os=libfastsocket'], roff))
    body = re.sub(r'<pre>@(\d+)@\s*</pre>', lambda match: listing.block(
        examples[int(match[1])], listing.guess(examples[int(match[1])])), body)
    page = f'{name}.html'
    title = f'{name[:-2]}({name[-1]})'
    body = references(body, links, page)
    return frame.Page(page, title, f'<h1>{title}</h1>\n{body}', frame.headsOf(body),
                      'manual.html', 'manual')


def references(body, links, page):
    """«name(3)» in bold is a link where there is such a page."""
    def refer(match):
        target = links.targets.get(f'{match[1]}({match[2]})')
        if target is None or target == page:
            return match[0]
        return f'<a href="{target}"><b>{match[1]}</b>({match[2]})</a>'

    body = re.sub(r'<b>([\w-]+)</b>\((\d)\)', refer, body)
    return links.add(body, page)
