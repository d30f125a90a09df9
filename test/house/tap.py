"""What the house tests share: results in TAP, and commands."""

import concurrent.futures
import errno
import os
import subprocess
import sys
import traceback

import refusal


class Skip(Exception):
    """Raised by a case that can't hold here, with the reason."""


def needRing():
    """For a case that is about io_uring itself: all others run on either engine."""
    if refusal.reason():
        raise Skip(refusal.reason())


def needFilter():
    """For a case that has io_uring refused by a filter of system calls."""
    if os.fork() == 0:
        try:
            refusal.impose(errno.EPERM)
        finally:
            os._exit(0 if refusal.reason() else 1)
    if os.wait()[1] != 0:
        raise Skip("no filter of system calls can be set here")


def needRingForAll():
    """For a program all of whose cases are: ends it."""
    if refusal.reason():
        print(f"1..0 # SKIP {refusal.reason()}")
        sys.exit(0)


def resultOf(function):
    """(None or the reason of a skip, None or what the fault was)"""
    try:
        function()
    except Skip as reason:
        return str(reason), None
    except Exception as error:
        told = isinstance(error, AssertionError) and str(error)
        return None, told or traceback.format_exc()
    return None, None


def runCases(cases, together=1):
    """Runs (name, function) pairs, so many at a time: those that wait more than they work, and
    know nothing of each other. A case fails by any other exception than Skip, told on the standard
    error."""
    print("TAP version 13")
    print(f"1..{len(cases)}")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(together) as pool:
        # One at a time they have the main thread, which some need.
        results = (pool.map if together > 1 else map)(resultOf, [case[1] for case in cases])
        for number, ((name, _), (skip, fault)) in enumerate(zip(cases, results), 1):
            if fault is not None:
                failed += 1
                # To the errors, which meson shows; it keeps TAP's own diagnostics to its log.
                print(f"{name}:\n{fault}", file=sys.stderr)
                print(f"not ok {number} - {name}")
            else:
                print(f"ok {number} - {name}" + (f" # SKIP {skip}" if skip is not None else ''))
            sys.stdout.flush()
    sys.exit(1 if failed else 0)


def run(command, **options):
    """Runs a command, given as a list, and returns its standard output; fails with its errors."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=300, **options)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}\nexit status {result.returncode}\n"
                             f"{result.stdout}{result.stderr}")
    return result.stdout
