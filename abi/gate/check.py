#!/usr/bin/env python3
"""
Holds today's build to every frozen release of its soname: TAP, a case for each check and release.

usage: check.py OPTIONS [CHECK...]

A CHECK may have a part, «programs:NAME,NAME» or «programs:all»: see checks/programs.py.
"""

import importlib
import sys

import place
import checks

import tap  # after place, which knows where it is


def main():
    parser = place.parser(__doc__)
    parser.add_argument('checks', nargs='*', metavar='CHECK', help=f"of {', '.join(checks.NAMES)}; default: all; or of "
                        f"{', '.join(checks.LONG)}")
    parser.add_argument('--first', action='store_true', help="look no further than the first case that fails")
    options = parser.parse_args()
    here = place.Place(options)
    cases = []
    for argument in options.checks or checks.NAMES:
        name, _, part = argument.partition(':')
        if name not in checks.NAMES + checks.LONG:
            sys.exit(f"no check {name}")
        cases += importlib.import_module('checks.' + name).cases(here, *([part] if part else []))
    if not cases:
        cases = [('nothing', nothing)]
    tap.runCases(untilFailure(cases) if options.first else cases)


def untilFailure(cases):
    """These, of which those behind the first that fails are skipped."""
    failed = []

    def once(name, call):
        if failed:
            raise tap.Skip(f"{failed[0]} has failed")
        try:
            call()
        except tap.Skip:
            raise
        except Exception:
            failed.append(name)
            raise
    return [(name, lambda name=name, call=call: once(name, call)) for name, call in cases]


def nothing():
    raise AssertionError("no release of this soname is frozen: ninja -C build abi-record")


main()
