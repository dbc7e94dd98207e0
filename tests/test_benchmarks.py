"""Every benchmark imports and explains itself; what it measures is read by a person."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
SHARED = ("measuring.py", "gpu_measuring.py")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_answers_help(path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    if path.name in SHARED:
        assert runpy.run_path(str(path))["__doc__"]
        return
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code == 0
    assert f"python benchmarks/{path.name}" in capsys.readouterr().out


@pytest.mark.slow
def test_the_measurements_of_a_gpu_run_dry(tmp_path, repository):
    """Every part at the smallest sizes on the CPU: what is left to fail on a card is the card's own."""
    words = [sys.executable, "benchmarks/gpu.py", "--dry", "--out", str(tmp_path)]
    ended = subprocess.run(words, cwd=repository, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    parts = ["peaks", "tests", "predictions", "training steps", "labeling", "feed", "memory", "compiled training steps"]
    assert list(found) == ["card", *parts]
    assert found["tests"][0]["ended with"] == 0
    figures = yaml.safe_load((tmp_path / "plan.yaml").read_text())["card"]
    assert set(figures["milliseconds"]) == set(figures["training_factor"]) == set(figures["memory"]) == {"tiny"}
    assert len((tmp_path / "resumed.csv").read_text().splitlines()) > 1
