"""What a breakage is: a promise is broken by a few words of the library."""

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Breakage:
    name: str
    promises: tuple  # rows of test/promises, as "2.4 short count"
    edits: tuple     # (file, old, new): old stands in the file exactly once
    seen: bool       # chosen by somebody who knew the tests

    @property
    def slug(self):
        return re.sub(r'\W+', '-', self.name).strip('-')

    def apply(self, tree):
        for file, old, new in self.edits:
            tree.replace(file, old, new)


def fileOf(name):
    return name if name.startswith('include/') else f'lib/{name}'


def breakage(name, promises, file, old, new, *more, seen=False):
    """file: below lib/, but for public headers; more: further edits, three words each. promises:
    separated by «; »."""
    words = (file, old, new, *more)
    edits = tuple((fileOf(words[place]), words[place + 1], words[place + 2])
                  for place in range(0, len(words), 3))
    return Breakage(name, tuple(promises.split('; ')), edits, seen)
