"""Files of the second Depth Anything against values that the official code gave for weights drawn by name.

The official code (DepthAnything/Depth-Anything-V2, `infer_image`) was run on `pattern` with the shorter side at 28, and
on a photograph at 518 where the shared cases are at hand.
"""

from __future__ import annotations

import importlib.util
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from depth_model.comparison import adapters
from depth_model.metric.heads.metric_depth import MetricDepth, load_depth
from depth_model.metric.prediction.predictor import MetricPredictor
from depth_model.networks import DepthAnything
from depth_model.prediction.predictor import DepthPredictor

SHARED = Path(__file__).parents[5] / "shared"
NAMES = {
    "relative": "depth_anything_v2_vits.pth",
    "hypersim": "depth_anything_v2_metric_hypersim_vits.pth",
    "vkitti": "depth_anything_v2_metric_vkitti_vits.pth",
}
OFFICIAL = {
    ("relative", (60, 90)): [0.770089, 1.38381, 0.835134, 1.092558, 0.246063, 0.973143, 0.842704, 0.901055, 0.809531],
    ("relative", (45, 40)): [0.970994, 0.990026, 1.802979, 0.919416, 1.166731, 0.252596, 0.357959, 0.201058, 0.825464],
    ("relative", (30, 100)): [0.762649, 1.260578, 1.175826, 0.94755, 1.186886, 1.018425, 0.114768, 0.466042, 0.727217],
    ("hypersim", (60, 90)): [13.670805, 15.990643, 13.946639, 14.977259, 11.223006, 14.509287, 13.980659, 14.218779],
    ("hypersim", (45, 40)): [14.506351, 14.581862, 17.170223, 14.29846, 15.24918, 11.256178, 11.770893, 11.00191],
    ("hypersim", (30, 100)): [13.638574, 15.575996, 15.281625, 14.412445, 15.322762, 14.687516, 10.452185, 12.288898],
    ("vkitti", (60, 90)): [54.68322, 63.96257, 55.786556, 59.909035, 44.892025, 58.037148, 55.922638, 56.875114],
    ("vkitti", (45, 40)): [58.025406, 58.32745, 68.680893, 57.19384, 60.996719, 45.024712, 47.083572, 44.007641],
    ("vkitti", (30, 100)): [54.554295, 62.303986, 61.126499, 57.64978, 61.29105, 58.750065, 41.808739, 49.155594],
}
RANGE = {"relative": 2.6, "hypersim": 9.8, "vkitti": 39.0}
"""Least range of the three maps, largest value minus least."""


def filled(name: str, shape: torch.Size) -> torch.Tensor:
    """Return a tensor drawn by its name at a scale that keeps the signal alive."""
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape)).astype(np.float32)
    if name.endswith("gamma") or ("norm" in name and name.endswith("weight")):
        values = 1 + 0.1 * values
    elif len(shape) >= 2 and not any(one in name for one in ("pos_embed", "cls_token", "mask_token")):
        transposed = "resize_layers.0" in name or "resize_layers.1" in name
        values = values / np.sqrt(shape[0] if transposed else np.prod(shape[1:]))
    else:
        values = 0.1 * values
    return torch.from_numpy(values + 1 if name.endswith("output_conv2.2.bias") else values)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("second")
    with torch.device("meta"):
        shapes = {name: one.shape for name, one in DepthAnything("vits").official_state().items()}
    state = {name: filled(name, shape) for name, shape in shapes.items()}
    for name in NAMES.values():
        torch.save(state, folder / name)
    return folder


def pattern(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([(7 * y + 3 * x) % 256, (5 * x + y * y // 9) % 256, (y * x // 11) % 256], -1).astype(np.uint8)


def predictor(path: Path, side: int):
    model = load_depth(path)
    assert model.version == "v2"
    return MetricPredictor(model, short_side=side) if isinstance(model, MetricDepth) else DepthPredictor(model, side)


def picked(values: np.ndarray) -> np.ndarray:
    height, width = values.shape
    return values[:: height // 3, :: width // 3].ravel()


@pytest.mark.parametrize("kind", ["relative", "hypersim", pytest.param("vkitti", marks=pytest.mark.slow)])
def test_maps_are_those_of_the_official_code(files, tmp_path, kind):
    ours = predictor(files / NAMES[kind], 28)
    assert getattr(ours.model, "maximum", None) == {"hypersim": 20.0, "vkitti": 80.0}.get(kind)
    ours.model.save(tmp_path / "folder")
    again = predictor(tmp_path / "folder", 28)
    settings = adapters.Settings(short_side=28)
    evaluated = [adapters.load(str(path), settings) for path in (files / NAMES[kind], tmp_path / "folder")]
    for (which, shape), expected in OFFICIAL.items():
        if which == kind:
            image = pattern(*shape)
            for found in (ours(image), again(image), *(one.predict(image, ("a",)) for one in evaluated)):
                assert found.shape == shape
                difference = picked(found)[: len(expected)] - np.array(expected)
                assert np.abs(difference).max() < 1e-4 * RANGE[kind]


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "cases/official-v2").is_dir(), reason="the shared cases are not beside this checkout")
@pytest.mark.parametrize(("kind", "key"), [("relative", "relative"), ("hypersim", "metric")])
def test_a_photograph_at_full_size_is_that_of_the_official_code(files, kind, key):
    specification = importlib.util.spec_from_file_location("weights", SHARED / "cases/official-v2/weights.py")
    weights = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(weights)
    with np.load(SHARED / "cases/official-v2/official_v2.npz") as expected:
        shapes, values = expected[f"{key}_shapes"], expected[f"{key}|kodak_05.jpg"]
    state = torch.load(files / NAMES[kind], weights_only=True)
    assert sorted(f"{name} {list(one.shape)}" for name, one in state.items()) == sorted(shapes)
    theirs = weights.fill(state)
    assert all(torch.equal(one, theirs[name]) for name, one in state.items())
    found = predictor(files / NAMES[kind], 518)(SHARED / "samples/photos/kodak_05.jpg")[::5, ::5]
    assert np.abs(found - values).max() < 1e-4 * np.ptp(values)
