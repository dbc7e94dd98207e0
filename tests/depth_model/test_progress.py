"""In a log, progress is lines that can be read."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import depth_model.progress as progress
progress._SECONDS_PER_LINE = {seconds}
with progress.progress_bar("train_teacher", 40, "steps", 10) as bar:
    for _ in range(30):
        bar.set_postfix(loss="0.5000", refresh=False)
        bar.update()
"""


def lines(seconds, repository):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(seconds=seconds)],
        cwd=repository, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.mark.parametrize("seconds, expected", [(10.0, 2), (0.0, 31)])
def test_a_log_gets_a_line_every_few_seconds(repository, seconds, expected):
    found = lines(seconds, repository)
    assert expected <= len(found) <= expected + 1
    assert found[-1].startswith("train_teacher: 40 of 40 steps (100 %)")
    assert "00:00 left, loss=0.5000" in found[-1]
    assert not any("\r" in line for line in found)
