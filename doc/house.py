#!/usr/bin/env python3
"""
Draws the house: the rooms of lib/, the files in them, and who knows whom. Read from the sources, so
that it can't go stale: a test compares doc/house.svg with what this writes. `ninja -C build
house-picture` does it.

usage: house.py SOURCE_ROOT OUTPUT
"""

import collections
import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'test' / 'house'))
import graph  # noqa: E402
import layers  # noqa: E402

# room: what it is about, the colour of its boxes and of its arrows.
ROOMS = {
    'base': ('threads, timers', '#f1f1ee', '#77776f'),
    'engine': ('the kernel, and liburing', '#fbefdc', '#b4761a'),
    'ring': ('turns and operations', '#e5f0e2', '#4b8a3c'),
    'memory': ('pools, buffer rings', '#e3eef6', '#2f76a8'),
    'service': ('what a ring does for users', '#efe8f6', '#7a51a8'),
    'socket': ('sockets, and their FILE*', '#fae6e6', '#b04545'),
}

BOX = 24  # height of a file
GAP = 14  # between files of a layer
PULL = 0.15  # of a room's middle, against one neighbour's
ROWS = 4  # that the files of a room would fill, if none knew another
LAYER = 54  # from a layer to the next
MARGIN = 18  # inside a room, at its sides
HEAD = 48  # of a room, for its name
LANE = 26  # between the lanes of the arrows between rooms
CIRCLE = '#e00000'


def widthOf(text):
    return 7 * len(text) + 16


def widthOfFile(stem):
    return widthOf(stem.split('/')[1])


# ---- who knows whom ----

def readKnowledge(library):
    """(stems, those that have no .c, {(stem, the one that it knows)})."""
    includes = graph.includes(library)
    known = {(stem, name) for stem, names in includes.items() for name in names}
    known |= graph.callsOfSources(library).keys()
    stems = sorted(stem for stem in includes if layers.roomOf(stem) in layers.ROOMS)
    bare = {stem for stem in stems if not (library / f'{stem}.c').exists()}
    return stems, bare, {(stem, name) for stem, name in known if stem in stems and name in stems}


def reachable(edges):
    """{stem: all that it leads to}."""
    after = collections.defaultdict(set)
    for start, end in edges:
        after[start].add(end)
    found = {}
    for stem in list(after):
        seen, next = set(), list(after[stem])
        while next:
            one = next.pop()
            if one not in seen:
                seen.add(one)
                next += after[one]
        found[stem] = seen
    return found


class Room:
    """The files of one room, each in a layer above those that it knows, and the arrows."""

    def __init__(self, name, stems, edges):
        self.name = name
        reach = reachable(edges)
        self.circular = {edge for edge in edges if edge[0] in reach.get(edge[1], ())}
        straight = edges - self.circular
        reach = reachable(straight)
        implied = {(start, end) for start, end in straight
                   for other, name in straight if other == start and end in reach.get(name, ())}
        self.arrows = sorted(edges - implied)
        self.layers = self.layersOf(stems, straight)
        self.ways = {edge: [edge[0], edge[1]] for edge in self.arrows}
        self.addBends()
        self.sort()
        self.place()

    def layersOf(self, stems, edges):
        """Each as low as can be above what it knows, where a layer has room for it."""
        self.level = {}
        widths, found = collections.Counter(), []
        room = max([sum(map(widthOfFile, stems)) // ROWS] + [widthOfFile(stem) for stem in stems])
        while len(self.level) < len(stems):
            below = {stem: [end for start, end in edges if start == stem] for stem in stems
                     if stem not in self.level}
            ready = [stem for stem, names in below.items()
                     if all(name in self.level for name in names)]
            # Those that nobody knows come last, so that they make room for others.
            known = {end for _, end in edges}
            for stem in sorted(ready, key=lambda stem: (stem not in known, stem)):
                level = max((self.level[name] + 1 for name in below[stem]), default=0)
                while widths[level] and widths[level] + GAP + widthOfFile(stem) > room:
                    level += 1
                widths[level] += GAP + widthOfFile(stem)
                self.level[stem] = level
        for stem in stems:
            found += [[] for _ in range(self.level[stem] + 1 - len(found))]
            found[self.level[stem]].append(stem)
        return found

    def addBends(self):
        """Where an arrow passes a layer it gets a place of its own there."""
        for start, end in self.arrows:
            top, bottom = self.level[start], self.level[end]
            bends = []
            for level in range(top - 1, bottom, -1):
                bend = (start, end, level)
                self.level[bend] = level
                self.layers[level].append(bend)
                bends.append(bend)
            self.ways[start, end] = [start, *bends, end]

    def neighbours(self, node, step):
        found = []
        for way in self.ways.values():
            for upper, lower in zip(way, way[1:]):
                if step < 0 and upper == node and self.level[lower] < self.level[node]:
                    found.append(lower)
                if step > 0 and lower == node and self.level[upper] > self.level[node]:
                    found.append(upper)
        return found

    def sort(self):
        """Puts each layer in the order of its neighbours' middles, up and down a few times; the
        order with the fewest crossings is taken."""
        best, fewest = None, None
        for turn in range(24):
            step = -1 if turn % 2 == 0 else 1
            for layer in self.layers if step < 0 else reversed(self.layers):
                place = {node: index for others in self.layers for index, node in enumerate(others)}
                middle = {}
                for node in layer:
                    places = [place[other] for other in self.neighbours(node, step)]
                    middle[node] = sum(places) / len(places) if places else place[node]
                layer.sort(key=lambda node: (middle[node], place[node]))
            crossings = self.crossings()
            if fewest is None or crossings < fewest:
                best, fewest = [list(layer) for layer in self.layers], crossings
        self.layers = best

    def crossings(self):
        place = {node: index for layer in self.layers for index, node in enumerate(layer)}
        lines = collections.defaultdict(list)
        for way in self.ways.values():
            for upper, lower in zip(way, way[1:]):
                lines[self.level[upper]].append((place[upper], place[lower]))
        pairs = [(a, b) for group in lines.values() for index, a in enumerate(group)
                 for b in group[:index]]
        return sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in pairs)

    def widthOf(self, node):
        return widthOfFile(node) if isinstance(node, str) else 2

    def place(self):
        """Gives each node its place, near its neighbours' and the room's middle, which is 0."""
        self.x = {}
        for layer in self.layers:
            left = 0
            for node in layer:
                self.x[node] = left + self.widthOf(node) / 2
                left += self.widthOf(node) + GAP
            for node in layer:
                self.x[node] -= (left - GAP) / 2
        for turn in range(60):
            for layer in self.layers if turn % 2 else reversed(self.layers):
                wanted = []
                for node in layer:
                    others = self.neighbours(node, -1) + self.neighbours(node, 1)
                    near = [self.x[other] for other in others]
                    wanted.append(sum(near) / (len(near) + PULL))
                self.moveTo(layer, wanted)
        left = min(self.x[node] - self.widthOf(node) / 2 for node in self.x)
        self.x = {node: round(x - left) + MARGIN for node, x in self.x.items()}
        self.width = max(self.x[node] + self.widthOf(node) // 2 for node in self.x) + MARGIN
        self.width = max(self.width, widthOf(ROOMS[self.name][0]))

    def moveTo(self, layer, wanted):
        """The nearest places, in squares, that keep order and distance."""
        offsets = [0]
        for node, next in zip(layer, layer[1:]):
            gap = GAP if isinstance(node, str) or isinstance(next, str) else GAP // 2
            offsets.append(offsets[-1] + (self.widthOf(node) + self.widthOf(next)) / 2 + gap)
        groups = []  # [sum, count] of what moves together
        for want, offset in zip(wanted, offsets):
            groups.append([want - offset, 1])
            while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
                total, count = groups.pop()
                groups[-1][0] += total
                groups[-1][1] += count
        index = 0
        for total, count in groups:
            for _ in range(count):
                self.x[layer[index]] = total / count + offsets[index]
                index += 1


@functools.cache
def arranged(name, stems, edges):
    """A room takes long to arrange, and is often as it was in the picture before."""
    return Room(name, stems, edges)


# ---- drawing ----

class Picture:
    def __init__(self, stems, bare, known):
        self.bare, self.lines = bare, []
        self.rooms = []
        for name in layers.ROOMS:
            inside = [stem for stem in stems if layers.roomOf(stem) == name]
            if inside:
                edges = {edge for edge in known if set(edge) <= set(inside)}
                self.rooms.append(arranged(name, tuple(inside), frozenset(edges)))
        self.between = collections.Counter(
            (layers.roomOf(start), layers.roomOf(end)) for start, end in known
            if layers.roomOf(start) != layers.roomOf(end))
        self.placeRooms()

    def placeRooms(self):
        self.height = HEAD + LAYER * max(len(room.layers) for room in self.rooms)
        self.top, left = 62, 20
        self.left = {}
        for room in self.rooms:
            self.left[room.name] = left
            left += room.width + 26
        self.bottom = self.top + self.height
        self.width = left - 26 + 20
        sources = sorted({source for source, _ in self.between}, key=layers.ROOMS.index)
        self.lanes = {source: self.bottom + 40 + LANE * index
                      for index, source in enumerate(sources)}
        self.end = self.bottom + 40 + LANE * len(sources) + 4

    def add(self, text):
        self.lines.append(text)

    def text(self, x, y, words, size=12, colour='#222222', anchor='start', more=''):
        words = words.replace('&', '&amp;').replace('<', '&lt;')
        self.add(f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" '
                 f'text-anchor="{anchor}"{more}>{words}</text>')

    def write(self):
        self.add(f'<svg xmlns="http://www.w3.org/2000/svg" '
                 f'width="{self.width}" height="{self.end}" '
                 f'viewBox="0 0 {self.width} {self.end}" '
                 f'font-family="Helvetica, Arial, sans-serif">')
        self.add('<!-- written by doc/house.py: ninja -C build house-picture -->')
        self.add(f'<rect width="{self.width}" height="{self.end}" fill="#ffffff"/>')
        self.addMarkers()
        self.text(20, 24, "Who knows whom in lib/", 16, more=' font-weight="bold"')
        self.text(20, 44,
                  "An arrow leads to what is included or called. In a room a file stands above all "
                  "that it knows; arrows that follow from others are left out. Dashed: a header "
                  "without a file of code.",
                  11, '#555555')
        for source, target in sorted(self.between):
            self.addBetween(source, target)
        for room in self.rooms:
            self.addRoom(room)
        self.text(20, self.end - 8,
                  "Between rooms: how many times a file of the one knows a file of the other.", 11,
                  '#555555')
        self.add('</svg>')
        return '\n'.join(self.lines) + '\n'

    def addMarkers(self):
        self.add('<defs>')
        colours = {name: colour for name, (_, _, colour) in ROOMS.items()}
        for name, colour in {**colours, 'circle': CIRCLE}.items():
            self.add(f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" '
                     f'markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" '
                     f'orient="auto"><path d="M0,1 L10,5 L0,9 z" fill="{colour}"/></marker>')
        self.add('</defs>')

    def addRoom(self, room):
        about, fill, colour = ROOMS[room.name]
        left = self.left[room.name]
        self.add(f'<rect x="{left}" y="{self.top}" width="{room.width}" height="{self.height}" '
                 f'rx="6" fill="{fill}" stroke="{colour}"/>')
        self.text(left + 10, self.top + 20, room.name, 15, colour, more=' font-weight="bold"')
        self.text(left + 10, self.top + 36, about, 10.5, '#555555')
        for start, end in room.arrows:
            self.addArrow(room, start, end)
        for stem in sorted(stem for stem in room.x if isinstance(stem, str)):
            self.addFile(room, stem)

    def middleOf(self, room, node):
        return self.left[room.name] + room.x[node], self.bottom - 34 - room.level[node] * LAYER

    def addFile(self, room, stem):
        x, y = self.middleOf(room, stem)
        width = widthOfFile(stem)
        dashes = ' stroke-dasharray="4,3"' if stem in self.bare else ''
        self.add(f'<rect x="{x - width // 2}" y="{y - BOX // 2}" width="{width}" height="{BOX}" '
                 f'rx="3" fill="#ffffff" stroke="{ROOMS[room.name][2]}"{dashes}/>')
        self.text(x, y + 4, stem.split('/')[1], anchor='middle')

    def addArrow(self, room, start, end):
        """A line from the file's lower edge, by its bends, to the other's upper edge."""
        circular = (start, end) in room.circular
        colour, marker = (CIRCLE, 'circle') if circular else (ROOMS[room.name][2], room.name)
        points = [self.middleOf(room, node) for node in room.ways[start, end]]
        (x, y), (toX, toY) = points[0], points[-1]
        if room.level[start] <= room.level[end]:  # only in a circle
            bow = f'M{x},{y - BOX // 2} Q{(x + toX) // 2},{min(y, toY) - 44} {toX},{toY - BOX // 2}'
            self.add(f'<path d="{bow}" fill="none" stroke="{colour}" marker-end="url(#{marker})"/>')
            return
        path, at = f'M{x},{y + BOX // 2}', y + BOX // 2
        for index, (x, y) in enumerate(points[1:], 1):
            to = y - BOX // 2
            before = points[index - 1][0]
            path += f' C{before},{(at + to) // 2} {x},{(at + to) // 2} {x},{to}'
            if index < len(points) - 1:
                path += f' L{x},{y + BOX // 2}'
            at = y + BOX // 2
        self.add(f'<path d="{path}" fill="none" stroke="{colour}" marker-end="url(#{marker})"/>')

    def addBetween(self, source, target):
        """Down from the one, along its lane, up into the other, in a place of its own there."""
        colour, lane = ROOMS[source][2], self.lanes[source]
        width = {room.name: room.width for room in self.rooms}
        order = [name for name in layers.ROOMS if name in width]
        x = self.left[source] + width[source] // 2
        toX = self.left[target] + width[target] * (order.index(source) + 1) // (len(order) + 1)
        count = self.between[source, target]
        thickness = 1 + min(count.bit_length(), 6) * 0.5
        self.add(f'<path d="M{x},{self.bottom} V{lane} H{toX} V{self.bottom + 2}" fill="none" '
                 f'stroke="{colour}" stroke-width="{thickness}" stroke-linejoin="round" '
                 f'marker-end="url(#{source})"/>')
        self.add(f'<rect x="{toX - 10}" y="{self.bottom + 14}" width="20" height="15" '
                 f'fill="#ffffff"/>')
        self.text(toX, self.bottom + 26, str(count), 11, colour, 'middle')


def draw(root):
    return Picture(*readKnowledge(root / 'lib')).write()


if __name__ == '__main__':
    pathlib.Path(sys.argv[2]).write_text(draw(pathlib.Path(sys.argv[1])))
