"""A copy of the tree with its tests: what is built and run of it is asked for by name."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'abi'))
import trees  # noqa: E402
import tap  # noqa: E402

HANG = '10'        # seconds after which a case has hung for certain
PATIENCE = 180     # of a case that is run alone
ENGINES = ['io_uring', 'epoll']


class Tested(trees.Copy):
    """Debug and optimization would only take time; assertions stay."""

    parts = trees.Copy.parts + ['doc', 'README.md', 'CONTRIBUTING.md', 'LICENSE']
    settings = ['-Dtests=enabled', '-Dman=disabled', '-Dinterop=disabled', '-Ddebug=false',
                '-Doptimization=0', '-Dc_args=-w']

    def __init__(self, root, directory, compiler):
        super().__init__(root, directory, compiler)
        made = {file for target in self.introspect('targets') for file in target['filename']}
        self.tests = {}
        for test in self.introspect('tests'):
            # What it runs, or is given: what a script of the house could need is more.
            test['files'] = [os.path.relpath(self.build / word, self.build)
                             for word in test['cmd'] if str(self.build / word) in made]
            self.tests.setdefault(test['name'], test)

    def introspect(self, what):
        return json.loads((self.build / 'meson-info' / f'intro-{what}.json').read_text())

    def programs(self):
        """The tests of the suites unit and api that are programs of C, by name."""
        return [name for name, test in self.tests.items()
                if re.match(r'(unit|api)/|model$', name) and len(test['cmd']) == 1]


class Sight:
    """Who may see a breakage: a test, one case of it or all, on an engine."""

    def __init__(self, test, case, engine):
        self.test, self.case, self.engine = test, case, engine

    def __str__(self):
        return f"{self.test}{' ' + self.case if self.case else ''} on {self.engine}"

    @staticmethod
    def parse(text):
        match = re.fullmatch(r'(\S+)(?: (\S+))? on (\S+)', text)
        return Sight(*match.groups()) if match else None

    def sees(self, tree):
        """The cases that fail, as sights; empty: none does."""
        test = tree.tests[self.test]
        fault = tree.make(*test['files']) if test['files'] else ''
        assert not fault, f"does not build:\n{fault}"
        command = test['cmd'] + ([self.case] if self.case and len(test['cmd']) == 1 else [])
        limit = PATIENCE if self.case else test['timeout']
        status, output = run(command, tree.build, environmentOf(test, self.engine), limit)
        if status == 0 and '\nnot ok' not in output:
            return []
        failed = re.findall(r'^not ok \d+ - \S*?([^/\s]+)$', output, re.M)
        return [Sight(self.test, case, self.engine) for case in failed] or [self]


def environmentOf(test, engine):
    """io_uring is what a program gets that asks for nothing."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith('FASTSOCKET_')}
    asks = {'FASTSOCKET_ENGINE': engine} if engine != ENGINES[0] else {}
    return {**ours, 'PYTHONDONTWRITEBYTECODE': '1', **test['env'], 'CK_DEFAULT_TIMEOUT': HANG,
            **asks}


def run(command, directory, environment, limit):
    """Status and output; a status of None: it did not end."""
    process = subprocess.Popen(
        command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True, text=True, errors='replace')
    try:
        output, _ = process.communicate(timeout=limit)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        process.terminate()  # libcheck ends its case, then, which has a group of its own
        return None, ''
    finally:
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(process.pid, signal.SIGKILL)  # and what it has left behind
        except ProcessLookupError:
            pass
        process.wait()


def sightsOfPromises(root):
    """{row of test/promises: the cases that name it}."""
    text = tap.run([sys.executable, str(root / 'test' / 'house' / 'promises-test.py'), str(root),
                    '--list'], env=dict(os.environ, PYTHONDONTWRITEBYTECODE='1'))
    sights, row = {}, None
    for line in text.splitlines():
        if line.startswith('§'):
            row = sights.setdefault(line[1:], [])
            continue
        match = re.match(r'    (\w+)/([\w-]+)-test\.(c|py) (\w+)( \(not on epoll\))?', line)
        if match is None:
            continue
        folder, name, kind, case, only = match.groups()
        test = f'{folder}/{name}' if kind == 'c' else name
        engines = ENGINES[:1] if only or kind == 'py' else ENGINES
        row += [Sight(test, case if kind == 'c' else None, engine) for engine in engines]
    return sights
