"""The stages `evaluate_relative` and `report` as DVC starts them, on a set of three pictures."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from PIL import Image

from depth_model import files, readers
from depth_model.audit.held_out import HELD_OUT_SCHEMA
from depth_model.errors import UserError
from depth_model.evaluation import verdict
from depth_model.networks import DepthAnything
from depth_model.reading.collecting import collect_source
from depth_model.shards import manifest
from tasks import report, summarise
from tasks.settings import params, presets
from tasks.tracking import evaluations
from tasks.workspace.paths import (
    AUDIT_REPORT,
    COMPARISON,
    MODELS,
    SCENES_REPORT,
    given_path,
    held_out_path,
    measured_sets,
    statistics_path,
)
from tests.tasks.starting import start

OPTIONS = {"color": "rgb/*.png", "depth": "depth/*.png", "unit": 100.0}


def write_pairs(root):
    """Three pictures with depth of 1 to 20 m, but the last of 90 m and more, and a broken fourth."""
    generator = np.random.default_rng(0)
    for number in range(3):
        depth = generator.integers(100, 2000, (28, 42)) + 9000 * (number == 2)
        for name, image in (("rgb", generator.integers(0, 256, (28, 42, 3))), ("depth", depth)):
            (root / name).mkdir(parents=True, exist_ok=True)
            kind = np.uint8 if name == "rgb" else np.uint16
            Image.fromarray(image.astype(kind)).save(root / name / f"{number}.png")
    for name in ("rgb", "depth"):
        (root / name / "broken.png").write_bytes(b"no image")


def write_project(folder, repository, kind):
    parameters = presets.content(repository / "presets" / "demo.yaml")
    options = OPTIONS | {"target_kind": kind}
    source = {"reader": "rgbd_folder", "root": "pairs", "options": options}
    parameters["sources"] = {role: {} for role in params.ROLES} | {"evaluation": {"pairs": source}}
    parameters |= {"finetune_metric": {}, "evaluate_metric": {}}
    parameters |= {"finetune_semantic": {}, "evaluate_semantic": {}}
    parameters["evaluation"] = {"short_side": 28, "minimum_images": 2}
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters))
    write_pairs(folder / "pairs")
    reader = readers.get("rgbd_folder")
    limits = {"max_side": 100, "minimum_side": 1, "samples_per_shard": 2, "workers": 1}
    out = folder / "data" / "evaluation" / "pairs"
    collect_source(reader, folder / "pairs", reader.options(**options), folder / "scratch", out, **limits)
    for role in report.CATALOGS:
        catalog = {"pairs": {"samples": 3, "quarantined": 1}} if role == "evaluation" else {}
        files.write_json(folder / "data" / "catalog" / f"{role}.json", catalog)
    files.write_json(folder / given_path("student"), {})
    hold_out(folder, [])
    for kind in report.FINETUNED:  # as in a clone
        (folder / "models" / kind).mkdir(parents=True)
    for seed, model in enumerate(MODELS):
        DepthAnything("tiny", seed=seed).save(folder / "models" / model)
        history = "step,affine_invariant,feature_alignment/active_fraction\n1,1.0,0.0\n2,0.5,0.25\n"
        (folder / "models" / model / "history.csv").write_text(history)


def hold_out(folder, keys):
    rows = [{"source": "pairs", "key": key, "reason": "held_out"} for key in keys]
    path = folder / held_out_path("labeled")
    manifest.write_table(path, [pa.Table.from_pylist(rows, schema=HELD_OUT_SCHEMA)], HELD_OUT_SCHEMA, {})


@pytest.fixture
def project(tmp_path, repository, monkeypatch):
    """Makes a project with one evaluation set of a target kind, and makes its folder the current one."""

    def made(kind="metric_depth"):
        for name in ("DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("DVC_ROOT", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        write_project(tmp_path, repository, kind)
        return tmp_path

    return made


def outs(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def run_both(monkeypatch, folder):
    start("evaluate_relative@pairs")
    files.write_json(folder / "reports" / "metrics.json", summarise.joined(["pairs"]))
    found = verdict.scores(evaluations.tables("relative", ["pairs"]))
    compared = verdict.comparison(found, "student", ["start", "teacher", "constant"], 2)
    files.write_json(folder / COMPARISON, compared)
    for role in params.ROLES:
        files.write_json(folder / statistics_path(role), {"sources": {}})
    files.write_json(folder / AUDIT_REPORT / "summary.json", {"sources": {}, "finetuning": {}, "pairs": []})
    files.write_json(folder / SCENES_REPORT / "scenes.json", {"scenes": []})
    start("report")


def test_the_stages_leave_what_was_measured_and_the_same_bytes_again(project, monkeypatch):
    folder = project()
    monkeypatch.setattr(report, "seconds_taken", dict)  # all that differs from run to run
    run_both(monkeypatch, folder)
    summary = json.loads((folder / "reports/evaluation/relative/pairs.json").read_text())
    assert summary["images"] == 2
    assert [one["key"] for one in summary["skipped"]] == ["2"]
    table = pd.read_parquet(folder / "reports/evaluation/relative/pairs/per_image.parquet")
    for model in ("teacher", "student", "constant"):
        own = table[table["model"] == model]
        assert summary["models"][model]["abs_rel"] == pytest.approx(own["abs_rel"].mean(), rel=1e-12)
    page = (folder / "reports" / "index.html").read_text()
    assert summary["protocol"] == {"minimum": 1e-3, "maximum": 80.0, "alignment": "disparity", "name": "generic"}
    interval = summary["intervals"]["student"]["abs_rel"]
    assert interval["low"] <= summary["models"]["student"]["abs_rel"] <= interval["high"]
    difference = summary["models"]["student"]["abs_rel"] - summary["models"]["teacher"]["abs_rel"]
    assert summary["differences"]["student - teacher"]["abs_rel"]["mean"] == pytest.approx(difference, rel=1e-9)
    assert (folder / "reports/evaluation/relative/pairs/worst.png").read_bytes().startswith(b"\x89PNG")
    assert "1 image could not be measured: 0 pixels of truth" in page
    assert "evaluation/pairs" in page  # where the broken pair was refused
    assert str(folder) not in page
    first = outs(folder / "reports")
    shutil.rmtree(folder / "reports")
    shutil.rmtree(folder / ".work")
    run_both(monkeypatch, folder)
    assert outs(folder / "reports") == first


def test_a_set_that_has_no_depth_is_named_in_one_line(project, monkeypatch):
    project("affine_disparity")
    with pytest.raises(UserError, match=r"evaluation\.pairs: .*affine_disparity"):
        start("evaluate_relative@pairs")


def test_what_is_held_out_is_measured_like_a_set_and_nothing_is_no_set(project):
    folder = project()
    start("evaluate_held_out")
    assert measured_sets() == ["pairs"]
    shutil.copytree(folder / "data/evaluation/pairs", folder / "data/labeled/pairs")
    entry = {"samples": 3, "quarantined": 1, "manifest_sha256": "0" * 64}
    files.write_json(folder / "data/catalog/labeled.json", {"pairs": entry})
    hold_out(folder, ["0", "2"])
    start("evaluate_held_out")
    assert measured_sets() == ["held_out", "pairs"]
    start("evaluate_relative@pairs")
    own, other = (evaluations.tables("relative", [name])[name] for name in ("held_out", "pairs"))
    assert set(own["key"]) == {"pairs/0"}  # no truth of the other counts: it is too far
    for model in ("teacher", "student", "constant"):
        one, same = own[own["model"] == model], other[(other["model"] == model) & (other["key"] == "0")]
        assert one["abs_rel"].item() == same["abs_rel"].item()


def test_what_a_student_started_as_is_measured_beside_it(project):
    folder = project()
    shutil.copytree(folder / "models" / "teacher", folder / "data" / "models" / "old")
    content = yaml.safe_load((folder / "params.yaml").read_text())
    content["models"] = {"old": {"source": "old"}}
    content["student"] |= {"encoder": "tiny", "initial": "data/models/old"}
    content["feature_alignment"]["block"] = 3
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    start("evaluate_relative@pairs")
    measured = json.loads((folder / "reports/evaluation/relative/pairs.json").read_text())["models"]
    assert list(measured) == ["teacher", "student", "start", "constant"]
    assert measured["start"] == measured["teacher"] != measured["student"]
