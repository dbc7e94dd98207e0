"""A small labelled folder of pictures and depth files, and its collection."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from depth_model.datasets import readers
from depth_model.datasets.collecting import collect_source

RGBD = {"color": "rgb/*.png", "depth": "depth/*.png", "unit": 1000.0}


def write_pairs(root, count, shape=(36, 48)):
    """Write `count` pairs of noise and depth in millimetres; returns {number: (image, stored depth)}."""
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
