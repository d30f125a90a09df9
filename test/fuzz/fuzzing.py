"""The programs that fuzz: how they are built, run, and what they have said."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'abi'))
import trees  # noqa: E402
import tap  # noqa: E402

TARGETS = ['calls', 'control', 'address']
COMPILER = 'clang'
# Longer inputs say little that these don't: each target takes so many steps at most.
LONGEST = {'calls': 800, 'control': 1500, 'address': 1000}
# Long inputs from the beginning, since few steps come to nothing. Entropic scheduling would take
# more than half of the time.
OPTIONS = ['-len_control=0', '-entropic=0', '-print_final_stats=1', '-report_slow_units=100000']
SETTINGS = ['-Dfuzz=true', '-Dtests=enabled', '-Dman=disabled', '-Dexamples=disabled',
            '-Dinterop=disabled', '-Dhardening=false', '-Db_sanitize=address,undefined',
            '-Db_lundef=false']
PROBE = 'int LLVMFuzzerTestOneInput(const char* data, unsigned long size)\n' \
        '{ return data == 0 && size > 0; }\n'
HANG = 600  # seconds after which an input has hung for certain, however busy the machine is
SHOWN = 120  # lines of what a finding says


def reasonAgainst(directory):
    """Why there can be no program, or None. Not every clang comes with libFuzzer."""
    if not shutil.which(COMPILER):
        return f"no {COMPILER}"
    source = directory / 'probe.c'
    source.write_text(PROBE)
    result = subprocess.run([COMPILER, '-fsanitize=fuzzer,address', source, '-o',
                             directory / 'probe'], capture_output=True)
    return None if result.returncode == 0 else f"this {COMPILER} has no libFuzzer"


def meson():
    return os.environ.get('MESONINTROSPECT', 'meson introspect').rpartition(' ')[0].split()


def build(root, directory, names=TARGETS):
    """In a folder that may be there already: only what has changed is compiled."""
    if not (directory / 'build.ninja').exists():
        tap.run([*meson(), 'setup', str(directory), str(root), *SETTINGS],
                env=dict(os.environ, CC=COMPILER))
    make(directory, names)


def make(directory, names):
    jobs = max(1, len(os.sched_getaffinity(0)) // 2)
    result = subprocess.run(
        ['ninja', f'-j{jobs}', '-C', str(directory), *[f'test/fuzz/{name}-fuzz' for name in names]],
        stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


class Run:
    """One run of a program, on folders of which the first is given what is new."""

    def __init__(self, directory, name, folders, findings, *options):
        findings.mkdir(parents=True, exist_ok=True)
        self.program = directory / 'test' / 'fuzz' / f'{name}-fuzz'
        self.findings = findings
        self.before = set(findings.iterdir())
        result = subprocess.run(
            [str(self.program), f'-max_len={LONGEST[name]}', f'-timeout={HANG}',
             f'-artifact_prefix={findings}/', *OPTIONS, *options, *map(str, folders)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors='replace')
        self.status = result.returncode
        self.text = result.stderr

    def number(self, name):
        """Of the statistics at the end."""
        match = re.search(rf'^stat::{name}:\s*(\d+)', self.text, re.M)
        return int(match[1]) if match else 0

    @property
    def coverage(self):
        """Edges and features that all inputs have reached."""
        found = re.findall(r'cov: (\d+) ft: (\d+)', self.text)
        return tuple(map(int, found[-1])) if found else (0, 0)

    def found(self):
        """Files of what ended it."""
        return sorted(set(self.findings.iterdir()) - self.before)

    def report(self):
        """What it has said, and what the input does that ended it."""
        lines = self.text.splitlines()[-SHOWN:]
        for file in self.found():
            result = subprocess.run(
                [str(self.program), str(file)], stdin=subprocess.DEVNULL, capture_output=True,
                text=True, errors='replace', env=dict(os.environ, FUZZ_VERBOSE='1'))
            lines += [f"# what {file} does:", *result.stdout.splitlines()[-SHOWN:]]
            lines.append(f"# again: FUZZ_VERBOSE=1 {self.program} {file}")
        return '\n'.join(lines)


__all__ = ['TARGETS', 'COMPILER', 'SETTINGS', 'Run', 'build', 'make', 'reasonAgainst', 'tap',
           'trees']
