"""Models from elsewhere through the stages of the real graph: a start, a teacher, predictions, and no labels at all."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml

from depth_model.errors import UserError
from depth_model.networks import DepthAnything
from depth_model.networks.provenance import Provenance, write_provenance
from depth_model.prediction.predictor import DepthPredictor
from depth_model.shards.source import SidecarFolder, SourceFolder
from tasks import resolve_model
from tasks.settings import params
from tests.tasks.starting import changeable, runs, start

EMPTY = ("labeled", "metric", "semantic", "sky")
STAGES = ["resolve_model@mine", "inventory", "collect_unlabeled@hills", "collect_evaluation@columns"]
STAGES += [*(f"validate@{role}" for role in params.ROLES), "validate_sky", "given_model@teacher", "given_model@student"]
LEARNING = ["audit", "describe", "train_teacher", "pseudo_label@hills", "validate_pseudo", "train_student"]


def distilling(content, source):
    """Change the tiny world to one without labels whose teacher and start is the model `source`."""
    content["sources"] |= {"labeled": {}, "metric": {}, "semantic": {}}
    del content["sources"]["unlabeled"]["photographs"]
    for section in ("export", "finetune_metric", "evaluate_metric", "finetune_semantic", "evaluate_semantic"):
        content[section] = {}
    content["models"] = {"mine": {"source": str(source), "license": "CC-BY-NC-4.0"}}
    content["teacher"]["model"] = content["student"]["initial"] = "data/models/mine"


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A folder with a relative model that was made elsewhere."""
    folder = tmp_path_factory.mktemp("elsewhere") / "model"
    DepthAnything("tiny", seed=17).save(folder)
    return folder


@pytest.fixture(scope="module")
def distilled(tmp_path_factory, repository, mine):
    """A project without labels in which `mine` has taught a student; the current folder. Returns what was said."""
    project = tmp_path_factory.mktemp("project")
    content = yaml.safe_load((repository / "tests/pipeline/tiny.yaml").read_text())
    distilling(content, mine)
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    for name in EMPTY:
        (project / "data" / name).mkdir(parents=True)
    for name in ("accepted.json", "expectations.yaml"):
        shutil.copy(repository / name, project)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        for stage in STAGES + LEARNING:
            start(stage)
        yield project


@pytest.fixture
def change(distilled):
    """Change params.yaml for one test."""
    with changeable(distilled / "params.yaml") as apply:
        yield apply


def tags(stage):
    return runs(stage)[0].data.tags


def test_the_teacher_is_the_model_itself_with_its_origin(distilled, mine):
    teacher = distilled / "models/teacher"
    assert (teacher / "model.safetensors").read_bytes() == (mine / "model.safetensors").read_bytes()
    origin = json.loads((teacher / "origin.json").read_text())
    assert (origin["source"], origin["license"]) == ("model", "CC-BY-NC-4.0")
    assert not (teacher / "history.csv").exists()
    assert tags("train_teacher")["model.license"] == "CC-BY-NC-4.0"
    assert tags("train_teacher")["model.folder"] == "data/models/mine"


def test_the_labels_are_those_of_the_model(distilled, mine):
    source, labels = SourceFolder(distilled / "data/unlabeled/hills"), SidecarFolder(distilled / "data/pseudo/hills")
    expected = DepthPredictor(DepthAnything.load(mine), 28).network_disparity([source.image(0)])[0]
    np.testing.assert_allclose(labels.raster(0), expected, atol=1e-3 * np.ptp(expected))


def test_the_student_started_from_the_model_and_learned_without_labels(distilled, mine):
    folder = distilled / "models/student"
    first = (folder / "history.csv").read_text().splitlines()[0]
    assert "affine_invariant" not in first and "pseudo_label/constant" in first
    student, before = DepthAnything.load(folder), DepthAnything.load(mine)
    moved = float((student.encoder.pos_embed - before.encoder.pos_embed).detach().abs().max())
    assert 0 < moved < 0.5  # twenty steps from there, not from other random weights
    assert json.loads((folder / "origin.json").read_text())["license"] == "CC-BY-NC-4.0"
    assert tags("train_student")["initial.source"] == "model"


def test_another_model_beside_it_changes_nothing_that_a_training_depends_on(distilled):
    path = distilled / "data/given/teacher.json"
    before = path.read_bytes()
    other = distilled / "data/models/other"
    DepthAnything("tiny", seed=1).save(other)
    start("given_model@teacher")
    assert path.read_bytes() == before
    shutil.rmtree(other)
    origin = distilled / "data/models/mine/origin.json"
    kept = origin.read_text()
    write_provenance(origin.parent, Provenance(source="model", license="MIT"))
    start("given_model@teacher")
    assert path.read_bytes() != before
    origin.write_text(kept)
    start("given_model@teacher")
    assert path.read_bytes() == before


def test_one_is_told_of_a_license_that_forbids_commercial_use(distilled, capfd):
    start("given_model@teacher")
    assert "warning: teacher.model = data/models/mine: model is CC-BY-NC-4.0" in capfd.readouterr().err


def test_a_size_that_params_contradict_is_refused_before_anything_is_trained(change):
    def larger(content):
        content["student"]["encoder"] = "vits"

    change(larger)
    with pytest.raises(UserError, match=r"student.encoder = 'vits': .*'tiny'"):
        start("given_model@student")


def test_a_teacher_that_says_nothing_is_refused(distilled):
    from depth_model.prediction.estimator import Estimator
    from tasks.given_model import look

    flat = Estimator("disparity", lambda image, names: np.ones(image.shape[:2], np.float32))
    with pytest.raises(UserError, match="says nothing of image hills/"):
        look(flat, [SourceFolder(distilled / "data/unlabeled/hills")])


def test_predictions_made_elsewhere_teach_too_and_are_not_measured(distilled, change, tmp_path, capfd):
    source = SourceFolder(distilled / "data/unlabeled/hills")
    for row in range(len(source)):
        path = tmp_path / "made" / f"{source.key(row)}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.random.default_rng(row).random(source.image(row).shape[:2], np.float32) + 1)

    def predicted(content):
        content["models"]["made"] = {"source": str(tmp_path / "made"), "predictions": "metric_depth", "license": "MIT"}
        content["teacher"]["model"] = "data/models/made"

    change(predicted)
    for stage in ("resolve_model@made", "given_model@teacher", "train_teacher", "pseudo_label@hills"):
        start(stage)
    teacher = json.loads((distilled / "models/teacher/teacher.json").read_text())
    assert (teacher["folder"], teacher["space"]) == ("data/models/made", "metric_depth")
    found = SidecarFolder(distilled / "data/pseudo/hills").raster(0)
    expected = 1 / np.load(tmp_path / "made" / f"{source.key(0)}.npy")
    assert np.corrcoef(found.ravel(), resized_by_hand(expected, found.shape).ravel())[0, 1] > 0.99
    start("evaluate_relative@columns")
    assert "only the student is measured" in capfd.readouterr().err
    summary = json.loads((distilled / "reports/evaluation/relative/columns.json").read_text())
    assert set(summary["models"]) == {"student", "start", "constant"}


def resized_by_hand(values, shape):
    """Bilinear, with pixel centers half a pixel in."""
    from scipy.ndimage import map_coordinates

    rows, columns = ((np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(shape, values.shape, strict=True))
    return map_coordinates(values, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest")


def test_the_license_of_a_hub_model_is_what_its_card_says(monkeypatch):
    import huggingface_hub

    class Hub:
        def model_info(self, model, revision, timeout):
            card = {"license": "apple-amlr"} if model == "apple/DepthPro-hf" else None
            return type("Info", (), {"card_data": type("Card", (), card)() if card else None})()

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert resolve_model.hub_license("apple/DepthPro-hf@" + "0" * 40) == "apple-amlr"
    assert resolve_model.hub_license("org/silent@" + "0" * 40) is None
    assert resolve_model.hub_license("models:/depth-anything-student@champion") is None
    assert resolve_model.hub_license("folder/model.pth") is None
