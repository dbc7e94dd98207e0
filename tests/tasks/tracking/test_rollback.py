"""The way back of the champion, and registering by the command."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest

from depth_model.errors import UserError
from tasks.tracking import champions, mlflow_runs
from tests.tasks.tracking.judging import SETS, STUDENT, champion, command, figures, promote, trained


def test_the_champion_goes_back_and_what_was_rolled_back_does_not_return(project):
    for weights, abs_rel in ((b"one", 0.3), (b"two", 0.2), (b"three", 0.1)):
        trained(project, weights)
        promote(abs_rel)
    done = command(project, "rollback", "student", "--why", "stripes in fog")
    assert done.stdout.strip() == (f"{STUDENT} version 2 is the champion again, version 3 no longer: stripes in fog"), (
        done.stderr
    )
    assert champion() == "2"
    (sentence,) = promote(0.1)  # models/ still holds the third
    assert "does not become the champion: it was rolled back (to version 2: stripes in fog)" in sentence
    assert champion() == "2"
    champions.roll_back(STUDENT, None, "stripes there too")  # not back to 3
    assert champion() == "1"
    with pytest.raises(UserError, match="no version was the champion before; name one: --to VERSION"):
        champions.roll_back(STUDENT, None, "")
    champions.roll_back(STUDENT, "3", "it was the camera")
    assert champion() == "3"
    assert promote(0.1)[0].endswith("is the champion")
    found = champions.moves(mlflow_runs.connect(), STUDENT)
    assert [one["version"] for one in found] == ["1", "2", "3", "2", "1", "3"]
    assert [one["before"] for one in found] == [None, "1", "2", "3", "2", "1"]


@pytest.mark.parametrize(
    ("name", "to", "said"),
    [
        (STUDENT, "9", "version=9"),
        (STUDENT, "x", "must be an integer"),
        (STUDENT, "1", "version 1 is the champion already"),
        (STUDENT, None, "no version was the champion before"),
        ("depth-anything-metric-nowhere", None, "depth-anything-metric-nowhere"),
    ],
)
def test_a_way_back_that_is_none_is_one_line(project, name, to, said):
    trained(project, b"one")
    promote(0.3)
    with pytest.raises(UserError, match=said) as refused:
        champions.roll_back(name, to, "")
    assert len(str(refused.value).splitlines()) == 1
    assert champion() == "1"


def test_an_alias_set_by_hand_goes_back_to_the_last_recorded_champion():
    recorded = [{"version": "1", "before": None}, {"version": "2", "before": "1"}]
    assert champions.held_before(recorded, "7") == "2"
    assert champions.held_before([], "7") is None


def test_a_move_keeps_its_evidence(project):
    trained(project, b"one")
    promote(0.3)
    trained(project, b"two")
    promote(0.2)
    first, second = champions.moves(mlflow_runs.connect(), STUDENT)
    assert (first["why"], second["before"]) == ("there was none", "1")
    assert second["why"].startswith("better than version 1 (mean AbsRel 0.3000), better on 30 of 30 images")
    assert (second["evaluation_hash"], second["mean_abs_rel"], second["images"]) == (SETS, 0.2, 30)


def test_the_command_registers_what_lies_there_and_refuses_figures_of_other_models(project):
    assert "models/ holds no model" in command(project, "register").stderr
    trained(project, b"one")
    (project / "models" / "student" / "model.safetensors").write_bytes(b"restored")
    done = command(project, "register")
    assert done.stdout.splitlines() == [f"{STUDENT} version 2"], done.stderr
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=project, check=True)
    (project / "dvc.yaml").write_text(
        "stages:\n  summarise:\n    cmd: mkdir -p reports && cp figures.json reports/metrics.json\n"
        "    deps: [models/student]\n    outs: [reports/metrics.json]\n"
    )
    (project / "figures.json").write_text(json.dumps(figures(0.3)))
    (project / "data" / "catalog").mkdir(parents=True)
    (project / "data" / "catalog" / "evaluation.json").write_text('{"columns": {}}')
    table = [(str(n), model, value, "") for model, value in (("student", 0.3), ("constant", 0.6)) for n in range(30)]
    folder = project / "reports" / "evaluation" / "relative" / "columns"
    folder.mkdir(parents=True)
    pd.DataFrame(table, columns=["key", "model", "abs_rel", "failure"]).to_parquet(folder / "per_image.parquet")
    repro = [sys.executable, "-m", "dvc", "repro", "-q"]
    subprocess.run(repro, cwd=project, check=True)
    done = command(project, "register", "--promote")
    assert "version 2 (mean AbsRel 0.3000) is the champion now" in done.stdout, done.stderr
    (project / "models" / "student" / "model.safetensors").write_bytes(b"newer")
    refused = command(project, "register", "--promote")
    assert refused.returncode == 1
    assert "reports/metrics.json does not belong to what lies in models/" in refused.stderr
