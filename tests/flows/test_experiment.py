"""Other parameters for one run: what params.yaml says meanwhile and afterwards, and what DVC keeps."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import dvc.api
import pytest
import yaml

from depth_model.errors import UserError
from flows import experiment
from tests.flows.conftest import commit

PARAMS = Path("params.yaml")


def alpha():
    return yaml.safe_load(PARAMS.read_text())["alpha"]


def test_overrides_count_for_one_run_which_dvc_keeps(toy):
    with open("dvc.yaml", "a") as graph:
        graph.write("  learn: {cmd: grep ^alpha params.yaml > learned.txt, params: [alpha], outs: [learned.txt]}\n")
    commit()
    before = PARAMS.read_bytes()
    with experiment.parameters(None, ["alpha=0.7", "teacher.epochs=3"], "softer") as keep:
        assert alpha() == 0.7
        assert yaml.safe_load(PARAMS.read_text())["teacher"]["epochs"] == 3
        assert os.environ[experiment.NAME] == "softer"
        subprocess.run(["dvc", "repro", "-q", "learn"], check=True)
        keep("learn")
    assert PARAMS.read_bytes() == before
    assert experiment.NAME not in os.environ
    assert "inventory" not in Path("dvc.lock").read_text()  # what did not run is not said to be made with them
    listed = subprocess.run(["dvc", "exp", "list", "--name-only"], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == ["softer"]
    assert dvc.api.read("learned.txt", rev="softer") == "alpha: 0.7\n"


def test_a_preset_comes_before_the_overrides(toy, repository):
    with experiment.parameters(str(repository / "presets" / "ablation.yaml"), ["alpha=0.7"], "other"):
        found = yaml.safe_load(PARAMS.read_text())
        assert found["sources"] != {role: {} for role in found["sources"]}
        assert found["alpha"] == 0.7


def test_a_kill_leaves_nothing_changed_for_the_next_run(toy):
    before = PARAMS.read_bytes()
    experiment.files.write_bytes(experiment.KEPT, before)
    PARAMS.write_text("alpha: 0.1\n")
    with experiment.parameters(None, (), None):
        assert PARAMS.read_bytes() == before
    assert not experiment.KEPT.exists()


@pytest.mark.parametrize(
    ("preset", "overrides", "name", "says"),
    [
        (None, ["alpha=0.7"], None, "experiment: name the results"),
        (None, ["no.such.key=1"], "x", "overrides"),
        (None, ["alpha"], "x", "overrides"),
        ("nosuch", [], "x", "nosuch"),
    ],
)
def test_what_cannot_be_used_is_refused_and_changes_nothing(toy, preset, overrides, name, says):
    before = PARAMS.read_bytes()
    with pytest.raises(UserError, match=says), experiment.parameters(preset, overrides, name):
        pass
    assert PARAMS.read_bytes() == before
