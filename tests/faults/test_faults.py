"""A moment of some faults; `make test-faults` makes many of all."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.faults.__main__ import alone
from tests.faults.bench import Bench, Cannot, Started
from tests.faults.faults import faults


@pytest.fixture(scope="module")
def known(tmp_path_factory, repository):
    with ExitStack() as stack:
        yield {
            fault.name: fault for fault in faults(Bench(tmp_path_factory.mktemp("faults"), repository, stack), stack)
        }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGKILL of a stage", "disk full", "clock jumps by 10 s to 3 years"])
def test_after_a_fault_the_same_command_ends_in_the_same_bytes(known, name):
    try:
        while (moment := known[name].strike()) is None:
            continue
    except Cannot as reason:
        pytest.skip(str(reason))
    assert moment.well, moment


def test_two_at_once_in_one_folder_are_refused(tmp_path):
    with ExitStack() as stack:
        alone(tmp_path, stack)
        with pytest.raises(SystemExit, match="other faults are being made here"):
            alone(tmp_path, stack)
    with ExitStack() as stack:
        alone(tmp_path, stack)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            "teacher: 5 of 20 steps (25 %)\rerror: models/teacher: No space left on device\n",
            "error: models/teacher: No space",
        ),
        ("", "nothing (exit status N)"),
        ("Running stage 'a':\nERROR: failed to reproduce 'a'\n", "ERROR: failed to reproduce 'a'"),
    ],
)
def test_the_line_that_one_sees(tmp_path, said, line):
    started = Started(["sh", "-c", 'printf "%s" "$1"; exit 1', "sh", said], tmp_path, {}, tmp_path / "log")
    started.process.wait()
    assert started.line().startswith(line)
