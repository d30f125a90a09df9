#!/usr/bin/env python3
"""
A refused io_uring, as containers and some build machines have it: is it so here, and how to make it
so.

usage: refusal.py               ends with 77 and tells the reason where no ring is to be had
       refusal.py [setup|enter|register] COMMAND...
                                runs a command that gets no ring, nor do its children: one call of
                                io_uring's three is refused, the set-up if none is named
"""

import ctypes
import errno
import os
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW = 0x00050000, 0x7fff0000
CALLS = {'setup': 425, 'enter': 426, 'register': 427}  # on every architecture of Debian but alpha
UNREGISTER_EVENTFD = 5
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06


def reason():
    """
    Why this system makes no ring, or None. The kernel is asked, not the library: a fault of ours
    must not pass for a refusal.
    """
    refused = (errno.EPERM, errno.ENOSYS, errno.EACCES)
    handle = libc.syscall(CALLS['setup'], 1, ctypes.create_string_buffer(120))
    if handle < 0:
        error = ctypes.get_errno()
        return f"io_uring is refused here: {os.strerror(error)}" if error in refused else None
    try:
        # Of no use, both, and the second fails: but not with these.
        for name, arguments in (('enter', (0, 0, 0, None, 0)), ('register', (UNREGISTER_EVENTFD,
                                                                             None, 0))):
            if libc.syscall(CALLS[name], handle, *arguments) < 0 and ctypes.get_errno() in refused:
                return f"io_uring_{name} is refused here: {os.strerror(ctypes.get_errno())}"
    finally:
        os.close(handle)
    return None


def impose(error, call='setup'):
    """Has one of io_uring's calls fail in this process and those it becomes; OSError where that's
    not allowed."""
    rules = [(LOAD, 0, 0, 0),  # the system call's number
             (JUMP_IF_EQUAL, 0, 1, CALLS[call]),
             (RETURN, 0, 0, SECCOMP_RET_ERRNO | error),
             (RETURN, 0, 0, SECCOMP_RET_ALLOW)]
    code = ctypes.create_string_buffer(b''.join(struct.pack('=HBBI', *rule) for rule in rules))
    program = struct.pack('@HP', len(rules), ctypes.addressof(code))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 or \
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(program), 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == '__main__':
    if len(sys.argv) == 1:
        print(reason() or "io_uring works")
        sys.exit(77 if reason() else 0)
    command = sys.argv[1:]
    named = command.pop(0) if command[0] in CALLS and len(command) > 1 else 'setup'
    impose(errno.EPERM, named)
    os.execvp(command[0], command)
