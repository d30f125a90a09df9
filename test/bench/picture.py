#!/usr/bin/env python3
"""
Draws the results of run.py: bars of the library's ratio to libuv and to raw io_uring for each row,
with their 95 % intervals; or of a sweep the curves of what a second of the server's processor time
does, over the length of a provider's buffers, one for each number of them.
"""

import argparse
import html
import json
import math
import pathlib
import re

import circumstances
import spread

WIDTH = 900
# Light and dark alike: the colors are chosen for both, and text follows the reader's scheme.
STYLE = """
    svg { background: #ffffff; color: #1f2328; font: 13px system-ui, sans-serif }
    .title { font-size: 17px; font-weight: 600 } .small { font-size: 11px; opacity: .75 }
    .axis { stroke: currentColor; stroke-opacity: .25 }
    .one { stroke: currentColor; stroke-width: 1.5 }
    .spread { stroke: currentColor; stroke-width: 1.5 } text { fill: currentColor }
    .libuv { fill: #4c8dd6 } .raw { fill: #d98a2b }
    .curve { fill: none; stroke-width: 2 }
    @media (prefers-color-scheme: dark) { svg { background: #0d1117; color: #e6edf3 } }
"""
COLORS = ['#4c8dd6', '#d98a2b', '#3fa372', '#b05fc0', '#d9534f', '#8a8f98', '#2bb5c4']


class Drawing:
    def __init__(self):
        self.parts = []

    def text(self, x, y, text, style='', anchor='start', color=''):
        fill = f' style="fill: {color}"' if color else ''
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}"'
                          f'{fill}>{html.escape(text)}</text>')

    def line(self, x1, y1, x2, y2, style):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'class="{style}"/>')

    def bar(self, x, y, width, height, style):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" '
                          f'height="{height}" rx="2" class="{style}"/>')

    def curve(self, points, color):
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)
        self.parts.append(f'<polyline points="{path}" class="curve" style="stroke: {color}"/>')
        for x, y in points:
            self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" style="fill: {color}"/>')

    def save(self, path, height, title):
        pathlib.Path(path).write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            f'aria-label="{html.escape(title)}">\n<style>{STYLE}</style>\n'
            + '\n'.join(self.parts) + '\n</svg>\n')


def drawCircumstances(drawing, results):
    for number, line in enumerate(circumstances.lines(results)):
        drawing.text(20, 46 + 14 * number, line, 'small')


# ---- bars ----

LABELS, RIGHT, TOP, STEP, BAR = 350, 70, 106, 46, 13
LEAST, MOST = 0.02, 4  # of the ratios shown; the axis is logarithmic


def xOf(value):
    part = math.log(min(max(value, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LABELS + part * (WIDTH - LABELS - RIGHT)


def ours(row):
    """The library's name in a row: the plain one, if there is one."""
    names = [name for name in row['base'] if name.startswith('fastsocket')]
    return next((name for name in names if name == 'fastsocket'), names[0] if names else None)


def against(row, prefix):
    """The ratio of the library to the best of the contenders that begin so, (middle, low, high);
    those that spin, and the noise, are another matter."""
    mine = ours(row)
    found = []
    for name in row['base']:
        if re.fullmatch(f'{prefix}( (?!spin|again).*)?', name):
            values = spread.ratiosOf(row['rounds'], mine, name, row['figure'])
            if row['moreIsBetter']:
                values = [1 / value for value in values if value]
            if values:
                found.append(spread.interval(values))
    return max(found, default=None)  # the best of them makes the largest ratio


def drawBar(drawing, y, ratio, style):
    middle, low, high = ratio
    drawing.bar(xOf(min(middle, 1)), y, abs(xOf(middle) - xOf(1)), BAR, style)
    drawing.line(xOf(low), y + BAR / 2, xOf(high), y + BAR / 2, 'spread')
    edge = max(xOf(high), xOf(1)) + 6
    drawing.text(edge, y + BAR - 2, f'{middle:.2f}', 'small')


def drawAxis(drawing, bottom):
    for value in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4):
        drawing.line(xOf(value), TOP - 8, xOf(value), bottom, 'one' if value == 1 else 'axis')
        drawing.text(xOf(value), TOP - 14, f'{value:g}', 'small', 'middle')


def drawBars(results, path):
    rows = [row for row in results['rows']
            if ours(row) and (against(row, 'libuv') or against(row, 'raw'))]
    drawing, bottom = Drawing(), TOP + STEP * len(rows)
    title = 'What libfastsocket costs, compared'
    drawing.text(20, 28, title, 'title')
    drawCircumstances(drawing, results)
    drawing.bar(20, 72, 12, 12, 'libuv')
    drawing.text(38, 82, "to libuv", 'small')
    drawing.bar(100, 72, 12, 12, 'raw')
    drawing.text(118, 82, 'to the best by hand', 'small')
    drawAxis(drawing, bottom)
    for number, row in enumerate(rows):
        y = TOP + number * STEP
        drawing.text(20, y + 13, row['title'])
        drawing.text(20, y + 29, f"{row['figure']}, less is better", 'small')
        for offset, name in ((2, 'libuv'), (2 + BAR + 3, 'raw')):
            if ratio := against(row, name):
                drawBar(drawing, y + offset, ratio, name)
    drawing.text(20, bottom + 24, 'The ratio of the server\'s processor time per message, or of '
                 'what a row names: 1 is equal, left of it is better. Lines: 95 % of the medians.',
                 'small')
    drawing.save(path, bottom + 40, title)


# ---- curves ----

PANEL, GAP = 250, 90


def drawPanel(drawing, top, points, title):
    lengths = sorted({point['length'] for point in points})
    counts = sorted({point['count'] for point in points})
    most = rounded(max(speed(point) for point in points))
    left, right = 80, WIDTH - 130

    def place(point):
        part = lengths.index(point['length']) / max(len(lengths) - 1, 1)
        return left + part * (right - left), top + PANEL * (1 - speed(point) / most)

    drawing.text(20, top - 16, title)
    for quarter in range(5):
        y = top + PANEL * (1 - quarter / 4)
        drawing.line(left, y, right, y, 'axis')
        drawing.text(left - 8, y + 4, short(most * quarter / 4), 'small', 'end')
    for length in lengths:
        x = left + lengths.index(length) / max(len(lengths) - 1, 1) * (right - left)
        drawing.text(x, top + PANEL + 18, f'{length // 1024} KiB', 'small', 'middle')
    ends = []
    for number, count in enumerate(counts):
        line = sorted((each for each in points if each['count'] == count),
                      key=lambda each: each['length'])
        color = COLORS[number % len(COLORS)]
        drawing.curve([place(each) for each in line], color)
        ends.append((place(line[-1])[1], f'{count} buffers', color))
    drawEnds(drawing, right + 10, ends)


def drawEnds(drawing, x, ends):
    """The names of the curves, one below the other where they end close together."""
    last = -math.inf
    for y, text, color in sorted(ends):
        last = max(y, last + 14)
        drawing.text(x, last + 4, text, 'small', color=color)


def speed(point):
    """Messages that a second of the server's processor time does. Steadier than those of a second
    of the clock, which depend on the load too."""
    return 1e9 / point['cpu']


def rounded(value):
    """The next value that four even steps lead to."""
    size = 10 ** math.floor(math.log10(value))
    return next(step * size for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10)
                if step * size >= value)


def short(value):
    for unit, size in (('M', 1e6), ('k', 1e3)):
        if value >= size:
            return f'{value / size:.3g} {unit}'
    return f'{value:.3g}'


def drawCurves(results, path):
    drawing = Drawing()
    title = 'Messages a second of processor time, by length and number of buffers'
    drawing.text(20, 28, title, 'title')
    drawCircumstances(drawing, results)
    top = 110
    for sweep in results['sweep'].values():
        drawPanel(drawing, top, sweep['points'], sweep['title'])
        top += PANEL + GAP
    drawing.save(path, top - GAP + 40, title)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('results', help='of a run (--out), or of a sweep')
    parser.add_argument('picture', help='the file that is written, SVG')
    arguments = parser.parse_args()
    results = json.loads(pathlib.Path(arguments.results).read_text())
    (drawCurves if 'sweep' in results else drawBars)(results, arguments.picture)


main()
