#!/usr/bin/env python3
"""
abi-record on a tree of links: it freezes what a later test can run, and never overwrites a release
that is out.

usage: record-test.py OPTIONS of the gate, with --source
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import trees
import tap  # after trees, which knows where it is

options = sys.argv[1:]
root = pathlib.Path(options[options.index('--source') + 1])
version = options[options.index('--version') + 1]
LINKED = ['NEWS', 'doc/examples', 'include', 'lib', 'test', 'abi/consumer', 'abi/gate',
          'abi/soname', 'abi/settled', 'abi/waivers']

work = tempfile.TemporaryDirectory(prefix='fastsocket-record-')
tree = pathlib.Path(work.name) / 'tree'
target = tree / 'abi' / version


def plant():
    for name in LINKED:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(root / name)
    (tree / 'debian').mkdir()


def changelog(distribution):
    (tree / 'debian' / 'changelog').write_text(
        f'libfastsocket ({version}-1) {distribution}; urgency=medium\n')


def run(program, *arguments, **environment):
    given = [*options]
    for option, path in (('--source', tree), ('--build', pathlib.Path(work.name) / 'made')):
        given[given.index(option) + 1] = str(path)
    clean = {name: value for name, value in os.environ.items() if name not in ('FORCE', 'ABI_INTO')}
    return subprocess.run([sys.executable, root / 'abi' / 'gate' / program, *given, *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=trees.PATIENCE, env={**clean, **environment})


def content():
    return {path.relative_to(target).as_posix(): path.read_bytes()
            for path in target.rglob('*') if path.is_file()}


def recorded(**environment):
    result = run('record.py', **environment)
    if 'not from this build' in result.stderr:
        raise tap.Skip(result.stderr.strip())
    assert result.returncode == 0, result.stderr


def refused(words, **environment):
    before = content()
    result = run('record.py', **environment)
    if 'not from this build' in result.stderr:
        raise tap.Skip(result.stderr.strip())
    assert result.returncode != 0 and words in result.stderr, (result.returncode, result.stderr)
    assert content() == before, "and yet it was written"


def needFolder():
    if not target.exists():
        raise tap.Skip("nothing was recorded")


def freezes():
    changelog('UNRELEASED')
    recorded()
    known = content()
    for name in ('declarations', 'symbols', 'elf', 'pkgconfig', 'digests', 'consumer/main.c',
                 'include/Ring/FastRing.h', 'programs/api/ring-test.c', 'programs/helper/suite.c',
                 'programs/helper/scene.h', 'examples/echo-server.c', 'examples/announce.h',
                 'examples/test/echo-server.py', 'examples/test/harness.py'):
        assert known.get(name), f"no {name}"
    inside = [name for name in known if re.search(r'programs/.*(between|simulated)', name)]
    assert not inside, f"what sees the inside is no program of a user's: {inside}"


def programsRun():
    """What was frozen is a program that can be linked with the twin and run."""
    needFolder()
    result = run('check.py', 'programs:document')
    assert result.returncode == 0 and 'ok 1 - programs/' in result.stdout, \
        result.stdout + result.stderr


def elsewhere():
    needFolder()
    before = content()
    other = pathlib.Path(work.name) / 'other'
    recorded(ABI_INTO=str(other))
    assert (other / version / 'digests').read_bytes() == before['digests']
    assert content() == before


def notTwice():
    needFolder()
    refused('is frozen')


def againBeforeItIsOut():
    needFolder()
    (target / 'symbols').write_text('')
    recorded(FORCE='1')
    assert (target / 'symbols').read_text() != ''


def neverBehindTheChangelog():
    needFolder()
    changelog('unstable')
    refused('debian/changelog has it in unstable', FORCE='1')
    changelog('UNRELEASED')


def neverBehindATag():
    needFolder()
    if not shutil.which('git'):
        raise tap.Skip("no git")
    git = ['git', '-C', str(tree), '-c', 'user.name=a', '-c', 'user.email=a@example.org']
    tap.run(['git', 'init', '-q', str(tree)])
    tap.run([*git, 'commit', '-q', '--allow-empty', '-m', 'a'])
    tap.run([*git, 'tag', version])
    refused(f'there is a tag {version}', FORCE='1')
    shutil.rmtree(tree / '.git')


def noProcessorToAFolderThatWasEdited():
    needFolder()
    for path in target.glob('layout-*'):
        path.unlink()
    (target / 'symbols').write_text('')
    refused('is not what was recorded')


plant()
tap.runCases([(f'record/{case.__name__}', case) for case in (
    freezes, programsRun, elsewhere, notTwice, againBeforeItIsOut, neverBehindTheChangelog,
    neverBehindATag, noProcessorToAFolderThatWasEdited)])
