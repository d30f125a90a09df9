#!/usr/bin/env python3
"""
Freezes a release as text in abi/VERSION/. A frozen folder never changes again: for another processor its
files are added, everything else is refused but with --force, for the days before the release; and once a tag or
debian/changelog says that it is out, with that, too.
"""

import os
import pathlib
import re
import shutil
import sys
import subprocess
import tempfile

import place
import declarations
import layouts
import objects
import pcfile
import policy
import source  # of test/house, where place has looked
from checks import rules, witness
from checks import abidiff


def record(here, target):
    """Writes a release's folder."""
    known = declarations.read(here, here.include)
    shutil.copytree(here.include, target / 'include')
    shutil.copytree(here.root / 'abi' / 'consumer', target / 'consumer')
    (target / 'declarations').write_text(declarations.format(known))
    (target / 'symbols').write_text(objects.format(objects.symbols(here.library)))
    (target / 'elf').write_text(elf(here))
    if here.pkgconfig is None:
        sys.exit("no .pc file is given")
    (target / 'pkgconfig').write_text(pcfile.frozen(here.pkgconfig))
    recordPrograms(here, target)
    recordExamples(here, target)
    recordCpu(here, target, known)


def recordPrograms(here, target):
    """The api programs, and what they are compiled with."""
    sources = sorted((here.root / 'test' / 'api').glob('*-test.c'))
    helper = here.root / 'test' / 'helper'
    build = (helper / 'meson.build').read_text()
    for name in ('helper_suite', 'helper_scene'):
        listed = re.search(rf'^{name} = files\((.*?)\)', build, re.M | re.S)
        assert listed, f"test/helper/meson.build has no {name}"
        sources += [helper / file for file in re.findall(r"'([\w-]+\.c)'", listed.group(1))]
    for path in withHeaders(sources):
        copy = target / 'programs' / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


def recordExamples(here, target):
    """The examples, their tests, and what either includes or imports of what lies beside it."""
    examples, tests = here.root / 'doc' / 'examples', here.root / 'test' / 'interop'
    sources = withHeaders([examples / f'{name}.c' for name in policy.EXAMPLES])
    scripts = withImports([tests / f'{name}.py' for name in sorted({test for test, *_ in policy.EXAMPLES.values()})])
    for paths, copies in ((sources, target / 'examples'), (scripts, target / 'examples' / 'test')):
        copies.mkdir(parents=True)
        for path in paths:
            shutil.copy(path, copies)


def withImports(paths):
    """These programs in Python, and what they import of what lies beside them."""
    found = []
    while paths:
        path = paths.pop()
        if path in found:
            continue
        found.append(path)
        for name in re.findall(r'^(?:from|import) (\w+)', path.read_text(), re.M):
            if (path.parent / f'{name}.py').exists():
                paths.append(path.parent / f'{name}.py')
    return found


def withHeaders(paths):
    """These files and what they include of what lies beside them."""
    found = []
    while paths:
        path = paths.pop()
        if path in found:
            continue
        found.append(path)
        for quote, name in source.includesOf(path.read_text()):
            beside = [directory / name for directory in (path.parent, path.parent.parent / 'helper') if quote == '"']
            paths += [file for file in beside if file.exists()][:1]
    return found


def isOut(here):
    """Why the release is out, or None."""
    log = re.search(rf'^libfastsocket \({re.escape(here.version)}-\S*\) (\S+);', (here.root / 'debian' / 'changelog').read_text(),
                    re.M)
    if log and log.group(1) != 'UNRELEASED':
        return f"debian/changelog has it in {log.group(1)}"
    tags = subprocess.run(['git', '-C', here.root, 'tag', '--list', here.version, f'v{here.version}'],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.split() \
        if shutil.which('git') else []
    return f"there is a tag {tags[0]}" if tags else None


def recordCpu(here, target, known):
    """Writes the files of this processor."""
    (target / f'layout-{here.cpu}.c').write_text(layouts.write(here, here.include, known, here.version))
    shutil.copy(abidiff.today(here), target / f'types-{here.cpu}.xml')
    text = witness.write(known, declarations.headerNames(here.include))
    shutil.copy(witness.build(here, here.include, text), target / f'witness-{here.cpu}.xml')


def elf(here):
    entries = objects.dynamic(here.library)
    needed = sorted(name for name in objects.names(entries, 'NEEDED') if not name.startswith('ld'))
    return ''.join(f'{key} {name}\n' for key, names in
                   (('soname', objects.names(entries, 'SONAME')), ('needed', needed)) for name in names)


def seal(target):
    (target / 'digests').write_text(''.join(f'{digest} {name}\n' for name, digest in rules.digests(target).items()))
    for path in target.rglob('*'):
        os.chmod(path, 0o755 if path.is_dir() else 0o644)


def addCpu(here, target):
    """To a frozen release, this processor's files, if everything else is as recorded."""
    release = place.Release(target)
    known = {name: digest for digest, name in (line.split() for line in (target / 'digests').read_text().splitlines())}
    if known != rules.digests(target):
        sys.exit(f"abi/{here.version}/ is not what was recorded: put it back from the version control")
    for name, now in (('declarations', declarations.format(declarations.read(here, here.include))),
                      ('symbols', objects.format(objects.symbols(here.library)))):
        if (release.path / name).read_text() != now:
            sys.exit(f"abi/{here.version}/{name} is frozen, and this build is another: check out the release")
    recordCpu(here, target, declarations.read(here, here.include))


def main():
    parser = place.parser(__doc__)
    parser.add_argument('--force', action='store_true', help="overwrite a folder, before the release is out")
    options = parser.parse_args()
    force = options.force or os.environ.get('FORCE') == '1'
    here = place.Place(options)
    if not re.fullmatch(r'\d+\.\d+\.\d+', here.version):
        sys.exit(f"{here.version} is no release")
    if here.without or here.sanitize != 'none':
        sys.exit(f"not from this build: {here.without or 'sanitizers'}")
    target = pathlib.Path(os.environ.get('ABI_INTO') or here.root / 'abi') / here.version
    out = isOut(here)
    if target.exists() and force and out:
        sys.exit(f"abi/{here.version}/ never changes: {out}")
    if target.exists() and not force:
        if (target / f'layout-{here.cpu}.c').exists():
            sys.exit(f"abi/{here.version}/ is frozen. A release that is out never changes; before that, FORCE=1 makes it anew.")
        addCpu(here, target)
    else:
        with tempfile.TemporaryDirectory() as directory:
            work = pathlib.Path(directory) / here.version
            work.mkdir()
            record(here, work)
            if target.exists():
                shutil.rmtree(target)
            shutil.copytree(work, target)
    seal(target)
    print(f"{target}/ is recorded: {len(list(target.rglob('*')))} files")


main()
