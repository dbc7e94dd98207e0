"""Scenes: pictures that look alike end in one group, and each stands for its share of its source."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from depth_model import readers
from depth_model.audit.scenes import PER_SOURCE, evenness, groups, sampled_rows, scenes
from depth_model.networks import frozen_encoder
from depth_model.reading.collecting import collect_source
from depth_model.shards.source import SourceFolder

COLORS = {"red": (220, 30, 30), "green": (20, 190, 40), "blue": (40, 40, 230)}


def source(tmp_path, name, colors):
    """A collected source with a noisy picture for each of `colors`, in that order."""
    folder = tmp_path / name
    folder.mkdir()
    for number, color in enumerate(colors):
        noise = np.random.default_rng([number, len(colors)]).integers(-15, 16, (40, 60, 3))
        pixels = np.clip(np.array(COLORS[color]) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    reader = readers.get("image_folder")
    settings = {"max_side": 100, "minimum_side": 8, "samples_per_shard": 100, "workers": 1}
    collect_source(reader, folder, reader.options(), tmp_path / f"s_{name}", tmp_path / f"c_{name}", **settings)
    return SourceFolder(tmp_path / f"c_{name}")


def main_color(scene):
    pixels = np.array(Image.open(io.BytesIO(scene.pictures)).convert("RGB"))
    middle = pixels[40:56, 40:56].reshape(-1, 3).mean(0)
    return min(COLORS, key=lambda name: np.abs(middle - COLORS[name]).sum())


def test_pictures_of_one_kind_are_together_and_counted_by_source(tmp_path):
    sources = {
        "labeled/one": source(tmp_path, "one", ["red"] * 30 + ["green"] * 10),
        "unlabeled/two": source(tmp_path, "two", ["blue"] * 2 * PER_SOURCE),
        "unlabeled/none": source(tmp_path, "none", []),
    }
    found = scenes(sources, frozen_encoder("tiny", seed=1), 3, seed=0)
    by_color = {}
    for scene in found:
        for name, count in scene.counts.items():
            by_color[main_color(scene), name] = by_color.get((main_color(scene), name), 0) + count
    assert by_color == {
        ("red", "labeled/one"): 30,
        ("green", "labeled/one"): 10,
        ("blue", "unlabeled/two"): 2 * PER_SOURCE,  # every second one was looked at
    }
    assert [scene.images for scene in found] == sorted((scene.images for scene in found), reverse=True)
    again = scenes(sources, frozen_encoder("tiny", seed=1), 3, seed=0)
    assert again == found


def test_nothing_collected_is_no_scene(tmp_path):
    assert scenes({"unlabeled/none": source(tmp_path, "none", [])}, frozen_encoder("tiny"), 3, seed=0) == []


def test_groups_are_those_of_well_parted_points():
    generator = np.random.default_rng(0)
    truth = np.repeat(np.arange(5), 20)
    points = np.eye(5)[truth] + generator.normal(0, 0.01, (100, 5))
    label, distance = groups(points.astype(np.float32), seed=3)
    assert label.min() == 0 and len(np.unique(label)) == label.max() + 1
    assert all(len(np.unique(truth[label == group])) == 1 for group in np.unique(label))
    assert distance.max() < 0.1


@pytest.mark.parametrize("count", [0, 1, PER_SOURCE - 1, PER_SOURCE, PER_SOURCE + 1, 10**6])
def test_rows_are_evenly_spaced_without_repeating(count):
    rows = sampled_rows(count)
    assert len(rows) == min(count, PER_SOURCE)
    assert all(0 <= row < count for row in rows)
    if len(rows) > 1:
        steps = np.diff(rows)
        assert steps.min() >= 1 and steps.max() - steps.min() <= 1


def test_evenness_is_the_number_of_equal_shares():
    assert evenness([3, 3, 3, 0]) == pytest.approx(3)
    assert evenness([7]) == pytest.approx(1)
    assert evenness([]) == 0
    assert 1 < evenness([9, 1]) < 2
