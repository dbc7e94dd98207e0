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
    assert "warning: metric/train: 1 of its images are measured on too" in capsys.readouterr().err


def test_a_source_that_is_named_for_both_is_not_searched(project, tmp_path, monkeypatch):
    project["evaluate_metric"]["rooms"]["source"] = "train"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(project, sort_keys=False))
    start("audit")
    assert json.loads((AUDIT_REPORT / "summary.json").read_text())["finetuning"] == {}


def test_a_catalog_that_is_older_than_the_parameters_is_named(project, monkeypatch):
    catalog_path("metric").write_text("{}")
    with pytest.raises(UserError, match=r"metric\.json: lacks test, train; 'dvc repro validate@metric' adds it"):
        start("audit")
