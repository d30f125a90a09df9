#!/usr/bin/env python3
"""
The ladder of masks: it has every feature newer than kernel 6.1, or with FASTSOCKET_ENGINE=epoll
those that the engine has; and a ring under a mask lacks what the mask names and nothing else.

usage: masks-test.py SOURCE_ROOT FEATURES_PROGRAM NAME=MASK...
"""

import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'house'))
import tap

root, program = pathlib.Path(sys.argv[1]), sys.argv[2]
rows = {name: int(mask, 0) for name, mask in (word.split('=') for word in sys.argv[3:])}
OLDEST = (6, 1)


def declared():
    """{name: (bit's value, kernel)} of the public header."""
    text = (root / 'include' / 'Ring' / 'FastRing.h').read_text()
    found = re.findall(
        r'#define FASTRING_FEATURE_(\w+)\s+\(UINT64_C\(1\) << (\d+)\)\s*'
        r'/\* (?:kernel )?(\d+)\.(\d+)',
                       text)
    assert len(found) == len(re.findall(r'#define FASTRING_FEATURE_', text)), \
        "a feature without a kernel"
    return {name: (1 << int(bit), (int(major), int(minor))) for name, bit, major, minor in found}


def features(mask):
    return int(tap.run([program], env=dict(os.environ, FASTSOCKET_FEATURES_OFF=hex(mask))), 0)


def complete():
    newer = {name.lower().replace('_', '-'): bit
             for name, (bit, kernel) in declared().items() if kernel > OLDEST}
    mask = sum(newer.values())
    if os.environ.get('FASTSOCKET_ENGINE') == 'epoll':
        whole = features(0)
        newer = {name: bit for name, bit in newer.items() if bit & whole}
    newer['all'] = mask
    assert rows == newer, f"the ladder has {rows}, there are {newer}"


def takes(mask):
    whole = features(0)
    assert features(mask) == whole & ~mask, f"{features(mask):#x} of {whole:#x}"


tap.runCases([('masks/complete', complete)] +
             [(f'masks/{name}', lambda mask=mask: takes(mask)) for name, mask in rows.items()])
