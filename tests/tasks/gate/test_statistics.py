"""Statistics beside the catalog, drift against what was accepted, and both in the report."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from depth_model.errors import UserError
from depth_model.evaluation.collection_figure import collection_figure
from tasks.commands import accept
from tasks.gate import statistics
from tasks.report.sections import collection_section
from tasks.settings import presets
from tasks.workspace.paths import statistics_path
from tests.tasks.starting import start


def write_pair(folder, number, depth):
    Image.new("RGB", (30, 20), (number, 0, 0)).save(folder / f"c{number}.png")
    Image.fromarray(depth.astype(np.uint16)).save(folder / f"d{number}.png")


@pytest.fixture
def project(tmp_path, repository, monkeypatch):
    """Labeled `pairs`: four with 1 m on the left and 3 m on the right, one without a label, one of one value."""
    content = presets.content(repository / "presets" / "demo.yaml")
    content |= {"finetune_metric": {}, "evaluate_metric": {}}
    content |= {"finetune_semantic": {}, "evaluate_semantic": {}}
    options = {"color": "c*.png", "depth": "d*.png", "unit": 1000}
    pairs = {"reader": "rgbd_folder", "root": "pairs", "options": options}
    content["sources"] = {"labeled": {"pairs": pairs}, "unlabeled": {}, "evaluation": {}, "metric": {}, "semantic": {}}
    content["collect"] |= {"minimum_side": 8, "samples_per_shard": 2}
    content["machine"]["collect"]["workers"] = 1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    (tmp_path / "pairs").mkdir()
    for number in range(4):
        write_pair(tmp_path / "pairs", number, np.repeat([[1000] * 15 + [3000] * 15], 20, 0))
    write_pair(tmp_path / "pairs", 4, np.zeros((20, 30)))
    write_pair(tmp_path / "pairs", 5, np.full((20, 30), 2000))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(statistics.params, "ROLES", ("labeled",))
    gather(monkeypatch)
    return tmp_path


def gather(monkeypatch):
    start("inventory")
    start("collect_labeled@pairs")


def described():
    return json.loads(statistics_path("labeled").read_text())


def test_statistics_count_labels_and_degenerate_ones(project, monkeypatch, capsys):
    start("validate@labeled")
    found = described()
    assert (found["compared"], found["drift"]) == (False, [])
    statistics = found["sources"]["pairs"]
    assert statistics["samples"] == 4
    assert sorted(statistics["histograms"]["depth"])[-2:] == [4 * 300] * 2
    assert statistics["histograms"]["disparity"] == [1200] + [0] * 18 + [1200]
    assert statistics["histograms"]["valid_fraction"] == [0] * 19 + [4]
    assert statistics["ranges"] == {"metric_depth": [1.0, 3.0]}
    page = collection_section({"labeled": found}, {"labeled": collection_figure(found["sources"])}, 0.25)
    assert "<td>4</td><td>2</td><td>2</td><td>1 m</td><td>3 m</td>" in page
    assert "no collection was accepted yet" in page
    assert "warning" not in capsys.readouterr().err


def test_drift_warns_or_stops_and_can_be_accepted(project, monkeypatch, capsys):
    start("validate@labeled")
    accept.accept(argparse.Namespace())
    start("validate@labeled")
    assert {distance for _, _, distance in described()["drift"]} == {0}
    assert "warning" not in capsys.readouterr().err
    for number in range(6, 9):
        write_pair(project / "pairs", number, np.repeat([[9000] * 15 + [30000] * 15], 20, 0))
    gather(monkeypatch)
    start("validate@labeled")
    said = capsys.readouterr().err
    assert "warning: labeled: samples of pairs moved by 0.75" in said
    assert "depth of pairs moved by" in said
    assert "samples of pairs moved by 0.75" in collection_section({"labeled": described()}, {}, 0.25)
    path = project / "params.yaml"
    path.write_text(path.read_text().replace("action: warn", "action: stop"))
    (project / "data" / "catalog" / "labeled.json").unlink()
    with pytest.raises(UserError, match=r"moved by 0\.75(.|\n)*depth-anything accept"):
        start("validate@labeled")
    assert not (project / "data" / "catalog" / "labeled.json").exists()
    accept.accept(argparse.Namespace())
    start("validate@labeled")
    assert (project / "data" / "catalog" / "labeled.json").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"labels": {}}'])
def test_a_damaged_list_of_accepted_is_refused(project, monkeypatch, content):
    (project / "accepted.json").write_text(content)
    with pytest.raises(UserError, match=r"accepted\.json: "):
        start("validate@labeled")


def description_of(low, high, bin_of_median):
    counts = [0] * 42
    counts[bin_of_median] = 9
    return {"sources": {"pairs": {"ranges": {"metric_depth": [low, high]}, "histograms": {"depth": counts}}}}


@pytest.mark.parametrize(
    ("low", "high", "bin_of_median", "said"),
    [
        (768.0, 4937.0, 41, "pairs: labels from 768 to 4937 m, half of them beyond 1000 m: they look like millimeters"),
        (1.0, 65504.0, 20, "value for no data"),
        (0.001, 0.009, 0, "too small for a scene"),
    ],
)
def test_labels_that_are_hardly_meters_are_told(low, high, bin_of_median, said):
    (found,) = statistics.implausible(description_of(low, high, bin_of_median))
    assert said in found


@pytest.mark.parametrize(("low", "high", "bin_of_median"), [(0.4, 9.9, 20), (1.2, 350.0, 28)])
def test_rooms_and_streets_are_plausible(low, high, bin_of_median):
    assert statistics.implausible(description_of(low, high, bin_of_median)) == []


def write_sidecar(folder, low, high):
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"minimum": low, "maximum": high}), folder / "sidecar.parquet")


def test_predictions_are_described_by_their_level_and_contrast(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sidecar(tmp_path / "data" / "pseudo" / "hills", [0.5, 0.0, 0.0], [1.5, 2.0, 0.0])
    found = statistics.predicted("hills")
    assert found["samples"] == 3
    level, contrast = found["histograms"]["level"], found["histograms"]["contrast"]
    assert (level[21], level[0]) == (2, 1)  # middles of 1 stand from 2^0 on, the 21st edge; 0 is below all
    assert (contrast[13], contrast[19], contrast[0]) == (1, 1, 1)  # shares of 2/3, 1 and 0


def test_a_teacher_that_answers_otherwise_has_drifted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sidecar(tmp_path / "data" / "pseudo" / "hills", [1.0] * 8, [2.0] * 8)
    before = {"pseudo": {"hills": statistics.predicted("hills")}}
    (tmp_path / "accepted.json").write_text(json.dumps(before))
    same = statistics.described("pseudo", ["hills"])
    assert same["compared"] and statistics.beyond(same, 0.25) == []
    write_sidecar(tmp_path / "data" / "pseudo" / "streets", [8.0] * 8, [16.0] * 8)
    (tmp_path / "accepted.json").write_text(json.dumps({"pseudo": {"streets": before["pseudo"]["hills"]}}))
    (moved,) = statistics.beyond(statistics.described("pseudo", ["streets"]), 0.25)
    assert moved.startswith("level of streets moved by")
