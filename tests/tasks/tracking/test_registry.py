"""The registry after training and evaluation: versions by weights, the champion, and what a user loads."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

from depth_model.errors import UserError
from depth_model.networks.provenance import Provenance, write_provenance
from tasks.commands import main
from tasks.settings import presets
from tasks.tracking import champions, mlflow_runs, registry
from tasks.workspace.entry import Entry
from tasks.workspace.work import Workplace
from tests.tasks import starting

ENVIRONMENT = ("DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI", mlflow_runs.FLOW_RUN_URL)
STUDENT = "depth-anything-student"
SETS = "a" * 64


@pytest.fixture
def project(tmp_path, repository, monkeypatch):
    """A project folder as current folder, with parameters and an empty store."""
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "")  # not delenv: MLflow sets one of them, which must end with the test
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(starting.empty_store())
    parameters = presets.content(repository / "presets" / "demo.yaml")
    parameters["sources"] = {"labeled": {}, "unlabeled": {}, "evaluation": {}, "metric": {}, "semantic": {}}
    parameters |= {"finetune_metric": {}, "evaluate_metric": {}}
    parameters |= {"finetune_semantic": {}, "evaluate_semantic": {}}
    parameters["evaluation"] = {"short_side": 70, "minimum_images": 20}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(parameters))
    return tmp_path


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


def trained(project, weights: bytes, model="student") -> tuple[str, str]:
    """Leave a model folder and its training run, as the training stage does; return version and run id."""
    folder = project / "models" / model
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    entry = Entry(f"train_{model}", {"alpha": 0.85})
    workplace = Workplace(entry, weights.hex().ljust(64, "0"), project / ".work" / weights.hex())
    workplace.scratch.mkdir(parents=True, exist_ok=True)
    with mlflow_runs.stage_run(workplace) as run:
        version = registry.register_model(model, folder, run)
        assert mlflow_runs.connect().get_run(run.id).info.status == "RUNNING"
    shutil.rmtree(workplace.folder)
    return version, run.id


def figures(abs_rel, model="student"):
    return {
        "columns": {model: {"abs_rel": abs_rel - 0.01, "delta1": 0.9}},
        "mean": {model: {"abs_rel": abs_rel, "delta1": 0.8}},
    }


def evidence(abs_rel, model="student", refusal=""):
    """The scores of 30 images around a mean: what another model differs by is the same on each."""
    return {model: champions.Evidence(refusal, {f"columns/{n}": abs_rel + 0.001 * n for n in range(30)})}


def promote(abs_rel, sets=SETS, **known):
    return champions.promote(figures(abs_rel), sets, evidence(abs_rel, **known))


def champion():
    aliases = mlflow_runs.connect().get_registered_model(STUDENT).aliases
    return str(aliases["champion"]) if "champion" in aliases else None


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


def command(project, *words):
    """What `depth-anything` prints in the folder of the project, and its exit code."""
    said, complained, code = io.StringIO(), io.StringIO(), 0
    with contextlib.chdir(project), pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["depth-anything", *words])
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            try:
                main.main()
            except SystemExit as ended:
                code = ended.code
    return subprocess.CompletedProcess(words, code, said.getvalue(), complained.getvalue())


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
