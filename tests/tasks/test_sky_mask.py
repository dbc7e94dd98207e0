"""The stage sky_mask as a user starts it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from depth_model.errors import UserError
from depth_model.shards.source import SidecarFolder, SourceFolder
from depth_model.shown import run_command
from depth_model.sky import masks
from tasks.settings import presets
from tasks.workspace import entry
from tests.tasks.starting import start


@pytest.fixture
def project(tmp_path, repository, monkeypatch):
    """A collected project: `world` (class labels, 3 pictures) and `pairs` (none, 5 pictures with a bright top)."""
    content = presets.content(repository / "presets" / "demo.yaml")
    content |= {"finetune_metric": {}, "evaluate_metric": {}}
    content |= {"finetune_semantic": {}, "evaluate_semantic": {}}
    world = {"domain": "hills", "count": 3, "seed": 4, "height": 64, "width": 96}
    pairs = {"color": "c*.png", "depth": "d*.png", "unit": 1000}
    content["sources"] = {
        "labeled": {
            "world": {"reader": "rendered_world", "options": world},
            "pairs": {"reader": "rgbd_folder", "root": "pairs", "options": pairs},
        },
        "unlabeled": {},
        "evaluation": {},
        "metric": {},
        "semantic": {},
    }
    content["collect"] = {"max_side": 100, "minimum_side": 8, "decode_budget": "1 GB", "samples_per_shard": 2}
    content["machine"]["collect"]["workers"] = 1
    masks._segmenter.cache_clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / "pairs").mkdir()
    for number in range(5):
        image = np.zeros((40, 60, 3), np.uint8)
        image[: 4 * number] = 255
        Image.fromarray(image).save(tmp_path / "pairs" / f"c{number}.png")
        depth = np.arange(1, 2401, dtype=np.uint16).reshape(40, 60)
        Image.fromarray(depth).save(tmp_path / "pairs" / f"d{number}.png")
    write_params(tmp_path, content)
    start("inventory")
    for name in ("world", "pairs"):
        start(f"collect_labeled@{name}")
    return tmp_path, content


def write_params(folder, content):
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def fractions(name):
    return SidecarFolder(f"data/sky/{name}").sidecar["sky_fraction"].tolist()


def test_class_labels_make_the_masks_without_any_segmenter(project, monkeypatch):
    monkeypatch.setattr(masks, "load_segmenter", lambda name, device: 1 / 0)
    start("sky_mask@world")
    source, stored = SourceFolder("data/labeled/world"), SidecarFolder("data/sky/world")
    for index in range(3):
        np.testing.assert_array_equal(stored.raster(index), np.isnan(source.target(index)))
    assert fractions("world") == pytest.approx([np.isnan(source.target(k)).mean() for k in range(3)])


def test_without_labels_the_segmenter_decides_at_the_threshold(project, monkeypatch):
    folder, content = project
    monkeypatch.setattr(
        masks, "load_segmenter", lambda name, device: lambda image: image.mean(2, dtype=np.float32) / 300
    )
    start("sky_mask@pairs")
    assert fractions("pairs") == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    content["sky"]["threshold"] = 0.9  # 255 / 300 is below
    write_params(folder, content)
    start("sky_mask@pairs")
    assert fractions("pairs") == [0.0] * 5


def test_a_killed_stage_goes_on_with_the_missing_shards(project, monkeypatch):
    seen = []

    def fails_at_the_fourth(image):
        seen.append(None)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return np.zeros(image.shape[:2], np.float32)

    monkeypatch.setattr(masks, "load_segmenter", lambda name, device: fails_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        start("sky_mask@pairs")
    start("sky_mask@pairs")
    ends = np.cumsum([len(rows) for _, rows in SourceFolder(project[0] / "data/labeled/pairs").shards()])
    assert len(seen) == 4 + 5 - max(end for end in ends if end < 4)  # what was finished is not made again
    assert fractions("pairs") == [0.0] * 5


def test_a_finished_result_is_used_again(project, monkeypatch):
    start("sky_mask@world")
    before = (project[0] / "data/sky/world/sidecar.parquet").read_bytes()
    monkeypatch.setattr(masks, "mask_source", lambda *arguments: 1 / 0)
    start("sky_mask@world")
    assert (project[0] / "data/sky/world/sidecar.parquet").read_bytes() == before


def test_a_segmenter_that_cannot_be_had_is_one_line(project, monkeypatch, capsys):
    folder, content = project
    content["sky"]["segmenter"] = "empty_model"
    (folder / "empty_model").mkdir()
    write_params(folder, content)
    with pytest.raises(SystemExit):
        run_command(lambda: start("sky_mask@pairs"))
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: params.yaml: sky.segmenter: sky segmenter 'empty_model' cannot be loaded")


def test_a_source_that_is_not_collected_is_named(project, monkeypatch):
    shutil.rmtree(project[0] / "data/labeled/world")
    with pytest.raises(UserError, match=r"data/labeled/world: not there; 'dvc repro sky_mask@world' makes what"):
        start("sky_mask@world")


def test_the_content_of_a_segmenter_is_part_of_the_fingerprint(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    before = entry.foreign_files({"sky": {"segmenter": str(tmp_path)}})
    (tmp_path / "config.json").write_text("{ }")
    assert entry.foreign_files({"sky": {"segmenter": str(tmp_path)}}) != before
    assert entry.foreign_files({"sky": {"segmenter": "none"}}) == {}
