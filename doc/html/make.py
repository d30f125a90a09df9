#!/usr/bin/env python3
"""
Makes the reference in HTML of the headers, the man pages and the documents: `ninja -C build doc`.

usage: make.py SOURCE_ROOT OUTPUT VERSION [SCDOC [MANDOC]]
"""

import importlib.util
import pathlib
import shutil
import sys

PACKAGES = {'markdown': 'python3-markdown', 'pygments': 'python3-pygments'}
TOOLS = ['scdoc', 'mandoc']

# stem: what the first page says of it, and the part of the bar that it belongs to.
DOCUMENTS = {
    'guide': ("The first hour: the parts, the life of a socket, threads, the end.", 'guide.html'),
    'from-libuv': ("Name by name, and the same server in both.", 'guide.html'),
    'from-libevent': ("Name by name, and the same server in both.", 'guide.html'),
    'recipes': ("Names, TLS, signals, threads, sanitizers, containers.", 'recipes.html'),
    'sizing': ("How many buffers, of which length; what a pool holds; locked memory.",
               'guide.html'),
    'faq': ("What people ask, and the answer.", 'faq.html'),
    'design': ("How the library is built inside.", 'guide.html'),
}


def missing(scdoc, mandoc):
    """The packages that aren't installed."""
    modules = [package for module, package in PACKAGES.items()
               if importlib.util.find_spec(module) is None]
    return modules + [tool for tool, path in zip(TOOLS, (scdoc, mandoc)) if not path]


def main(root, output, version, scdoc=None, mandoc=None):
    scdoc, mandoc = scdoc or shutil.which('scdoc'), mandoc or shutil.which('mandoc')
    if absent := missing(scdoc, mandoc):
        sys.exit(f"The documents in HTML need what isn't installed here: {' '.join(absent)}\n"
                 f"    apt-get install {' '.join(absent)}")
    import pages
    pages.write(pathlib.Path(root), pathlib.Path(output), version, DOCUMENTS, scdoc, mandoc)


if __name__ == '__main__':
    main(*sys.argv[1:])
