"""
Instructions by callgrind: what a program's parts cost in the objects of one library, parts as they
are divided by calls of mark() in the program.
"""

import functools
import pathlib
import re
import subprocess
import tempfile

LIMIT = 300  # seconds; bounds a hang only


@functools.cache
def reasonAgainst(valgrind):
    """Why callgrind can't be used here, or None."""
    if not valgrind:
        return "valgrind is missing"
    result = subprocess.run([valgrind, '-q', '--tool=none', '/bin/true'],
                            stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
    return None if result.returncode == 0 else "valgrind runs no program here"


def costIn(path, library):
    """Sum of the costs of a dump's lines in the library, without those of what they call."""
    names, inside, called, sum = {}, False, False, 0
    for line in path.read_text().splitlines():
        if match := re.match(r'(c?ob)=(\(\d+\))(?: (.*))?$', line):
            kind, number, name = match.groups()
            names.setdefault(number, name)
            if kind == 'ob':
                inside = names[number] == str(library)
        elif line.startswith('calls='):
            called = True  # the next line has the cost of the call, which is counted there
        elif re.match(r'[\d+*-]', line):
            if inside and not called:
                sum += int(line.split()[1])
            called = False
    return sum


def run(valgrind, library, command, environment=None):
    """(instructions of each part, what the program printed)"""
    with tempfile.TemporaryDirectory(prefix='fastsocket-counts-') as directory:
        result = subprocess.run([valgrind, '--tool=callgrind', '--dump-before=mark',
                                 f'--callgrind-out-file={directory}/out', *command],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                env=environment, timeout=LIMIT)
        assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stderr}"
        parts = sorted(pathlib.Path(directory).glob('out.*'), key=lambda path: int(path.suffix[1:]))
        return [costIn(path, library) for path in parts], result.stdout
