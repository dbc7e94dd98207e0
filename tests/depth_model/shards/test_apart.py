"""Functions in the helper process: what comes back, and what its death, its slowness and its greed cost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from depth_model.errors import BadInput
from depth_model.shards import decoding
from depth_model.shards.apart import apart


@apart()
def echoed(*given):
    return given


@apart()
def process_id():
    return os.getpid()


@apart()
def dies(number):
    os.kill(os.getpid(), number)


@apart(1)
def sleeps():
    time.sleep(60)


@apart()
def greedy():
    return len(bytes(50 * 10**9))


@apart()
def refuses():
    raise BadInput("the reason")


@apart()
def missing():
    open("/nowhere/at/all")


@apart()
def faulty():
    return {}["key"]


def test_values_come_back_as_they_were(tmp_path):
    array = np.arange(12, dtype=">f4").reshape(3, 4)[:, ::2]
    got = echoed(b"\0bytes", None, True, 1.5, float("nan"), "caf\udce9", [array, np.zeros((0, 3), bool)], tmp_path)
    assert got[0] == b"\0bytes" and got[1] is None and got[2] is True and got[3] == 1.5 and np.isnan(got[4])
    assert got[5] == "caf\udce9" and got[7] == tmp_path
    assert got[6][0].dtype == array.dtype and np.array_equal(got[6][0], array)
    assert got[6][1].shape == (0, 3)
    got[6][0][0, 0] = 7  # may be written to


def test_one_process_serves_all_calls_and_is_not_this_one():
    assert process_id() == process_id() != os.getpid()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE])
def test_a_death_costs_one_call(number):
    with pytest.raises(BadInput, match=f"its decoder died .{number.name}"):
        dies(int(number))
    assert echoed(1) == [1]


def test_who_is_killed_from_outside_is_no_bad_input():
    with pytest.raises(OSError, match="killed twice"):
        dies(int(signal.SIGKILL))
    assert echoed(1) == [1]


def test_what_never_ends_is_ended():
    with pytest.raises(BadInput, match="more than 1 seconds"):
        sleeps()


def test_memory_is_bounded_by_the_budget():
    with pytest.raises(BadInput, match="decode_budget"):
        greedy()


def test_errors_keep_their_kind():
    with pytest.raises(BadInput, match=r"^the reason$"):
        refuses()
    with pytest.raises(FileNotFoundError):
        missing()
    with pytest.raises(RuntimeError, match="KeyError"):
        faulty()


def test_the_budget_is_told():
    with decoding.limited_to(3 * 10**9):
        assert echoed(1) == [1]
    assert decoding.budget() == decoding.DEFAULT_BUDGET


SCRIPT = """
import os, sys
sys.path.insert(0, sys.argv[1])
from depth_model.reading import formats
from depth_model.shards import apart
try:
    formats.exr(b"no exr")
except ValueError:
    print(apart._of_process(os.getpid())._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_the_helper_ends_when_its_parent_is_killed(repository):
    command = [sys.executable, "-c", SCRIPT, str(repository)]
    helper = int(subprocess.run(command, capture_output=True, text=True, timeout=120).stdout)
    for _ in range(100):
        if not os.path.exists(f"/proc/{helper}") or "Z (zombie)" in open(f"/proc/{helper}/status").read():
            return
        time.sleep(0.1)
    raise AssertionError("it still runs")
