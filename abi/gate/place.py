"""Where the gate works: the tree, today's build, the frozen releases, and the tools."""

import argparse
import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HOUSE = pathlib.Path(__file__).resolve().parent.parent.parent / 'test' / 'house'
sys.path.insert(0, str(HOUSE))

import tap  # noqa: E402 (of test/house, like source)

PATIENCE = 120  # seconds that any one tool may take


def parser(description):
    """The arguments that every command of the gate takes."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument('--source', type=pathlib.Path, required=True, help="root of the tree")
    result.add_argument('--build', type=pathlib.Path, required=True, help="where the gate may write")
    result.add_argument('--library', type=pathlib.Path, required=True, help="today's shared library")
    result.add_argument('--archive', type=pathlib.Path, help="today's static library")
    result.add_argument('--pkgconfig', type=pathlib.Path, help="today's .pc file")
    result.add_argument('--version', required=True, help="the project's version")
    result.add_argument('--compiler', action='append', required=True, help="a word of the compiler's command")
    result.add_argument('--without', default='', help="why types can't be looked at in this build")
    result.add_argument('--unhardened', action='store_true', help="the build's flags are the packager's")
    result.add_argument('--sanitize', default='none', help="meson's b_sanitize")
    return result


class Place:
    def __init__(self, options):
        self.root = options.source.resolve()
        self.build = options.build.resolve()
        self.library = options.library.resolve()
        self.archive = options.archive and options.archive.resolve()
        self.pkgconfig = options.pkgconfig and options.pkgconfig.resolve()
        self.version = options.version
        self.compiler = options.compiler
        self.without = options.without
        self.hardened = not options.unhardened
        self.sanitize = options.sanitize
        self.include = self.root / 'include'
        self.soname = (self.root / 'abi' / 'soname').read_text().strip()

    def releases(self):
        """The frozen releases of today's soname, oldest first."""
        found = [Release(path) for path in (self.root / 'abi').iterdir() if re.fullmatch(r'\d+\.\d+\.\d+', path.name)]
        return sorted((release for release in found if release.soname == self.soname), key=lambda r: r.key)

    @functools.cached_property
    def predefined(self):
        """The compiler's own macros."""
        return self.compile(['-E', '-dM', '-x', 'c', '/dev/null'])

    @property
    def isClang(self):
        return '__clang__' in self.predefined

    @functools.cached_property
    def cpu(self):
        """What is compiled for. The kernel is not asked: one of 64 bits runs programs of 32, too."""
        name = self.compile(['-dumpmachine']).partition('-')[0]
        return name + ('-32' if '64' in name and '__LP64__' not in self.predefined else '')

    def compile(self, arguments, **options):
        """Runs the compiler; returns its output, fails with its errors."""
        return tap.run([*self.compiler, *map(str, arguments)], **options)

    def tryCompile(self, arguments):
        """Runs the compiler; returns its exit status and what it said."""
        result = subprocess.run([*self.compiler, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=PATIENCE, env=dict(os.environ, LC_ALL='C'))
        return result.returncode, result.stderr

    def made(self, name, inputs, make):
        """
        The file NAME of make(directory), made once for the same inputs (strings, or files that are
        read) by the same compiler.
        """
        digest = hashlib.sha256()
        for item in [*self.compiler, name, *inputs]:
            digest.update(item.read_bytes() if isinstance(item, pathlib.Path) else item.encode())
            digest.update(b'\0')
        directory = self.build / digest.hexdigest()[:20]
        if not (directory / name).exists():
            self.build.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.build) as work:
                make(pathlib.Path(work))
                try:
                    shutil.copytree(work, directory)
                except FileExistsError:
                    pass  # a check beside this one was faster
        return directory / name


class Release:
    """A frozen release: abi/VERSION/."""

    def __init__(self, path):
        self.path = path
        self.version = path.name
        self.key = tuple(map(int, path.name.split('.')))
        self.include = path / 'include'

    @functools.cached_property
    def soname(self):
        return self.elf['soname'][0]

    @functools.cached_property
    def elf(self):
        """{key: [values]} of the file elf."""
        found = {}
        for line in (self.path / 'elf').read_text().splitlines():
            key, value = line.split(' ', 1)
            found.setdefault(key, []).append(value)
        return found

    @property
    def headers(self):
        return sorted(self.include.glob('Ring/*.h'))

    @property
    def consumer(self):
        return sorted((self.path / 'consumer').iterdir())


def needTool(name, package):
    if not shutil.which(name):
        raise tap.Skip(f"no {name} (package {package})")
