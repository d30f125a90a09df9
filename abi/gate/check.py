#!/usr/bin/env python3
"""
Holds today's build to every frozen release of its soname: TAP, a case for each check and release.

usage: check.py OPTIONS [CHECK...]
"""

import importlib
import sys

import place
import checks

import tap  # after place, which knows where it is


def main():
    parser = place.parser(__doc__)
    parser.add_argument('checks', nargs='*', metavar='CHECK', help=f"of {', '.join(checks.NAMES)}; default: all")
    options = parser.parse_args()
    here = place.Place(options)
    cases = []
    for name in options.checks or checks.NAMES:
        if name not in checks.NAMES:
            sys.exit(f"no check {name}")
        cases += importlib.import_module('checks.' + name).cases(here)
    if not cases:
        cases = [('nothing', nothing)]
    tap.runCases(cases)


def nothing():
    raise AssertionError("no release of this soname is frozen: ninja -C build abi-record")


main()
