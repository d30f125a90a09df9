#!/usr/bin/env python3
"""
A refused io_uring, as containers and some build machines have it: is it so here, and how to make it so.

usage: refusal.py               ends with 77 and tells the reason where no ring is to be had
       refusal.py COMMAND...    runs a command that gets no ring, nor do its children
"""

import ctypes
import errno
import os
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW = 0x00050000, 0x7fff0000
IO_URING_SETUP = 425  # on every architecture of Debian but alpha
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06


def reason():
    """
    Why this system makes no ring, or None. The kernel is asked, not the library: a fault of ours must
    not pass for a refusal.
    """
    handle = libc.syscall(IO_URING_SETUP, 1, ctypes.create_string_buffer(120))
    if handle >= 0:
        os.close(handle)
        return None
    error = ctypes.get_errno()
    refused = error in (errno.EPERM, errno.ENOSYS, errno.EACCES)
    return f"io_uring is refused here: {os.strerror(error)}" if refused else None


def impose(error):
    """Has io_uring_setup fail in this process and those it becomes; OSError where that's not allowed."""
    rules = [(LOAD, 0, 0, 0),  # the system call's number
             (JUMP_IF_EQUAL, 0, 1, IO_URING_SETUP),
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
    impose(errno.EPERM)
    os.execvp(sys.argv[1], sys.argv[1:])
