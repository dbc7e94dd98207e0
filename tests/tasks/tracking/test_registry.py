"""The registry after training and evaluation: versions by weights, the champion, and what a user loads."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import mlflow
import pytest
import yaml

from depth_model.errors import UserError
from depth_model.networks.provenance import Provenance, write_provenance
from tasks.tracking import champions, mlflow_runs, registry
from tests.tasks.tracking.judging import SETS, STUDENT, champion, figures, promote, trained


@pytest.mark.hostile
@pytest.mark.parametrize("path", ["artifacts/../../elsewhere", "/etc", "../.."])
def test_a_version_that_points_outside_its_own_folder_is_refused(project, tmp_path, monkeypatch, path):
    stored = tmp_path / "stored"
    stored.mkdir()
    (tmp_path / "elsewhere").mkdir()
    model = mlflow.models.Model(flavors={"python_function": {"artifacts": {"model": {"path": path}}}})
    model.save(str(stored / "MLmodel"))
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda artifact_uri: str(stored))
    with pytest.raises(UserError, match="names a folder outside the model"):
        registry.registered_folder("models:/x@champion")


def test_the_same_weights_are_one_version(project):
    first, run_id = trained(project, b"one")
    again, other_run_id = trained(project, b"one")
    other, _ = trained(project, b"two")
    assert (first, again, other) == ("1", "1", "2")
    client = mlflow_runs.connect()
    assert client.get_model_version(STUDENT, "1").run_id == run_id != other_run_id
    tags = [client.get_run(one).data.tags["weights_sha256"] for one in (run_id, other_run_id)]
    assert tags[0] == tags[1]


def test_the_first_version_is_champion_until_a_better_one_comes(project):
    trained(project, b"one")
    assert champion() is None
    assert promote(0.3) == [f"{STUDENT} version 1 (mean AbsRel 0.3000) is the champion now: there was none"]
    trained(project, b"two")
    (worse,) = promote(0.31)
    its = "version 1 (mean AbsRel 0.3000), better on 0 of 30 images, AbsRel 0.315 -> 0.325 [+0.010, +0.010]"
    assert worse.endswith(f"is not better than {its}, which stays the champion")
    assert champion() == "1"
    trained(project, b"three")
    (better,) = promote(0.2)
    assert "is the champion now: better than version 1 (mean AbsRel 0.3000), better on 30 of 30 images" in better
    assert champion() == "3"
    (same,) = promote(0.2)
    assert same.endswith("is the champion")


def test_a_lower_mean_is_not_enough(project):
    trained(project, b"one")
    promote(0.3)
    trained(project, b"two")
    scores = {f"columns/{number}": 0.3 + 0.001 * number for number in range(30)}
    scores["columns/0"] = 0.0  # one image is far better, the others are the same
    (sentence,) = champions.promote(figures(0.29), SETS, {"student": champions.Evidence("", scores)})
    assert "is not better than version 1 (mean AbsRel 0.3000), better on 1 of 30 images" in sentence
    assert champion() == "1"


def test_what_speaks_against_a_model_keeps_it_from_the_alias(project):
    trained(project, b"one")
    (sentence,) = promote(0.3, refusal="it failed on 2 of 30 images")
    assert sentence.endswith("does not become the champion: it failed on 2 of 30 images")
    assert champion() is None
    promote(0.3)
    (sentence,) = promote(0.3, refusal="it failed on 2 of 30 images")
    assert sentence.endswith("is the champion, although it failed on 2 of 30 images")


def test_models_measured_on_different_sets_are_not_compared(project):
    trained(project, b"one")
    promote(0.3)
    trained(project, b"two")
    (sentence,) = promote(0.1, "b" * 64)
    assert "version 1, the champion, was never measured on these evaluation sets" in sentence
    assert champion() == "1"
    (sentence,) = promote(0.1)
    assert "better than version 1" in sentence
    assert champion() == "2"


def test_the_version_that_was_judged_last_is_the_challenger(project):
    for weights, abs_rel, expected in (
        (b"one", 0.3, ("1", "1")),
        (b"two", 0.31, ("1", "2")),
        (b"three", 0.2, ("3", "3")),
    ):
        trained(project, weights)
        promote(abs_rel)
        aliases = mlflow_runs.connect().get_registered_model(STUDENT).aliases
        assert (str(aliases["champion"]), str(aliases["challenger"])) == expected


def of_data(project):
    """Write the catalog and the lock file of a student that learned from one source."""
    digest = "ab" * 32
    catalog = project / "data" / "catalog" / "labeled.json"
    catalog.parent.mkdir(parents=True)
    catalog.write_text(json.dumps({"streets": {"manifest_sha256": digest, "samples": 6}}))
    parameters = project / "params.yaml"
    content = yaml.safe_load(parameters.read_text())
    content["sources"]["labeled"] = {"streets": {"reader": "kitti", "root": "data/kitti"}}
    parameters.write_text(yaml.safe_dump(content))
    stage = {
        "cmd": "python -m tasks train_student",
        "deps": [{"path": "data/catalog/labeled.json", "md5": "0" * 32}, {"path": "depth_model/shards", "md5": "1"}],
        "params": {"params.yaml": {"alpha": 0.85, "student": {"trim": 0.2}, "encoder": {"weights": "packaged"}}},
        "outs": [{"path": "models/student", "md5": "2.dir"}],
    }
    (project / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"train_student": stage}}))
    return digest


def test_a_version_says_what_it_was_made_from(project):
    """Trained here or restored from a cache: then dvc.lock says what a run would have."""
    digest = of_data(project)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(project)]
    for words in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "Start"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    folder = project / "models" / "student"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"restored")
    promote(0.3)
    client = mlflow_runs.connect()
    version = client.get_model_version(STUDENT, "1")
    lock = hashlib.sha256((project / "dvc.lock").read_bytes()).hexdigest()
    expected = {
        "commit": commit,
        "dvc_lock_sha256": lock,
        "data.labeled/streets": digest,
        "license.labeled/streets": "CC BY-NC-SA 3.0",
        "parameter.alpha": "0.85",
        "parameter.student.trim": "0.2",
        "origin": "the encoder weights 'packaged'",
        "figure.columns": "0.29",
        "figure.mean": "0.3",
        "evaluation_hash": SETS,
    }
    assert {name: version.tags.get(name) for name in expected} == expected
    for fact in (commit, lock, digest, "CC BY-NC-SA 3.0", "columns | abs_rel | 0.2900", "`student.trim` | `0.2`"):
        assert fact in version.description, fact
    assert f"--model models:/{STUDENT}/1" in version.description
    kept = mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path="made_from")
    assert (Path(kept) / "dvc.lock").read_bytes() == (project / "dvc.lock").read_bytes()
    assert mlflow.artifacts.load_text(f"runs:/{version.run_id}/model_card.md") == version.description


def test_a_model_from_elsewhere_says_its_origin_and_license(project):
    folder = project / "models" / "student"
    folder.mkdir(parents=True)
    write_provenance(folder, Provenance(source="org/name@" + "c" * 40, license="CC-BY-NC-4.0"))
    trained(project, b"one")
    tags = mlflow_runs.connect().get_model_version(STUDENT, "1").tags
    assert (tags["origin"], tags["license"]) == ("org/name@" + "c" * 40, "CC-BY-NC-4.0")


def test_a_long_card_is_cut_where_the_store_ends_and_whole_beside_the_run(project):
    of_data(project)
    lock = yaml.safe_load((project / "dvc.lock").read_text())
    lock["stages"]["train_student"]["params"]["params.yaml"]["many"] = {f"key_{n}": "x" * 40 for n in range(120)}
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    (project / "models" / "student").mkdir(parents=True)
    (project / "models" / "student" / "config.json").write_text("{}")
    (project / "models" / "student" / "model.safetensors").write_bytes(b"one")
    promote(0.3)
    version = mlflow_runs.connect().get_model_version(STUDENT, "1")
    assert len(version.description) <= 5000
    assert version.description.endswith("The whole card is `model_card.md` among the artifacts of the run.\n")
    assert "key_119" in mlflow.artifacts.load_text(f"runs:/{version.run_id}/model_card.md")


def test_experiments_never_move_the_champion(project, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "mossy-crow")
    trained(project, b"one")
    (sentence,) = promote(0.1)
    assert "experiments never move the champion" in sentence
    assert champion() is None
    version = mlflow_runs.connect().get_model_version(STUDENT, "1")
    assert version.tags["pipeline"] == "experiment"
    monkeypatch.delenv("DVC_EXP_NAME")
    promote(0.1)
    assert champion() == "1"


def test_the_figures_stand_on_the_training_run_beside_its_parameters(project):
    _, run_id = trained(project, b"one")
    promote(0.3)
    promote(0.3)
    client = mlflow_runs.connect()
    run = client.get_run(run_id)
    assert run.data.params["alpha"] == "0.85"
    assert run.data.metrics == {
        "evaluation/columns/abs_rel": pytest.approx(0.29),
        "evaluation/columns/delta1": 0.9,
        "evaluation/mean/abs_rel": 0.3,
        "evaluation/mean/delta1": 0.8,
    }
    assert len(client.get_metric_history(run_id, "evaluation/mean/abs_rel")) == 1
    assert run.info.status == "FINISHED"


def test_weights_restored_from_a_cache_get_a_version_and_a_run(project):
    trained(project, b"one")
    (project / "models" / "student" / "model.safetensors").write_bytes(b"restored")
    (sentence,) = promote(0.3)
    assert sentence.startswith(f"{STUDENT} version 2")
    client = mlflow_runs.connect()
    run = client.get_run(client.get_model_version(STUDENT, "2").run_id)
    assert run.info.run_name == "register-student"
    assert run.info.status == "FINISHED"
    assert run.data.metrics["evaluation/mean/abs_rel"] == 0.3


@pytest.mark.hostile
def test_no_artifact_is_a_pickle_and_the_requirements_are_exact(project):
    trained(project, b"one")
    names = [path.name for path in (project / "mlartifacts").rglob("*") if path.is_file()]
    assert {"MLmodel", "registered_model.py", "model.safetensors", "config.json"} <= set(names)
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".pth"))]
    requirements = next((project / "mlartifacts").rglob("requirements.txt")).read_text().splitlines()
    assert any(line.startswith("open-depth-anything==") for line in requirements)


def test_the_evaluation_hash_covers_sets_and_parameters(project):
    catalog = project / "data" / "catalog" / "evaluation.json"
    catalog.parent.mkdir(parents=True)
    catalog.write_text('{"columns": {"manifest_sha256": "1"}}')
    first = champions.evaluation_hash()
    catalog.write_text('{"columns": {"manifest_sha256": "2"}}')
    second = champions.evaluation_hash()
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("short_side: 70", "short_side: 84"))
    assert len({first, second, champions.evaluation_hash()}) == 3
