"""A small labeled folder and its collection; small pools, collected as the pipeline does."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from depth_model import readers
from depth_model.reading.collecting import collect_source
from depth_model.shards import rasters
from depth_model.shards.pool import SamplePool
from depth_model.shards.source import SourceFolder, join_sidecar, write_sidecar_shard

RGBD = {"color": "rgb/*.png", "depth": "depth/*.png", "unit": 1000.0}


def write_pairs(root, count, shape=(36, 48)):
    """Write `count` pairs of noise and depth in millimeters; returns {number: (image, stored depth)}."""
    generator = np.random.default_rng(count)
    content = {}
    for number in range(count):
        image = generator.integers(0, 256, (*shape, 3)).astype(np.uint8)
        depth = generator.integers(500, 9000, shape).astype(np.uint16)
        depth[generator.random(shape) < 0.2] = 0
        for name, pixels in (("rgb", image), ("depth", depth)):
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / name / f"{number:03d}.png")
        content[number] = image, depth
    return content


@pytest.fixture
def collect(tmp_path):
    """Collect a folder with a reader by name into tmp_path; returns the result folder."""

    def run(name, root, result="result", scratch="scratch", **changed):
        settings = {"max_side": 1000, "minimum_side": 8, "samples_per_shard": 3, "workers": 1}
        settings |= {key: changed.pop(key) for key in list(changed) if key in {*settings, "progress", "labels"}}
        reader = readers.get(name)
        options = reader.options(**changed)
        collect_source(reader, root, options, tmp_path / scratch, tmp_path / result, **settings)
        return tmp_path / result

    return run


@pytest.fixture
def pairs(tmp_path, collect):
    """(content, folder of the collected source): seven pairs in shards of three, data/labeled/pairs."""
    content = write_pairs(tmp_path / "pairs", 7)
    return content, collect("rgbd_folder", tmp_path / "pairs", "data/labeled/pairs", **RGBD)


COLLECT = {"max_side": 256, "minimum_side": 8, "samples_per_shard": 3, "workers": 1}
DEGENERATE = 2
"""A small labeled folder and its collection; small pools, collected as the pipeline does."""


def scene(number, height=48, width=64):
    """An image (uint8) whose depth (meters) follows its brightness, so that there is something to learn."""
    generator = np.random.default_rng(number)
    rows, columns = np.mgrid[0:height, 0:width]
    depth = 2.0 + 6.0 * rows[::-1] / height + generator.random()
    for _ in range(3):
        top, left, side = generator.integers(height), generator.integers(width), generator.integers(8, 24)
        inside = (abs(rows - top) < side) & (abs(columns - left) < side)
        depth = np.where(inside, np.maximum(1.0, 0.6 * depth), depth)
    gray = 230 / depth
    image = np.stack([gray, gray * 0.8, 255 - gray], -1) + generator.normal(0, 1, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8), depth


def _collect(data, tmp_path, role, reader, root, **options):
    chosen = readers.get(reader)
    result = data / role / "scenes"
    collect_source(chosen, root, chosen.options(**options), tmp_path / f"scratch-{role}", result, **COLLECT)
    return SourceFolder(result)


def _labeled(data, tmp_path, count):
    root = tmp_path / "rgbd"
    for name in ("rgb", "depth"):
        (root / name).mkdir(parents=True)
    for number in range(count):
        image, depth = scene(number)
        Image.fromarray(image).save(root / "rgb" / f"{number:03d}.png")
        Image.fromarray((depth * 1000).astype(np.uint16)).save(root / "depth" / f"{number:03d}.png")
    return _collect(data, tmp_path, "labeled", "rgbd_folder", root, color="rgb/*.png", depth="depth/*.png", unit=1000.0)


def _pseudo(data, tmp_path, count):
    root = tmp_path / "images"
    root.mkdir()
    for number in range(count):
        Image.fromarray(scene(100 + number, 40 + 4 * number, 60)[0]).save(root / f"{number:03d}.png")
    source = _collect(data, tmp_path, "unlabeled", "image_folder", root)
    scratch = tmp_path / "scratch-pseudo"
    scratch.mkdir()
    for shard, rows in source.shards():
        labels = [source.image(row)[::2, ::2, 0] * np.float32(row != DEGENERATE) for row in rows]
        encoded = [rasters.encode_quantized(label, 14) for label in labels]
        write_sidecar_shard(scratch, source, shard, "target.dar", encoded, {"bits": [14] * len(rows)})
    join_sidecar(scratch, data / "pseudo" / "scenes", source)


@pytest.fixture(scope="session")
def pools(tmp_path_factory):
    """(labeled pool of 6 samples, pseudo-labeled pool of 7, one of them degenerate)."""
    folder = tmp_path_factory.mktemp("pools")
    data = folder / "data"
    _labeled(data, folder, 6)
    _pseudo(data, folder, 7)
    return (
        SamplePool(data, "labeled", {"scenes": {"samples": 6}}, None),
        SamplePool(data, "unlabeled", {"scenes": {"samples": 7}}, "pseudo"),
    )
