#!/usr/bin/env python3
"""
What fastsocket-probe says is true: its text and its JSON agree with each other, with the engine and
the features of a ring and with the system; a refusal of io_uring is told with its likely cause and
by the exit status. All of it holds where io_uring is refused from the beginning, too.

io_uring is refused by a seccomp filter which the probe's process puts on itself before it begins:
that needs no privilege and is what happens in containers. The switch kernel.io_uring_disabled
belongs to the whole machine, so the probe is shown another value of it, in a mount namespace of its
own, and the filter does the rest.

usage: probe-test.py SOURCE_ROOT PROBE FEATURES_PROGRAM VERSION
"""

import errno
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'house'))
import refusal
import tap

root, probe, featuresProgram, version = pathlib.Path(sys.argv[1]), *sys.argv[2:5]
os.environ.pop('FASTSOCKET_ENGINE', None)
refusedHere = refusal.reason()
HERE = 1 if refusedHere else 0  # the exit status where nothing is changed
ENGINE = 'epoll' if refusedHere else 'io_uring'


def start(*arguments, environment=None, before=None, prefix=()):
    return subprocess.run([*prefix, probe, *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True,
                          timeout=120, env=dict(os.environ, **(environment or {})),
                          preexec_fn=before)


def both(status, **options):
    """The text and the parsed JSON of the same situation."""
    text, data = start(**options), start('--json', **options)
    for result in (text, data):
        assert result.returncode == status, \
            f"exit status {result.returncode}\n{result.stdout}{result.stderr}"
        assert result.stderr == '', result.stderr
    return text.stdout, json.loads(data.stdout)


def ringFeatures(environment=None, before=None):
    return int(tap.run([featuresProgram], env=dict(os.environ, **(environment or {})),
                       preexec_fn=before), 0)


def checkEngine(text, data, engine, choice):
    assert data['engine'] == engine, data
    assert re.fullmatch(choice, data['choice']), data
    first = f"Programs run on {engine}" if engine else "Programs get no ring"
    assert f"\n\n{first}: {data['choice']}.\n\n" in text, text


def checkFeatures(text, data, features):
    """JSON says what the ring has, the text says what JSON says."""
    heading = 'Features of epoll, ' if data['engine'] == 'epoll' else 'Features, '
    assert f'\n\n{heading}' in text, text
    shown = re.findall(r'^  (used|unneeded|absent) +([A-Z_]+) +(\d+\.\d+) +(.+)$', text, re.M)
    assert [(state, name, kernel) for state, name, kernel, _ in shown] == \
        [(row['state'], row['name'], row['kernel']) for row in data['features']], text
    for (state, _, _, rest), row in zip(shown, data['features']):
        assert (state == 'used') == bool(features >> row['bit'] & 1), \
            f"{row['name']}: {features:#x}"
        assert rest == {'used': row['gain'],
                        'absent': 'instead: ' + row['instead']}.get(state, rest), rest


def limitsOf(data):
    return {row['name']: row for row in data['limits']}


def checkLimits(text, data):
    for name, row in limitsOf(data).items():
        assert f"  {name} = {row['value']}\n      {row['meaning']}\n" in text, name
        assert (row['advice'] is None) or f"      What to do: {row['advice']}\n" in text, name


def checkWorks(text, data):
    assert data['works'] is True and data['error'] is None and data['reason'] is None, data
    assert '\nio_uring works.\n' in text, text


def works():
    text, data = both(HERE)
    if not refusedHere:
        checkWorks(text, data)
    checkEngine(text, data, ENGINE,
                'io_uring is refused' if refusedHere else 'the system allows it')
    assert data['wanted'] is None, data
    assert text.startswith(f'libfastsocket {version} on Linux {os.uname().release}, '), text
    assert (data['version'], data['kernel'], data['machine']) == \
        (version, os.uname().release, os.uname().machine), data
    checkFeatures(text, data, ringFeatures())
    checkLimits(text, data)


def everyFeature():
    """The probe knows each feature that the header declares, with its bit and its kernel."""
    header = (root / 'include' / 'Ring' / 'FastRing.h').read_text()
    declared = re.findall(
        r'#define FASTRING_FEATURE_(\w+)\s+\(UINT64_C\(1\) << (\d+)\)\s*/\* (?:kernel )?(\d+\.\d+)',
                          header)
    known = [(row['name'], str(row['bit']), row['kernel']) for row in both(HERE)[1]['features']]
    assert sorted(known) == sorted(declared), f"{known}\n{declared}"


def masked():
    """What is masked off shows as absent, with what is used instead."""
    features = {'FASTSOCKET_FEATURES_OFF': '0xffffffff'}
    text, data = both(HERE, environment=features)
    assert ringFeatures(features) == 0
    states = {row['state'] for row in data['features']}
    assert states == ({'absent', 'unneeded'} if refusedHere else {'absent'}), data
    assert data['masked'] == '0xffffffff' and 'FASTSOCKET_FEATURES_OFF=0xffffffff' in text, data
    checkFeatures(text, data, 0)


def systemLimits():
    limits = limitsOf(both(HERE)[1])
    setting = pathlib.Path('/proc/sys/kernel/io_uring_disabled')
    expected = int(setting.read_text()) if setting.exists() else 'absent'
    assert limits['kernel.io_uring_disabled']['value'] == expected, limits
    for name, number in (('memlock', resource.RLIMIT_MEMLOCK), ('nofile', resource.RLIMIT_NOFILE)):
        soft = resource.getrlimit(number)[0]
        assert limits[name]['value'] == ('unlimited' if soft == resource.RLIM_INFINITY else soft), \
            limits
    mode = re.search(r'^Seccomp:\s*(\d)', pathlib.Path('/proc/self/status').read_text(),
                     re.M).group(1)
    assert limits['seccomp']['value'] == ('none' if mode == '0' else 'filter'), limits


def lowLimit():
    """A low limit is told as one, with what to do."""
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE,
                           (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    text, data = both(HERE, before=lower)
    row = limitsOf(data)['nofile']
    assert row['value'] == 64 and row['good'] is False and 'ulimit -n' in row['advice'], row
    checkLimits(text, data)


def noDescriptor():
    """Too few descriptors for a ring is no refusal by the system, and told apart."""
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
    text, data = both(1, before=lower)
    assert refusedHere or data['error'] == 'EMFILE' and 'nofile' in data['advice'], data
    checkEngine(text, data, None, r'EMFILE \(.*\)')
    assert {row['state'] for row in data['features']} == {'unknown'}, data
    assert not re.search(r'^  (used|absent) ', text, re.M), text


def wanted():
    """An engine that the environment names is told, and whether io_uring works all the same."""
    environment = {'FASTSOCKET_ENGINE': 'epoll'}
    text, data = both(HERE, environment=environment)
    if not refusedHere:
        checkWorks(text, data)
    checkEngine(text, data, 'epoll', 'FASTSOCKET_ENGINE=epoll asks for it')
    checkFeatures(text, data, ringFeatures(environment))
    assert data['wanted'] == 'epoll', data
    # «unneeded» is what only rings have, and those that can be missed are said to be
    states = {row['name']: row['state'] for row in data['features']}
    assert states['DEFER_TASKRUN'] == 'unneeded' and states['SEND_ZERO_COPY'] == 'absent', states
    assert states['RECEIVE_MULTISHOT'] == 'used', states


def wantedRings():
    environment = {'FASTSOCKET_ENGINE': 'io_uring'}
    text, data = both(HERE, environment=environment)
    choice = f"FASTSOCKET_ENGINE=io_uring asks for {'io_uring alone' if refusedHere else 'it'}"
    checkEngine(text, data, None if refusedHere else 'io_uring', choice)
    assert data['wanted'] == 'io_uring', data


def wantedStrange():
    """Neither an engine's name: a program gets no ring, whatever the system allows."""
    text, data = both(HERE, environment={'FASTSOCKET_ENGINE': 'kqueue'})
    checkEngine(text, data, None, 'FASTSOCKET_ENGINE=kqueue names no engine; .*')
    assert data['wanted'] == 'kqueue' and data['works'] is not bool(refusedHere), data


def wantedNone():
    """An empty word is none."""
    text, data = both(HERE, environment={'FASTSOCKET_ENGINE': ''})
    checkEngine(text, data, ENGINE, '.*')
    assert data['wanted'] is None, data


def refuse(name, call='setup'):
    """What a child does before it begins, so that one of io_uring's calls is refused."""
    number = getattr(errno, name)

    def impose():
        refusal.impose(number, call)

    try:
        subprocess.run(['true'], preexec_fn=impose, timeout=120)
    except subprocess.SubprocessError as error:  # of preexec_fn
        raise tap.Skip("no seccomp filter can be set here") from error
    return impose


def checkRefused(text, data, name):
    assert data['works'] is False, data
    assert data['error'] == name or refusedHere, data
    assert f"\nio_uring is refused: {data['error']} (" in text, text
    assert f"\n  Why: {data['reason']}\n  What to do: {data['advice']}\n" in text, text


def refused(name, call='setup'):
    """Whichever of the three calls it is, and whatever it answers: the errno is told, and the
    filter."""
    before = refuse(name, call)
    text, data = both(1, before=before)
    checkRefused(text, data, name)
    checkEngine(text, data, 'epoll', 'io_uring is refused')
    checkFeatures(text, data, ringFeatures(before=before))
    if not refusedHere:
        assert 'seccomp' in data['reason'] and 'io_uring_setup' in data['advice'], data
        assert call == 'setup' or f'but io_uring_{call} is refused' in data['reason'], data
    assert limitsOf(data)['seccomp']['value'] == 'filter', data
    checkLimits(text, data)


def refusedInvalid():
    """A filter may say that what it refuses is invalid, as a kernel does that lacks it."""
    before = refuse('EINVAL', 'register')
    text, data = both(1, before=before)
    checkRefused(text, data, 'ENOSYS')
    checkEngine(text, data, 'epoll', 'io_uring is refused')
    checkFeatures(text, data, ringFeatures(before=before))


def refusedStrictly():
    """Who asks for io_uring alone gets no ring then, and hears why."""
    text, data = both(1, before=refuse('EPERM'), environment={'FASTSOCKET_ENGINE': 'io_uring'})
    checkRefused(text, data, 'EPERM')
    checkEngine(text, data, None, 'FASTSOCKET_ENGINE=io_uring asks for io_uring alone')
    assert {row['state'] for row in data['features']} == {'unknown'}, data
    assert not re.search(r'^  (used|absent) ', text, re.M), text


def refusedUnasked():
    """Who asks for epoll gets it, and the refusal is told."""
    text, data = both(1, before=refuse('EPERM'), environment={'FASTSOCKET_ENGINE': 'epoll'})
    checkRefused(text, data, 'EPERM')
    checkEngine(text, data, 'epoll', 'FASTSOCKET_ENGINE=epoll asks for it')


def skips():
    """What asks whether io_uring is refused here sees each of the three calls."""
    script = pathlib.Path(refusal.__file__)
    for call in refusal.CALLS:
        result = subprocess.run([sys.executable, script, call, sys.executable, script],
                                stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=120)
        if 'prctl' in result.stderr:
            raise tap.Skip("no seccomp filter can be set here")
        assert result.returncode == 77 and 'refused here' in result.stdout, (call, result)


def lockLess(bytes):
    """What a child does before it begins, and how it is started, so that it may lock so much: with
    CAP_IPC_LOCK nothing is counted."""
    def lower():
        resource.setrlimit(resource.RLIMIT_MEMLOCK,
                           (bytes, resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]))
    drop = ['setpriv', '--inh-caps', '-ipc_lock', '--bounding-set', '-ipc_lock']
    return lower, drop if os.geteuid() == 0 else []


def memlock():
    """Whether rings count is found by trying: said so just where one can't be had without."""
    lower, prefix = lockLess(1 << 22)
    if refusedHere:
        text, data = both(1, before=lower)
        assert 'epoll locks no memory' in limitsOf(data)['memlock']['meaning'], data
        checkLimits(text, data)
        return
    script = 'import ctypes, resource; resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 1 << 22));' \
        'print(ctypes.CDLL(None).syscall(425, 1, ctypes.create_string_buffer(120)))'
    try:
        charged = int(tap.run([*prefix, sys.executable, '-c', script], preexec_fn=lower)) < 0
    except (OSError, AssertionError) as error:
        raise tap.Skip("no other user can be had here") from error
    text, data = both(0, before=lower, prefix=prefix)
    row = limitsOf(data)['memlock']
    assert row['value'] == 1 << 22 and row['good'] is False, row
    assert ('bytes for rings' in row['meaning']) == charged, (charged, row)
    assert ("doesn't charge rings" in row['meaning']) != charged, (charged, row)
    checkLimits(text, data)


def memlockNone():
    """Where rings count and nothing may be locked, programs run on epoll, which locks nothing."""
    lower, prefix = lockLess(0)
    try:
        status = start(before=lower, prefix=prefix).returncode
    except OSError as error:
        raise tap.Skip("no other user can be had here") from error
    text, data = both(status, before=lower, prefix=prefix)
    row = limitsOf(data)['memlock']
    checkEngine(text, data, 'io_uring' if status == 0 else 'epoll', '.*')
    if not refusedHere:
        assert data['error'] == (None if status == 0 else 'ENOMEM'), data
    if data['error'] in (None, 'ENOMEM'):
        assert row['value'] == 0 and row['good'] is False, row
        assert 'ulimit -l' in (data['advice'] or row['advice']), data
    else:
        assert 'epoll locks no memory' in row['meaning'] and row['good'] is True, row
    checkLimits(text, data)


def memlockLittle():
    """Where rings count: whatever there is room for, a ring or also its buffers, the answers go
    together. Other programs of the user count too, so that one answer is asked for each."""
    for pages in (4, 8, 10, 12, 14, 16, 20, 32):
        lower, prefix = lockLess(pages * 4096)
        try:
            result = start('--json', before=lower, prefix=prefix)
        except OSError as error:
            raise tap.Skip("no other user can be had here") from error
        data = json.loads(result.stdout)
        works = data['engine'] == 'io_uring'
        assert (result.returncode, data['works']) == (0 if works else 1, works), (pages, data)
        assert data['choice'] == ('the system allows it' if works else 'io_uring is refused'), data
        assert works or refusedHere or data['error'] == 'ENOMEM', (pages, data)
        assert works or 'ulimit -l' in data['advice'] or refusedHere, (pages, data)


def disabled(value, hint):
    """Refused while the switch is on: the switch is named as the cause, not the filter."""
    switch = pathlib.Path('/proc/sys/kernel/io_uring_disabled')
    with tempfile.NamedTemporaryFile('w', prefix='fastsocket-probe-') as file:
        file.write(f'{value}\n')
        file.flush()
        os.chmod(file.name, 0o644)
        prefix = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c',
                  f'mount --bind "$0" {switch} && exec "$@"', file.name]
        try:
            usable = switch.exists() and subprocess.run(
                [*prefix, 'true'], stdin=subprocess.DEVNULL, capture_output=True,
                preexec_fn=lambda: refusal.impose(errno.EPERM), timeout=120).returncode == 0
        except (OSError, subprocess.SubprocessError):
            usable = False
        if not usable:
            raise tap.Skip("no mount namespace, no filter, or a kernel without the switch")
        text, data = both(1, before=lambda: refusal.impose(errno.EPERM), prefix=prefix)
    row = limitsOf(data)['kernel.io_uring_disabled']
    assert row['value'] == value and row['good'] is False and hint in row['advice'], row
    assert f'kernel.io_uring_disabled is {value}' in data['reason'], data
    assert data['advice'] == row['advice'], data
    checkEngine(text, data, 'epoll', 'io_uring is refused')
    checkLimits(text, data)


def options():
    result = start('--version')
    assert (result.returncode, result.stdout) == (0, f'fastsocket-probe {version}\n'), result
    result = start('--help')
    assert result.returncode == 0 and result.stdout.startswith('usage: fastsocket-probe'), result
    for wrong in (['--yaml'], ['--json', '--json'], [''], ['file']):
        result = start(*wrong)
        assert result.returncode == 2 and result.stdout == '' and 'usage:' in result.stderr, \
            (wrong, result)


def fullDisk():
    with open('/dev/full', 'w') as full:
        for arguments in ([], ['--json'], ['--help'], ['--version']):
            result = subprocess.run([probe, *arguments], stdout=full, stderr=subprocess.PIPE,
                                    timeout=120)
            assert result.returncode == 2 and result.stderr, (arguments, result)


tap.runCases([
    ('probe/works', works),
    ('probe/everyFeature', everyFeature),
    ('probe/masked', masked),
    ('probe/systemLimits', systemLimits),
    ('probe/lowLimit', lowLimit),
    ('probe/noDescriptor', noDescriptor),
    ('probe/wanted', wanted),
    ('probe/wantedRings', wantedRings),
    ('probe/wantedStrange', wantedStrange),
    ('probe/wantedNone', wantedNone),
    ('probe/refused-EPERM', lambda: refused('EPERM')),
    ('probe/refused-ENOSYS', lambda: refused('ENOSYS')),
    ('probe/refused-enter-EPERM', lambda: refused('EPERM', 'enter')),
    ('probe/refused-enter-ENOSYS', lambda: refused('ENOSYS', 'enter')),
    ('probe/refused-register-EPERM', lambda: refused('EPERM', 'register')),
    ('probe/refused-register-ENOSYS', lambda: refused('ENOSYS', 'register')),
    ('probe/refused-register-EINVAL', refusedInvalid),
    ('probe/refusedStrictly', refusedStrictly),
    ('probe/refusedUnasked', refusedUnasked),
    ('probe/skips', skips),
    ('probe/memlock', memlock),
    ('probe/memlockNone', memlockNone),
    ('probe/memlockLittle', memlockLittle),
    ('probe/disabled-1', lambda: disabled(1, 'io_uring_group')),
    ('probe/disabled-2', lambda: disabled(2, 'sysctl')),
    ('probe/options', options),
    ('probe/fullDisk', fullDisk),
])
