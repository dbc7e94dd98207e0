"""Freed memory stays with the process that asks for it, seen by the page faults the kernel counts."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from depth_model.memory import keep_freed_memory

PROGRAM = """
import resource, sys
from depth_model.memory import keep_freed_memory
if "keep" in sys.argv:
    assert keep_freed_memory()
def use():
    b"x" * 48_000_000
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments: str) -> int:
    run = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_maps_of_one_size_are_fetched_from_the_kernel_once():
    # 48 MB are above glibc's largest threshold of its own, so by default each is mapped anew.
    assert faults("keep") < 100 < faults()


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
