"""A copy of the tree that is changed and built: what the tests of the gate work on."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'house'))
import tap  # noqa: E402

PATIENCE = 300
LONG = 3600  # of a whole build, of all frozen programs


class Copy:
    """A copy below a directory, its build beside it."""

    parts = ['NEWS', 'abi', 'debian', 'doc/constants.json', 'doc/examples', 'doc/html',
             'fastsocket.pc.in', 'include', 'lib', 'meson.build', 'meson_options.txt', 'test',
             'tools']
    # tests, examples, man pages: not built, as they are not the gate's
    settings = ['-Dauto_features=disabled']

    def __init__(self, root, directory, compiler, options=(), made=None):
        self.source = root
        self.root = directory / 'tree'
        self.build = directory / 'build'
        self.made = made or directory / 'made'  # what the gate keeps; copies may share it
        self.compiler = compiler
        self.changed = set()
        self.settle()
        for part in self.parts:
            source, target = root / part, self.root / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True,  # one may hold another
                                ignore=shutil.ignore_patterns('__pycache__', 'build*'))
            else:
                shutil.copy2(source, target)
        meson = os.environ.get('MESONINTROSPECT', 'meson introspect').rpartition(' ')[0].split()
        tap.run([*meson, 'setup', str(self.build), str(self.root), *self.settings, *options],
                env=dict(os.environ, CC=compiler))

    def settle(self):
        """As it is without a change."""
        self.needsArchive = False
        self.afterBuild = None  # a function that is called with the copy, once its library is made

    @property
    def version(self):
        return re.search(r"^    version: '([\d.]+)'", self.read('meson.build'), re.M).group(1)

    @property
    def library(self):
        return self.build / 'lib' / f'libfastsocket.so.{self.version}'

    def read(self, name):
        return (self.root / name).read_text()

    def write(self, name, text):
        self.changed.add(name)
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def replace(self, name, old, new):
        """Replaces a text that is there exactly once."""
        text = self.read(name)
        assert text.count(old) == 1, f"{name} has {text.count(old)} times: {old}"
        self.write(name, text.replace(old, new))

    def substitute(self, name, pattern, new):
        """Replaces what matches a pattern exactly once; new as for re.sub."""
        text = self.read(name)
        changed, count = re.subn(pattern, new, text, flags=re.M)
        assert count == 1, f"{name} matches {count} times: {pattern}"
        assert changed != text, f"{name} stays the same: {pattern}"
        self.write(name, changed)

    def restore(self):
        """Puts back what was changed."""
        for name in self.changed:
            if (self.source / name).exists():
                shutil.copyfile(self.source / name, self.root / name)
            else:
                (self.root / name).unlink(missing_ok=True)
        self.changed.clear()
        if self.afterBuild is not None:
            self.library.unlink(missing_ok=True)
        self.settle()

    def make(self, *targets):
        """Builds; returns what went wrong, or an empty text."""
        result = subprocess.run(['ninja', '-j1', '-C', str(self.build), *targets],
                                stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=LONG)
        return '' if result.returncode == 0 else result.stdout + result.stderr

    def makeLibrary(self):
        fault = self.makeChanged()
        assert not fault, fault

    def makeChanged(self):
        """Builds what the gate looks at of a change; returns what went wrong, or an empty text."""
        archive = ['lib/libfastsocket.a'] if self.needsArchive else []
        fault = self.make(f'lib/{self.library.name}', *archive)
        if not fault and self.afterBuild is not None:
            self.afterBuild(self)
        return fault

    def writePkgconfig(self):
        """The .pc file as the build makes it; without the build, which would be configured anew."""
        values = {'prefix': '/usr', 'includedir': 'include', 'libdir': 'lib',
                  'version': self.version, 'atomic_libs': ''}
        path = self.build / 'made.pc'
        path.write_text(re.sub(r'@(\w+)@', lambda match: values[match.group(1)],
                               self.read('fastsocket.pc.in')))
        return path

    def code(self):
        """What of the library is loaded."""
        stripped = self.build / 'stripped'
        tap.run(['strip', '-o', str(stripped), str(self.library)])
        return stripped.read_bytes()

    def gate(self, program, *arguments, environment=None):
        """Runs a program of the gate on the copy; its exit status, output and errors."""
        archive = ['--archive', self.build / 'lib' / 'libfastsocket.a'] if self.needsArchive else []
        result = subprocess.run(
            [sys.executable, str(self.root / 'abi' / 'gate' / program), '--source', str(self.root),
             '--build', str(self.made), '--library', str(self.library), '--version', self.version,
             f'--compiler={self.compiler}', *archive, '--pkgconfig', self.writePkgconfig(),
             *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONG,
            env=dict(os.environ, PYTHONDONTWRITEBYTECODE='1', **(environment or {})))
        return result.returncode, result.stdout, result.stderr

    def setVersion(self, new):
        """Makes the copy another version: one more, or instead of one that is not frozen yet."""
        old = self.version
        major, minor, patch = new.split('.')
        self.replace('meson.build', f"    version: '{old}'", f"    version: '{new}'")
        for part, number in (('MAJOR', major), ('MINOR', minor), ('PATCH', patch)):
            text = self.read('include/Ring/FastSocket.h')
            self.write('include/Ring/FastSocket.h',
                       re.sub(rf'(#define FASTSOCKET_VERSION_{part}) \d+', rf'\1 {number}', text))
        news = self.read('NEWS')
        if self.isFrozen(old):
            self.write('NEWS', f'libfastsocket {new} (2030-01-01)\n\nNext.\n\n{news}')
        else:
            self.write('NEWS', news.replace(f'libfastsocket {old} ', f'libfastsocket {new} ', 1))
        self.write('debian/changelog',
                   self.read('debian/changelog').replace(f'({old}-', f'({new}-', 1))

    def isFrozen(self, version):
        return (self.root / 'abi' / version / 'digests').exists()

    def nextRelease(self):
        """Makes the copy the next minor version, without anything new yet; returns the new version
        node."""
        major, minor, _ = map(int, self.version.split('.'))
        if self.isFrozen(self.version):
            minor += 1
            self.setVersion(f'{major}.{minor}.0')
        return f'FASTSOCKET_{major}.{minor}'

    def nextPatch(self):
        """Makes the copy a patch of the newest release."""
        newest = max(tuple(map(int, path.parent.name.split('.')))
                     for path in (self.root / 'abi').glob('*.*.*/digests'))
        self.setVersion('{}.{}.{}'.format(newest[0], newest[1], newest[2] + 1))

    def addNode(self, node, names):
        """Adds a version node with these functions behind the newest one."""
        text = self.read('lib/libfastsocket.map')
        before = re.findall(r'^(FASTSOCKET_[\d.]+)', text, re.M)[-1]
        lines = ''.join(f'    {name};\n' for name in names)
        self.write('lib/libfastsocket.map', f'{text}\n{node}\n{{\nglobal:\n{lines}}} {before};\n')
        return before


def needCompiler(compiler):
    if not shutil.which(compiler):
        raise tap.Skip(f"no {compiler}")


def failedCases(output):
    return re.findall(r'^not ok \d+ - (.*)$', output, re.M)


def skippedCases(output):
    """[(case, reason)]"""
    return re.findall(r'^ok \d+ - (\S+) # SKIP (.*)$', output, re.M)
