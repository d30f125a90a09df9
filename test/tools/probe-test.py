#!/usr/bin/env python3
"""
What fastsocket-probe says is true: its text and its JSON agree with each other, with the features
of a ring and with the system; a refusal of io_uring is told with its likely cause and by the exit
status.

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

def start(*arguments, environment=None, before=None, prefix=()):
    return subprocess.run([*prefix, probe, *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120,
                          env=dict(os.environ, **(environment or {})), preexec_fn=before)


def both(status, **options):
    """The text and the parsed JSON of the same situation."""
    text, data = start(**options), start('--json', **options)
    for result in (text, data):
        assert result.returncode == status, \
            f"exit status {result.returncode}\n{result.stdout}{result.stderr}"
        assert result.stderr == '', result.stderr
    return text.stdout, json.loads(data.stdout)


def ringFeatures(environment=None):
    return int(tap.run([featuresProgram], env=dict(os.environ, **(environment or {}))), 0)


def checkFeatures(text, data, features):
    """JSON says what the ring has, the text says what JSON says."""
    shown = re.findall(r'^  (used|unneeded|absent) +([A-Z_]+) +(\d+\.\d+) +(.+)$', text, re.M)
    assert [(state, name, kernel) for state, name, kernel, _ in shown] == \
        [(row['state'], row['name'], row['kernel']) for row in data['features']], text
    for (state, _, _, rest), row in zip(shown, data['features']):
        assert (state == 'used') == bool(features >> row['bit'] & 1), \
            f"{row['name']}: {features:#x}"
        assert rest == {
            'used': row['gain'],
            'absent': 'instead: ' + row['instead']
        }.get(state, rest), rest


def limitsOf(data):
    return {row['name']: row for row in data['limits']}


def checkLimits(text, data):
    for name, row in limitsOf(data).items():
        assert f"  {name} = {row['value']}\n      {row['meaning']}\n" in text, name
        assert (row['advice'] is None) or f"      What to do: {row['advice']}\n" in text, name


def works():
    text, data = both(0)
    assert data['works'] is True and data['error'] is None and data['reason'] is None, data
    assert text.startswith(f'libfastsocket {version} on Linux {os.uname().release}, ') and \
        '\nio_uring works.\n' in text, text
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
    known = [(row['name'], str(row['bit']), row['kernel']) for row in both(0)[1]['features']]
    assert sorted(known) == sorted(declared), f"{known}\n{declared}"


def masked():
    """What is masked off shows as absent, with what is used instead."""
    features = {'FASTSOCKET_FEATURES_OFF': '0xffffffff'}
    text, data = both(0, environment=features)
    assert ringFeatures(features) == 0
    assert {row['state'] for row in data['features']} == {'absent'}, data
    assert data['masked'] == '0xffffffff' and 'FASTSOCKET_FEATURES_OFF=0xffffffff' in text, data
    checkFeatures(text, data, 0)


def systemLimits():
    limits = limitsOf(both(0)[1])
    setting = pathlib.Path('/proc/sys/kernel/io_uring_disabled')
    expected = int(setting.read_text()) if setting.exists() else 'absent'
    assert limits['kernel.io_uring_disabled']['value'] == expected, limits
    for name, number in (('memlock', resource.RLIMIT_MEMLOCK), ('nofile', resource.RLIMIT_NOFILE)):
        soft = resource.getrlimit(number)[0]
        assert limits[name]['value'] == ('unlimited' if soft == resource.RLIM_INFINITY else soft), \
            limits
    mode = re.search(r'^Seccomp:\s*(\d)',
                     pathlib.Path('/proc/self/status').read_text(), re.M).group(1)
    assert limits['seccomp']['value'] == ('none' if mode == '0' else 'filter'), limits


def lowLimit():
    """A low limit is told as one, with what to do."""
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE,
                           (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    text, data = both(0, before=lower)
    row = limitsOf(data)['nofile']
    assert row['value'] == 64 and row['good'] is False and 'ulimit -n' in row['advice'], row
    checkLimits(text, data)


def noDescriptor():
    """Too few descriptors for a ring is no refusal by the system, and told apart."""
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
    text, data = both(1, before=lower)
    assert data['error'] == 'EMFILE' and 'nofile' in data['advice'], data
    assert 'EMFILE' in text, text


def refused(name, call='setup'):
    """Whichever of the three calls it is, and whatever it answers: the errno is told, and the
    filter."""
    number = getattr(errno, name)
    try:
        text, data = both(1, before=lambda: refusal.impose(number, call))
    except subprocess.SubprocessError as error:  # of preexec_fn
        raise tap.Skip("no seccomp filter can be set here") from error
    assert data['works'] is False and data['error'] == name, data
    assert {row['state'] for row in data['features']} == {'unknown'}, data
    assert 'seccomp' in data['reason'] and 'io_uring_setup' in data['advice'], data
    assert call == 'setup' or f'but io_uring_{call} is refused' in data['reason'], data
    assert limitsOf(data)['seccomp']['value'] == 'filter', data
    assert f"\nio_uring is refused: {name} (" in text, text
    assert f"\n  Why: {data['reason']}\n  What to do: {data['advice']}\n" in text, text
    assert not re.search(r'^  (used|absent) ', text, re.M), text
    checkLimits(text, data)


def skips():
    """What asks whether io_uring is refused here sees each of the three calls."""
    script = pathlib.Path(refusal.__file__)
    for call in refusal.CALLS:
        result = subprocess.run([sys.executable, script, call, sys.executable, script],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=120)
        if 'prctl' in result.stderr:
            raise tap.Skip("no seccomp filter can be set here")
        assert result.returncode == 77 and 'refused here' in result.stdout, (call, result)


def memlock():
    """Whether rings count is found by trying: said so just where one can't be had without."""
    def lower():
        resource.setrlimit(resource.RLIMIT_MEMLOCK,
                           (1 << 22, resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]))

    drop = ['setpriv', '--inh-caps', '-ipc_lock', '--bounding-set',
            '-ipc_lock']  # with it nothing is counted
    prefix = drop if os.geteuid() == 0 else []
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


tap.needRingForAll()
tap.runCases([
    ('probe/works', works),
    ('probe/everyFeature', everyFeature),
    ('probe/masked', masked),
    ('probe/systemLimits', systemLimits),
    ('probe/lowLimit', lowLimit),
    ('probe/noDescriptor', noDescriptor),
    ('probe/refused-EPERM', lambda: refused('EPERM')),
    ('probe/refused-ENOSYS', lambda: refused('ENOSYS')),
    ('probe/refused-enter-EPERM', lambda: refused('EPERM', 'enter')),
    ('probe/refused-enter-ENOSYS', lambda: refused('ENOSYS', 'enter')),
    ('probe/refused-register-EPERM', lambda: refused('EPERM', 'register')),
    ('probe/refused-register-ENOSYS', lambda: refused('ENOSYS', 'register')),
    ('probe/skips', skips),
    ('probe/memlock', memlock),
    ('probe/disabled-1', lambda: disabled(1, 'io_uring_group')),
    ('probe/disabled-2', lambda: disabled(2, 'sysctl')),
    ('probe/options', options),
    ('probe/fullDisk', fullDisk),
])
