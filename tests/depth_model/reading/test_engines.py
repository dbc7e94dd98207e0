"""Ray tasks over parts: in order, and a killed worker costs its own part only."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from depth_model.reading.engines import _brought, _on_node, ordered


def killed_once(part: int, folder: Path) -> int:
    with open(folder / "log", "a") as log:
        log.write(f"{part}\n")
    if part == 3 and not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if part == 99:
        raise KeyError("a fault of the software")
    return part * part


def stem(part: int, folder: Path) -> Path:
    return folder / f"shard-{part}"


def written(part: int, folder: Path) -> int:
    for ending in ("parquet", "quarantine.parquet", "tar"):
        folder.joinpath(f"shard-{part}.{ending}").write_text(f"{ending} of {part}")
    return part


def test_a_node_sends_what_it_has_made_unless_it_has_the_drivers_disk(tmp_path):
    (tmp_path / "shard-11.tar").touch()
    result, found = _on_node(written, 1, tmp_path, stem, ".here")
    assert result == 1
    assert {path.name: data for path, data in found.items()} == {
        f"shard-1.{ending}": f"{ending} of 1".encode() for ending in ("parquet", "quarantine.parquet", "tar")
    }
    assert list(found)[-1].name == "shard-1.parquet"  # it says that the others are there
    for path in found:
        path.unlink()
    assert _brought(result, found) == 1
    assert all(path.read_bytes() == data for path, data in found.items())
    (tmp_path / ".here").touch()
    assert _on_node(written, 1, tmp_path, stem, ".here") == (1, {})
    assert _on_node(written, 1, tmp_path, None, ".gone") == (1, {})


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
