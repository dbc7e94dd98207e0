"""The audit as a stage: leaks between sets for fine-tuning and those that the fine-tuned models are measured on."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import yaml
from PIL import Image

from depth_model import readers
from depth_model.errors import UserError
from tasks.settings import presets
from tasks.workspace.paths import AUDIT_REPORT, catalog_path
from tests.tasks.starting import start

OPTIONS = {"color": "c*.jpg", "depth": "d*.png", "unit": 1000}


def write_pairs(folder, samples, quality):
    folder.mkdir()
    for number, sample in enumerate(samples):
        Image.open(io.BytesIO(sample.image)).convert("RGB").save(folder / f"c{number}.jpg", quality=quality)
        depth = np.nan_to_num(sample.target, nan=0.0) * 1000
        Image.fromarray(np.clip(depth, 0, 60000).astype(np.uint16)).save(folder / f"d{number}.png")


@pytest.fixture
def project(tmp_path, repository, monkeypatch):
    """Metric sources `train` and `test`; the last picture of `train` is the first of `test`, encoded otherwise."""
    content = presets.content(repository / "presets" / "demo.yaml")
    content |= {name: {} for name in ("export", "finetune_semantic", "evaluate_semantic")}
    metric = {name: {"reader": "rgbd_folder", "root": name, "options": OPTIONS} for name in ("train", "test")}
    content["sources"] = {role: {} for role in ("labeled", "unlabeled", "evaluation", "semantic")} | {"metric": metric}
    content["finetune_metric"] = {"rooms": content["finetune_metric"]["nyu"] | {"source": "train"}}
    content["evaluate_metric"] = {"rooms": content["evaluate_metric"]["nyu"] | {"source": "test"}}
    content["machine"]["collect"]["workers"] = 1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    world = list(readers.get("rendered_world")(domain="rooms", count=5, seed=6, height=96, width=128))
    write_pairs(tmp_path / "train", world[:4], 95)
    write_pairs(tmp_path / "test", world[3:], 60)
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    start("inventory")
    for name in metric:
        start(f"collect_metric@{name}")
    for role in ("labeled", "unlabeled", "evaluation", "metric", "semantic"):
        start(f"validate@{role}")
    return content


def test_a_picture_that_is_learned_from_and_measured_on_is_shown_and_told(project, monkeypatch, capsys):
    start("audit")
    summary = json.loads((AUDIT_REPORT / "summary.json").read_text())
    assert summary["finetuning"] == {"metric/train": {"images": 4, "leak": 1}}
    (pair,) = summary["pairs"]
    assert (pair["reason"], pair["image"], pair["repeats"]) == ("finetuning_leak", "metric/train: 3", "metric/test: 0")
    with Image.open(AUDIT_REPORT / pair["picture"]) as picture:
        assert picture.height == 150
    assert summary["between"] == [repeated("metric/train", "finetuning_leak")]
    told = "warning: metric/train (train): 1 of its images are measured on too, in metric/test (test)"
    assert told in capsys.readouterr().err


def repeated(source, reason, images=1):
    return {"source": source, "other": "metric/test", "reason": reason, "images": images}


def test_a_source_that_is_named_for_both_is_not_searched_but_told(project, tmp_path, monkeypatch, capsys):
    project["evaluate_metric"]["rooms"]["source"] = "train"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(project, sort_keys=False))
    start("audit")
    summary = json.loads((AUDIT_REPORT / "summary.json").read_text())
    assert (summary["finetuning"], summary["both"]) == ({}, ["metric/train"])
    assert "warning: metric/train (train): a model learns from it and is measured on it" in capsys.readouterr().err


def test_files_that_the_teacher_learns_from_and_a_metric_model_is_measured_on_are_told(project, tmp_path, capsys):
    source = project["sources"]["metric"]["test"]
    project["sources"]["unlabeled"] = {"same": {"reader": "image_folder", "root": source["root"]}}
    project["sources"]["unlabeled"]["same"]["options"] = {"pattern": "c*.jpg"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(project, sort_keys=False))
    for stage in ("inventory", "collect_unlabeled@same", "validate@unlabeled", "audit"):
        start(stage)
    summary = json.loads((AUDIT_REPORT / "summary.json").read_text())
    assert repeated("unlabeled/same", "trained_on", 2) in summary["between"]
    told = (
        "warning: unlabeled/same (test): teacher or student learn from 2 of its images, on which the models of metric"
    )
    assert told in capsys.readouterr().err


def test_a_catalog_that_is_older_than_the_parameters_is_named(project, monkeypatch):
    catalog_path("metric").write_text("{}")
    with pytest.raises(UserError, match=r"metric\.json: lacks test, train; 'dvc repro validate@metric' adds it"):
        start("audit")
