"""Signal stack: where the kernel runs the handlers of a thread's signals, kept from a library that frees it.

OpenVINO (2026.4), whose arithmetic is oneTBB's, gives the calling thread an alternate signal stack when it loads its
plugin or compiles a model, and puts back the one before when that goes. Where two models go in the order in which they
came, that is one which is no longer there. Python has its handlers run on such a stack, so that the next SIGTERM or
Ctrl-C ended the process with SIGSEGV instead of being heard. Put back at once, no other is ever come back to.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from functools import cache


class _Stack(ctypes.Structure):
    """`stack_t` of <signal.h>, as sigaltstack(2) takes it."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


@contextlib.contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Leave this thread the signal stack that it had, whatever is called in between; costs two system calls."""
    if not sys.platform.startswith("linux"):
        yield
        return
    stack = _Stack()
    _libc().sigaltstack(None, ctypes.byref(stack))
    try:
        yield
    finally:
        _libc().sigaltstack(ctypes.byref(stack), None)
