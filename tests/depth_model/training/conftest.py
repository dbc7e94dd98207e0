"""Small pools: a labelled source and an unlabelled one with pseudo labels, collected as the pipeline does."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from depth_model.datasets import rasters, readers
from depth_model.datasets.collecting import collect_source
from depth_model.datasets.pool import SamplePool
from depth_model.datasets.source import SourceFolder, join_sidecar, write_sidecar_shard

COLLECT = {"max_side": 256, "minimum_side": 8, "samples_per_shard": 3, "workers": 1}
DEGENERATE = 2
"""The unlabelled sample whose pseudo label is the same everywhere."""


def scene(number, height=48, width=64):
    """An image (uint8) whose depth (metres) follows its brightness, so that there is something to learn."""
    generator = np.random.default_rng(number)
    rows, columns = np.mgrid[0:height, 0:width]
    depth = 2.0 + 6.0 * rows[::-1] / height + generator.random()
    for _ in range(3):
        top, left, side = generator.integers(height), generator.integers(width), generator.integers(8, 24)
        inside = (abs(rows - top) < side) & (abs(columns - left) < side)
        depth = np.where(inside, np.maximum(1.0, 0.6 * depth), depth)
    grey = 230 / depth
    image = np.stack([grey, grey * 0.8, 255 - grey], -1) + generator.normal(0, 1, (height, width, 3))
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
    return _collect(
        data, tmp_path, "labeled", "rgbd_folder", root, color="rgb/*.png", depth="depth/*.png", unit=1000.0
    )


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
        encoded = [rasters.encode_quantised(label, 14) for label in labels]
        write_sidecar_shard(scratch, source, shard, "target.dar", encoded, {"bits": [14] * len(rows)})
    join_sidecar(scratch, data / "pseudo" / "scenes", source)


@pytest.fixture(scope="session")
def pools(tmp_path_factory):
    """(labelled pool of 6 samples, pseudo-labelled pool of 7, one of them degenerate)."""
    folder = tmp_path_factory.mktemp("pools")
    data = folder / "data"
    _labeled(data, folder, 6)
    _pseudo(data, folder, 7)
    return (
        SamplePool(data, "labeled", {"scenes": {"samples": 6}}, None),
        SamplePool(data, "unlabeled", {"scenes": {"samples": 7}}, "pseudo"),
    )
