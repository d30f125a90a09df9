"""What a run was: when, of which commit, where, and how much of it there was."""

import datetime
import os
import pathlib
import platform
import subprocess

import contest


def commit():
    """Of the checkout that this file is in; empty where there is none."""
    folder = pathlib.Path(__file__).resolve().parent

    def git(*words):
        try:
            result = subprocess.run(['git', '-C', str(folder), *words], stdin=subprocess.DEVNULL,
                                    capture_output=True, text=True, check=False)
        except OSError:
            return ''
        return result.stdout.strip() if result.returncode == 0 else ''
    name = git('rev-parse', '--short', 'HEAD')
    changed = git('status', '--porcelain', '--untracked-files=no')
    return f"{name} with changes" if name and changed else name


def processor():
    """The model's name, and its numbers: in a virtual machine the name alone may say little."""
    fields = {}
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
        name, _, value = line.partition(':')
        fields.setdefault(name.strip(), value.strip())
    model = fields.get('model name') or fields.get('Model') or platform.machine()
    numbers = ', '.join(f"{word} {fields[name]}" for name, word in (
        ('cpu family', 'family'), ('model', 'model'), ('stepping', 'stepping')) if name in fields)
    return f"{model} ({numbers})" if numbers else model


def turns():
    """How load and server share a processor in the rows on one core."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    contest.takeTurns()
    taken = os.sched_getscheduler(0)
    os.sched_setscheduler(0, policy, parameters)
    return 'SCHED_FIFO' if taken == os.SCHED_FIFO else 'SCHED_BATCH'


def now(rounds, seconds):
    return {
        'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
        'commit': commit(), 'kernel': platform.release(), 'processor': processor(),
        'processors': len(os.sched_getaffinity(0)), 'turns': turns(), 'rounds': rounds,
        'seconds': seconds,
    }


def lines(results):
    """(what the run was, where); results may be of before commits and turns were written down."""
    rounds = results['rounds']
    turns = f", one core: {results['turns']}" if 'turns' in results else ''
    return (f"{results['date']} · commit {results.get('commit') or 'unknown'} · "
            f"{rounds} {'round' if rounds == 1 else 'rounds'} of {results['seconds']:g} s",
            f"Linux {results['kernel']} · {results['processor']}, {results['processors']} "
            f"processors, loopback{turns}")


def inWords(results):
    return ' · '.join(lines(results))
