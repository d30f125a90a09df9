#!/usr/bin/env python3
"""
A refused io_uring, as containers and some build machines have it: is it so here, and how to make it
so.

usage: refusal.py               ends with 77 and tells the reason where no ring on io_uring is to be
                                had
       refusal.py [--tap] [WAY] COMMAND...
                                runs a command that gets none, nor do its children; WAY is
           setup, enter, register  one call of io_uring's three is refused; «setup» if none is named
           all                     each of them, as by the default profiles of Docker and containerd
           memlock                 no memory may be locked, which some kernels charge rings to
           switch                  kernel.io_uring_disabled is 2 while the command runs, as an
                                   ordinary user: of the whole machine, so not beside other tests
       With --tap the command's results are TAP, and a way that can't be had here is a skip.
"""

import ctypes
import errno
import os
import pathlib
import resource
import shutil
import signal
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
PR_CAPBSET_DROP, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 24, 22, 38, 2
SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW = 0x00050000, 0x7fff0000
CALLS = {'setup': 425, 'enter': 426, 'register': 427}  # on every architecture of Debian but alpha
ALL = 'all'
UNREGISTER_EVENTFD = 5
CAP_IPC_LOCK = 14
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
SWITCH = pathlib.Path('/proc/sys/kernel/io_uring_disabled')
NOBODY = 65534


def reason():
    """
    Why no ring on io_uring is to be had here, or None. The kernel is asked, not the library: a
    fault of ours must not pass for a refusal.
    """
    if os.environ.get('FASTSOCKET_ENGINE') == 'epoll':
        return "FASTSOCKET_ENGINE=epoll asks for the other engine"
    refused = (errno.EPERM, errno.ENOSYS, errno.EACCES)
    handle = libc.syscall(CALLS['setup'], 1, ctypes.create_string_buffer(120))
    if handle < 0:
        error = ctypes.get_errno()
        return f"io_uring is refused here: {os.strerror(error)}" if error in refused else None
    try:
        # Of no use, both, and the second fails: but not with these.
        for name, arguments in (('enter', (0, 0, 0, None, 0)),
                                ('register', (UNREGISTER_EVENTFD, None, 0))):
            if libc.syscall(CALLS[name], handle, *arguments) < 0 and ctypes.get_errno() in refused:
                return f"io_uring_{name} is refused here: {os.strerror(ctypes.get_errno())}"
    finally:
        os.close(handle)
    return None


def impose(error, call='setup'):
    """Has one of io_uring's calls, or ALL, fail in this process and those it becomes; OSError where
    that's not allowed."""
    rules = [(LOAD, 0, 0, 0)]  # the system call's number
    for number in CALLS.values() if call == ALL else [CALLS[call]]:
        rules += [(JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, SECCOMP_RET_ERRNO | error)]
    rules.append((RETURN, 0, 0, SECCOMP_RET_ALLOW))
    code = ctypes.create_string_buffer(b''.join(struct.pack('=HBBI', *rule) for rule in rules))
    program = struct.pack('@HP', len(rules), ctypes.addressof(code))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 or \
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(program), 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "prctl")


def imposeMemlock():
    """Nothing may be locked by what this process becomes, root's programs included."""
    if os.geteuid() == 0 and libc.prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "prctl")
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))


def imposeSwitch(command):
    """On for the whole machine until the command ends, which a child of ours becomes, as an
    ordinary user; this process takes it back."""
    before = SWITCH.read_text()
    SWITCH.write_text('2\n')
    ordinary = os.fork()
    if ordinary == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        if not os.access(command, os.X_OK):
            raise PermissionError(errno.EACCES, "an ordinary user can't run it", command)
        return
    try:
        # Whoever ends us early ends the command, and the switch is taken back all the same.
        signal.signal(signal.SIGTERM, lambda *_: os.kill(ordinary, signal.SIGTERM))
        status = os.waitstatus_to_exitcode(os.waitpid(ordinary, 0)[1])
    finally:
        SWITCH.write_text(before)
    sys.exit(status if status >= 0 else 128 - status)


def imposeWay(way, command):
    """OSError where it can't be had for this command."""
    if way == 'switch':
        imposeSwitch(shutil.which(command) or command)
    elif way == 'memlock':
        imposeMemlock()
    else:
        impose(errno.EPERM, way)


def main():
    command = sys.argv[1:]
    if not command:
        print(reason() or "io_uring works")
        sys.exit(77 if reason() else 0)
    results = command[0] == '--tap' and command.pop(0)
    ways = [*CALLS, ALL, 'memlock', 'switch']
    way = command.pop(0) if command[0] in ways and len(command) > 1 else 'setup'
    try:
        imposeWay(way, command[0])
    except OSError as error:
        if not results:
            raise
        print(f"1..0 # SKIP «{way}» can't be had here: {error}")
        return
    os.execvp(command[0], command)


if __name__ == '__main__':
    main()
