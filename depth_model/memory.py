"""How this process keeps memory that torch has freed on the CPU."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Parameters of `mallopt`, from glibc's malloc.h."""

TOP_PAD = 64 << 20
"""Bytes that are fetched from the kernel beyond what is needed, each time."""


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for the next map instead of giving it back; return whether it does.

    By default every map above some megabytes is fetched from the kernel anew and given back after use, and the kernel
    clears it page by page when it is first written: a quarter of a training step in bfloat16
    (docs/measurements/speed.md). Results do not change. The price is that the process keeps the most it ever used. Does
    nothing, and returns False, under another C library or operating system.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # No mmap for large blocks (a threshold would be limited to 32 MB before glibc 2.35), no trimming (-1: never).
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1), mallopt(M_TOP_PAD, TOP_PAD)])
