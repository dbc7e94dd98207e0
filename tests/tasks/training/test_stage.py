"""The stages that train and label, as DVC starts them: models, labels and runs out, one line when it cannot be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from midas_folders import write_midas
from PIL import Image

from depth_model.comparison.tables import measured_rows
from depth_model.errors import UserError
from depth_model.evaluation.segmentation_figures import overlay
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.metric.prediction.predictor import MetricPredictor
from depth_model.networks import DepthAnything
from depth_model.semantic.classes import ClassList
from depth_model.semantic.heads.segmentation import Segmentation
from depth_model.semantic.prediction.predictor import Segmenter
from depth_model.shards import rasters
from depth_model.shards.source import SidecarFolder, SourceFolder, join_sidecar, write_sidecar_shard
from tasks import evaluate_semantic
from tasks.commands.main import parser
from tasks.settings import params
from tasks.tracking import mlflow_runs
from tasks.workspace.entry import foreign_files
from tests.tasks.starting import changeable, runs, start


def add_sky(data, name):
    source = SourceFolder(data / "labeled" / name)
    scratch = data.parent / "scratch-sky"
    scratch.mkdir()
    for shard, rows in source.shards():
        masks = [rasters.encode_mask(np.zeros(source.image(row).shape[:2], bool)) for row in rows]
        write_sidecar_shard(scratch, source, shard, "sky.png", masks, {"sky_fraction": [0.0] * len(rows)})
    join_sidecar(scratch, data / "sky" / name, source)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, repository):
    """A project of the tiny world in which every stage up to the student has run; the current folder."""
    project = tmp_path_factory.mktemp("project")
    shutil.copy(repository / "tests" / "pipeline" / "tiny.yaml", project / "params.yaml")
    (project / "data" / "photographs").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        start("export@nyu")
        start("export@cityscapes")
        start("inventory")
        listed = [("labeled", "streets"), ("unlabeled", "hills"), ("unlabeled", "photographs")]
        listed += [("evaluation", "columns"), ("metric", "nyu"), ("metric", "nyu_test")]
        listed += [("semantic", "cityscapes"), ("semantic", "cityscapes_val")]
        for role, name in listed:
            start(f"collect_{role}@{name}")
        add_sky(project / "data", "streets")
        for role in params.ROLES:
            start(f"validate@{role}")
        start("validate_sky")
        start("audit")
        for taught in ("teacher", "student"):
            start(f"given_model@{taught}")
        start("train_teacher")
        for name in ("hills", "photographs"):
            start(f"pseudo_label@{name}")
        start("validate_pseudo")
        start("train_student")
        start("finetune_metric@nyu")
        start("evaluate_metric@nyu")
        start("finetune_semantic@cityscapes")
        start("evaluate_semantic@cityscapes")
        yield project


@pytest.fixture
def change(trained):
    """Change params.yaml for one test."""
    with changeable(trained / "params.yaml") as apply:
        yield apply


@pytest.mark.parametrize("model, steps", [("teacher", 60), ("student", 20)])
def test_a_model_folder_holds_weights_and_history(trained, model, steps):
    folder = trained / "models" / model
    assert DepthAnything.load(folder).encoder.size == "tiny"
    lines = (folder / "history.csv").read_text().splitlines()
    assert lines[0].startswith("step,loss,affine_invariant")
    assert lines[-1].startswith(f"{steps},")
    assert len(lines) == steps + 1


STAGES = ["train_teacher", "pseudo_label@hills", "train_student", "finetune_metric@nyu", "evaluate_metric@nyu"]
STAGES += ["finetune_semantic@cityscapes", "evaluate_semantic@cityscapes"]


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_leaves_one_finished_run(trained, stage):
    (run,) = runs(stage)
    assert run.info.status == "FINISHED"


def test_a_metric_model_starts_from_the_students_encoder_and_is_registered(trained):
    folder = trained / "models" / "metric" / "nyu"
    model = MetricDepth.load(folder)
    assert (model.maximum, model.domain, model.input_size) == (10.0, "nyu", (28, 42))
    student = DepthAnything.load(trained / "models" / "student")
    before, after = (one.encoder.blocks[0].attn.qkv.weight for one in (student, model))
    assert 0 < float((after - before).abs().max()) < 0.05 * float(before.abs().max())
    assert len((folder / "history.csv").read_text().splitlines()) == 1 + 4  # 2 epochs of 4 images, 2 at a time
    registered = mlflow_runs.connect().get_model_version("depth-anything-metric-nyu", "1")
    assert any(tag.startswith("mean_abs_rel.") for tag in registered.tags)


def test_a_folder_of_midas_is_what_a_metric_model_may_start_from(trained, change, tmp_path):
    write_midas(tmp_path / "midas", "beit")

    def add(content):
        content["models"]["midas"] = {"source": str(tmp_path / "midas")}
        content["finetune_metric"]["midas"] = content["finetune_metric"]["nyu"] | {"initial": "data/models/midas"}

    change(add)
    start("resolve_model@midas")
    start("finetune_metric@midas")
    model = MetricDepth.load(trained / "models/metric/midas")
    assert (model.encoder.shape["model_type"], model.encoder.size) == ("beit", "tiny")
    loaded = mlflow.pyfunc.load_model("models:/depth-anything-metric-midas/1")
    image = next(iter((trained / "data/exported/nyu/test").rglob("rgb_*.jpg"))).read_bytes()
    row = loaded.predict(pd.DataFrame({"image": [image]})).iloc[0]
    assert np.frombuffer(row["depth"], "<f4").min() > 0
    needed = mlflow.pyfunc.get_model_dependencies("models:/depth-anything-metric-midas/1")
    assert any(line.startswith("transformers==") for line in Path(needed).read_text().splitlines())


def test_metric_models_are_measured_in_meters(trained):
    summary = json.loads((trained / "reports/evaluation/metric/nyu.json").read_text())
    assert summary["images"] == 2
    assert set(summary["models"]) == {"metric/nyu", "constant"}
    assert set(summary["models"]["metric/nyu"]) >= {"abs_rel", "delta1", "rmse", "sq_rel", "rmse_log"}
    (run,) = runs("finetune_metric@nyu")
    assert run.data.metrics["evaluation/nyu/abs_rel"] == summary["models"]["metric/nyu"]["abs_rel"]


def test_the_registered_metric_model_gives_meters_at_the_size_of_the_image(trained):
    image = next(iter((trained / "data/exported/nyu/test").rglob("rgb_*.jpg"))).read_bytes()
    loaded = mlflow.pyfunc.load_model("models:/depth-anything-metric-nyu/1")
    row = loaded.predict(pd.DataFrame({"image": [image]})).iloc[0]
    found = np.frombuffer(row["depth"], "<f4").reshape(row["height"], row["width"])
    assert found.shape == (64, 80) and found.min() > 0
    expected = MetricPredictor(MetricDepth.load(trained / "models/metric/nyu"))(image)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_metric_sources_and_sets_that_are_not_there_are_named(trained, change):
    with pytest.raises(UserError, match=r"dvc.yaml: finetune_metric@kitti: "):
        start("finetune_metric@kitti")
    change(lambda content: content["finetune_metric"]["nyu"].update(source="nyuu"))
    with pytest.raises(UserError, match="did you mean 'nyu'"):
        params.load()


def test_segmentation_starts_from_the_students_encoder_and_is_measured_and_registered(trained):
    folder = trained / "models/semantic/cityscapes"
    model = Segmentation.load(folder)
    student = DepthAnything.load(trained / "models" / "student")
    before, after = (one.encoder.blocks[0].attn.qkv.weight for one in (student, model))
    assert 0 < float((after - before).abs().max()) < 0.05 * float(before.abs().max())
    assert (folder / "history.csv").read_text().startswith("step,loss,class,mask,dice")
    summary = json.loads((trained / "reports/evaluation/semantic/cityscapes.json").read_text())
    assert summary["protocol"]["name"] == "cityscapes/rendered"  # no figure of the real data set
    measured = summary["models"]["semantic/cityscapes"]
    assert 0 <= measured["miou"] <= 100 and "miou_multi_scale" not in measured
    every = json.loads((trained / "reports/evaluation/semantic/cityscapes/class_iou.json").read_text())
    assert np.mean(list(every["semantic/cityscapes"].values())) == pytest.approx(measured["miou"])
    better = measured["miou"] > summary["models"]["constant"]["miou"]
    aliases = mlflow_runs.connect().get_registered_model("depth-anything-semantic-cityscapes").aliases
    assert {name: str(version) for name, version in aliases.items()} == {"champion" if better else "challenger": "1"}


def test_the_registered_and_the_commands_labels_are_those_of_the_model(trained, tmp_path, monkeypatch):
    path = next((trained / "data/exported/cityscapes").rglob("*_leftImg8bit.png"))
    loaded = mlflow.pyfunc.load_model("models:/depth-anything-semantic-cityscapes/1")
    row = loaded.predict(pd.DataFrame({"image": [path.read_bytes()]})).iloc[0]
    found = np.frombuffer(row["labels"], np.uint8).reshape(row["height"], row["width"])
    model = Segmentation.load(trained / "models/semantic/cityscapes")
    assert np.array_equal(found, Segmenter(model)(path))
    name = "models:/depth-anything-semantic-cityscapes/1"
    given = parser().parse_args(["segment", str(path), "--model", name, "-o", str(tmp_path)])
    given.run(given)
    assert np.array_equal(np.asarray(Image.open(tmp_path / f"{path.name}.labels.png")), found)
    shown = np.asarray(Image.open(tmp_path / f"{path.name}.overlay.png"))
    assert np.array_equal(shown, overlay(np.asarray(Image.open(path).convert("RGB")), found, model.classes))
    classes = json.loads((tmp_path / "classes.json").read_text())
    assert classes[10] == {"name": "sky", "color": [70, 130, 180]}


def test_the_miou_of_several_scales_never_stands_for_that_of_one():
    totals = {"semantic/cityscapes": np.array([[3, 1], [1, 1]])}
    classes = ClassList("two", ("a", "b"), ((0, 0, 0), (9, 9, 9)))
    summary = evaluate_semantic.summary_of("set", "cityscapes/paper", 2, totals, classes, multi_scale=True)
    row = measured_rows([summary])[0]
    assert row.values["cityscapes", "miou_multi_scale"] == pytest.approx(100 * (3 / 5 + 1 / 3) / 2)
    assert ("cityscapes", "miou") not in row.values


@pytest.mark.parametrize(
    ("confusion", "images", "refused"),
    [
        ([[3, 1], [1, 1]], 20, ""),
        (
            [[4, 0], [2, 0]],
            20,
            "not better than a constant: mIoU 33.3 %, that of its most frequent label everywhere 33.3",
        ),
        ([[3, 1], [1, 1]], 19, "measured on 19 images, and fewer than 20 tell too little"),
    ],
)
def test_a_segmentation_no_better_than_one_label_or_on_few_images_is_no_champion(confusion, images, refused):
    totals = {"semantic/city": np.array(confusion)}
    classes = ClassList("two", ("a", "b"), ((0, 0, 0), (9, 9, 9)))
    summary = evaluate_semantic.summary_of("city", "a/paper", images, totals, classes, multi_scale=False)
    found = evaluate_semantic.refused(summary, "semantic/city", 20)
    assert refused in found and bool(found) == bool(refused)


def test_a_folder_that_is_no_segmentation_model_is_refused(trained, tmp_path):
    path = next((trained / "data/exported/cityscapes").rglob("*_leftImg8bit.png"))
    given = parser().parse_args(["segment", str(path), "--model", "models/student", "-o", str(tmp_path)])
    with pytest.raises(UserError, match="no segmentation model"):
        given.run(given)


def test_semantic_sources_and_heads_that_do_not_fit_are_named(change):
    change(lambda content: content["finetune_semantic"]["cityscapes"].update(source="cityscape"))
    with pytest.raises(UserError, match="did you mean 'cityscapes'"):
        params.load()
    change(lambda content: content["finetune_semantic"]["cityscapes"].update(head="linear"))
    with pytest.raises(UserError, match="give the sizes of this head only where head is mask2former"):
        params.load()
    change(lambda content: content["finetune_semantic"]["cityscapes"].update(warmup=3))
    with pytest.raises(UserError, match="warmup = 3"):
        params.load()


def test_the_audit_logs_its_counts_and_keeps_what_the_report_shows(trained):
    (run,) = runs("audit")
    assert run.data.metrics["images/unlabeled/hills"] == 8
    assert run.data.metrics["leak/labeled/streets"] == 0
    assert run.data.metrics["quarantined/evaluation/columns"] == 0
    artifacts = mlflow_runs.connect().list_artifacts(run.info.run_id, "audit")
    assert [one.path for one in artifacts] == ["audit/summary.json"]
    summary = json.loads((trained / "reports" / "audit" / "summary.json").read_text())
    assert summary["pairs"] == []
    assert list(summary["sources"]) == ["labeled/streets", "unlabeled/hills", "unlabeled/photographs"]


def test_the_run_holds_parameters_curves_and_data(trained):
    (run,) = runs("train_student")
    assert run.data.params["alpha"] == "0.85"
    assert run.data.params["student.perturbation.cutmix_probability"] == "0.5"
    history = (trained / "models" / "student" / "history.csv").read_text().splitlines()
    logged = mlflow.MlflowClient(mlflow_runs.tracking_uri()).get_metric_history(run.info.run_id, "loss")
    assert [point.value for point in logged] == [float(line.split(",")[1]) for line in history[1:]]
    assert {"gradient_norm", "images_per_second", "learning_rate/encoder"} <= set(run.data.metrics)
    assert {found.dataset.name for found in run.inputs.dataset_inputs} >= {
        "labeled/streets",
        "unlabeled/hills",
    }


def test_labels_carry_the_hash_of_their_teacher(trained):
    from depth_model import files

    labels = SidecarFolder(trained / "data" / "pseudo" / "hills")
    weights = files.sha256(trained / "models" / "teacher" / "model.safetensors")
    assert set(labels.sidecar["teacher_sha256"]) == {weights}
    assert len(labels) == 8
    assert len(SidecarFolder(trained / "data" / "pseudo" / "photographs")) == 0


def test_finished_work_is_used_again(trained):
    weights = (trained / "models" / "student" / "model.safetensors").read_bytes()
    shutil.rmtree(trained / "models" / "student")
    start("train_student")
    assert (trained / "models" / "student" / "model.safetensors").read_bytes() == weights
    assert len(runs("train_student")) == 1


def test_a_teacher_that_learns_nothing_is_one_line_and_no_model(trained, change):
    def no_learning(content):
        content["teacher"] |= {"epochs": 1, "encoder_learning_rate": 1e-9, "decoder_learning_rate": 1e-9}

    change(no_learning)
    before = (trained / "models" / "teacher" / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"^teacher: no better than a constant prediction.*set another seed"):
        start("train_teacher")
    assert (trained / "models" / "teacher" / "model.safetensors").read_bytes() == before
    assert sorted(run.info.status for run in runs("train_teacher")) == ["FAILED", "FINISHED"]


def test_encoder_weights_that_cannot_be_had_are_one_line(trained, change):
    change(lambda content: content["encoder"].update(weights="hub"))
    with pytest.raises(UserError, match="tiny"):
        start("train_teacher")


@pytest.mark.parametrize("folder", [True, False])
def test_other_encoder_weights_of_the_same_name_are_another_training(trained, tmp_path, folder):
    def inputs(seed):
        DepthAnything("tiny", seed=seed).save(tmp_path)
        weights = tmp_path if folder else tmp_path / "model.safetensors"
        return foreign_files({"encoder": {"weights": str(weights)}})

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)


def test_a_role_without_samples_is_named(trained, monkeypatch, tmp_path):
    (tmp_path / "data" / "catalog").mkdir(parents=True)
    shutil.copy(trained / "params.yaml", tmp_path)
    for role in ("labeled", "sky"):
        (tmp_path / "data" / "catalog" / f"{role}.json").write_text("{}")
    for name in ("exclusions", "given"):
        shutil.copytree(trained / "data" / name, tmp_path / "data" / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"sources.labeled of params.yaml holds no sample"):
        start("train_teacher")


def test_a_catalog_that_does_not_fit_is_named(trained):
    path = trained / "data" / "catalog" / "labeled.json"
    content = path.read_text()
    catalog = json.loads(content)
    catalog["streets"]["samples"] = 7
    path.write_text(json.dumps(catalog))
    try:
        with pytest.raises(UserError, match=r"streets: 6 samples, the catalog says 7; run 'dvc repro"):
            start("train_teacher")
    finally:
        path.write_text(content)


def test_a_damaged_teacher_is_named(trained, change):
    change(lambda content: content["pseudo_label"].update(short_side=42))
    path = trained / "models" / "teacher" / "model.safetensors"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:5000])
    try:
        with pytest.raises(UserError, match=r"models/teacher.*'dvc repro train_teacher' makes it again"):
            start("pseudo_label@hills")
    finally:
        path.write_bytes(content)


def test_what_is_held_out_is_measured_and_not_learned_from(trained, change, capsys):
    def hold_out(content):
        content["validation"] |= {"fraction": 0.4, "every": 4}
        content["teacher"]["epochs"] = 10

    change(hold_out)
    start("audit")
    held = pd.read_parquet(trained / "data" / "exclusions" / "held_out" / "labeled.parquet")
    assert 1 <= len(held) < 6 and set(held["reason"]) <= {"held_out", "near_duplicate"}
    assert f"labeled/streets: held out {(held['reason'] == 'held_out').sum()} for validation" in capsys.readouterr().out
    start("train_teacher")
    start("finetune_metric@nyu")
    start("finetune_semantic@cityscapes")
    steps = 5 * (6 - len(held))
    table = pd.read_csv(trained / "models" / "teacher" / "history.csv")
    measured = table.dropna(subset=["validation/abs_rel"])
    assert measured["step"].tolist() == sorted({*range(0, steps, 4), steps})
    assert any("validation/delta1" in run.data.metrics for run in runs("train_teacher"))
    for name, column in (("metric/nyu", "validation/abs_rel"), ("semantic/cityscapes", "validation/miou")):
        assert pd.read_csv(trained / "models" / name / "history.csv")[column].notna().sum() == 2
