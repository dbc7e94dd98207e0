"""`dvc repro` as `train` starts it, on a graph of two small stages under the real DVC."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from depth_model.errors import UserError
from tasks.workspace import repro
from tests.processes import lives

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def graph(tmp_path, monkeypatch):
    """Makes a project of DVC with the commands of two stages, the second after the first; the current folder."""

    def made(first, second):
        (tmp_path / ".dvc").mkdir()
        (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
        (tmp_path / "dvc.yaml").write_text(
            f"stages:\n  first:\n    cmd: {first}\n    outs: [one]\n"
            f"  second:\n    cmd: {second}\n    deps: [one]\n    outs: [two]\n"
        )
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return made


def test_each_stage_is_counted_and_the_second_time_unchanged(graph):
    graph("echo hello && touch one", "cp one two")
    said = []
    repro.repro(said.append)
    assert re.fullmatch(r"stage 1 of 2: first \(00:0\d so far\)", said[0])
    assert "  hello" in said
    assert any(line.startswith("stage 2 of 2: second (00:") for line in said)
    again = []
    repro.repro(again.append)
    assert again[:2] == ["stage 1 of 2: first (unchanged)", "stage 2 of 2: second (unchanged)"]
    Path("one").unlink()
    Path("dvc.lock").unlink()
    Path(".dvc/cache").rename("other")
    third = []
    repro.repro(third.append)
    assert re.fullmatch(r"stage 1 of 2: first \(00:0\d so far, at most 00:\d\d left\)", third[0])


def test_a_stage_that_fails_is_an_error_of_one_line(graph):
    graph("touch one", "exit 3")
    with pytest.raises(UserError, match="dvc repro ended with"):
        repro.repro(lambda line: None)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_interrupted_it_ends_the_stage_first(graph, number):
    folder = graph("sh -c 'echo $$ > pid && sleep 100'", "cp one two")
    script = "from tasks.workspace.repro import repro; repro(print)"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen([sys.executable, "-c", script], cwd=folder, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "pid").exists() or not (folder / "pid").read_text().strip():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    stage = int((folder / "pid").read_text())
    process.send_signal(number)
    assert process.wait(60) != 0
    assert not lives(stage)
