#!/usr/bin/env python3
"""
Each change that the mutation suite makes still finds what it changes: a moved line is seen here, in
a second, and not by that suite in a quarter of an hour; and a copy of the tree, as that suite makes
it, has all that its build asks for.

usage: edits-test.py SOURCE_ROOT
"""

import pathlib
import sys
import tempfile

import trees
import mutations
import tap


class Paper(trees.Copy):
    """The tree itself, with the changes in memory."""

    def __init__(self, root):
        self.source = self.root = root
        self.texts = {}
        self.settle()

    def read(self, name):
        return self.texts.get(name) or (self.root / name).read_text()

    def write(self, name, text):
        self.texts[name] = text


def apply(root, mutate):
    paper = Paper(root)
    mutate(paper)
    assert paper.afterBuild or any(not (root / name).exists() or text != (root / name).read_text()
               for name, text in paper.texts.items()), "changes nothing"


def configure(root):
    with tempfile.TemporaryDirectory(prefix='fastsocket-edits-') as directory:
        trees.Copy(root, pathlib.Path(directory), 'cc')


def main():
    root = pathlib.Path(sys.argv[1])
    tap.runCases([('edits/copy', lambda: configure(root))] +
                 [(f'edits/{name}', lambda mutate=mutate: apply(root, mutate))
                  for name, mutate in {**mutations.BREAKS, **mutations.ACCEPTED}.items()])


main()
