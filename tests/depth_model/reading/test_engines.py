"""Ray tasks over parts: in order, and a killed worker costs its own part only."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from depth_model.reading.engines import ordered


def killed_once(part: int, folder: Path) -> int:
    with open(folder / "log", "a") as log:
        log.write(f"{part}\n")
    if part == 3 and not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if part == 99:
        raise KeyError("a fault of the software")
    return part * part


@pytest.mark.slow
def test_a_killed_worker_of_ray_costs_its_part_only(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert list(ordered(killed_once, range(8), tmp_path, "ray", 2)) == [part * part for part in range(8)]
    tried = sorted(int(line) for line in (tmp_path / "log").read_text().split())
    assert (tmp_path / "killed").exists()
    assert set(tried) == set(range(8))
    assert tried.count(3) == 2
    assert len(tried) <= 10  # a part that shared the killed worker's queue may be tried twice as well
    with pytest.raises(KeyError, match="a fault of the software"):
        list(ordered(killed_once, [99], tmp_path, "ray", 1))
