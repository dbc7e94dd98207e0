"""A model and pictures for commands that predict."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from depth_model.networks import DepthAnything


@pytest.fixture
def model(tmp_path):
    DepthAnything("tiny", seed=1).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def album(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for name in ("a.png", "deep/b.png"):
        (tmp_path / "album" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "album" / name)
    return tmp_path / "album"
