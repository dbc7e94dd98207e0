"""ONNX files of all three kinds of models, opened by onnxruntime and OpenVINO, against the model in eager mode."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from depth_model.errors import UserError
from depth_model.interchange.onnx_file import (
    OPSET,
    TOLERANCES,
    OnnxOptions,
    check_images,
    check_range,
    export_onnx,
    noise,
    onnx_difference,
    output_name,
)
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.networks import DepthAnything, build_encoder
from depth_model.semantic.classes import ClassList
from depth_model.semantic.heads.segmentation import Segmentation
from depth_model.semantic.heads.settings import Mask2FormerSettings

CLASSES = ClassList("three", ("wall", "floor", "door"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
SIZE = (42, 70)
KINDS = {
    "disparity": lambda: DepthAnything("tiny", seed=3, blocks=[0, 1, 2, 3]),
    "bins": lambda: MetricDepth(DepthAnything("tiny", seed=3), "bins", 10.0),
    "sigmoid": lambda: MetricDepth(DepthAnything("tiny", seed=3), "sigmoid", 20.0),
    "scores": lambda: Segmentation(build_encoder("tiny", seed=3), CLASSES, "linear", 56),
}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("disparity", OnnxOptions(size=SIZE)),
        *(
            pytest.param(kind, options, marks=pytest.mark.slow)
            for kind, options in (
                ("bins", OnnxOptions(size=SIZE)),
                ("bins", OnnxOptions()),
                ("sigmoid", OnnxOptions(size=SIZE)),
                ("scores", OnnxOptions()),
                ("disparity", OnnxOptions(precision="fp16", size=SIZE)),
                ("disparity", OnnxOptions(precision="fp16")),
            )
        ),
    ],
    ids=str,
)
def test_every_kind_is_opened_by_others_and_gives_the_same(kind, options, tmp_path):
    openvino = pytest.importorskip("openvino")
    model, path = KINDS[kind]().eval(), tmp_path / "model.onnx"
    export_onnx(model, path, options, {"source": "org/name"})
    images = noise(model, options.size)
    tolerance = TOLERANCES[options.precision]
    assert onnx_difference(model, path, images) < tolerance
    stored = onnx.load(path)
    assert [(one.domain, one.version) for one in stored.opset_import] == [("", OPSET)]
    assert {one.key: one.value for one in stored.metadata_props}["source"] == "org/name"
    fixed = [one.dim_value for one in stored.graph.input[0].type.tensor_type.shape.dim]
    assert fixed == ([1, 3, *SIZE] if options.size else [0, 3, 0, 0])
    with torch.inference_mode():
        expected = model(images[0]).numpy()
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled({0: images[0].numpy()})[output_name(model)]
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < tolerance * np.ptp(expected)


@pytest.mark.slow
def test_another_model_is_told_apart(tmp_path):
    model, path = KINDS["disparity"]().eval(), tmp_path / "model.onnx"
    export_onnx(model, path, OnnxOptions(size=SIZE))
    other = DepthAnything("tiny", seed=4, blocks=[0, 1, 2, 3])
    assert onnx_difference(other, path, noise(model, SIZE)) > TOLERANCES["fp16"]


def test_what_half_precision_cannot_hold_is_refused_by_the_name_of_the_layer():
    model = KINDS["disparity"]()
    largest, layer = check_range(model, noise(model, None))
    assert 0 < largest < 65504 and dict(model.named_modules())[layer] is not None
    with torch.no_grad():
        model.encoder.blocks[2].mlp.fc1.bias.fill_(1e5)
    with pytest.raises(UserError, match=r"layer encoder.blocks.2.mlp.\S+ gives 1e\+05"):
        check_range(model, noise(model, None))


@pytest.fixture
def mask2former():
    settings = Mask2FormerSettings(width=32, feedforward=32, pixel_layers=1, decoder_layers=1, heads=2, queries=5)
    return Segmentation(build_encoder("tiny", seed=3), CLASSES, settings, 56).eval()


def test_a_mask2former_of_any_size_is_refused(mask2former, tmp_path):
    with pytest.raises(UserError, match="one size of images only"):
        export_onnx(mask2former, tmp_path / "any.onnx")


@pytest.mark.slow
def test_a_mask2former_of_one_size_gives_the_same(mask2former, tmp_path):
    export_onnx(mask2former, tmp_path / "one.onnx", OnnxOptions(size=SIZE))
    assert onnx_difference(mask2former, tmp_path / "one.onnx", noise(mask2former, SIZE)) < TOLERANCES["fp32"]


def test_pictures_are_shown_as_the_file_takes_them():
    model, picture = KINDS["disparity"](), np.zeros((60, 90, 3), np.uint8)
    assert [tuple(one.shape) for one in check_images(model, [picture], SIZE)] == [(1, 3, *SIZE)]
    assert [tuple(one.shape) for one in check_images(model, [picture], None)] == [(1, 3, 518, 784)]
