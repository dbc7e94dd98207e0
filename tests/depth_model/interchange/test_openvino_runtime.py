"""OpenVINO's compiled model against the model in eager mode."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from depth_model.errors import UserError
from depth_model.interchange import openvino_runtime
from depth_model.interchange.onnx_file import onnx_bytes
from depth_model.interchange.openvino_runtime import SHAPES, OpenVinoModel
from depth_model.networks import DepthAnything
from depth_model.prediction.predictor import DepthPredictor

pytest.importorskip("openvino")

SIGNALED = """
import gc, os, signal, sys, threading
from pathlib import Path
import torch
from depth_model.networks import DepthAnything
from depth_model.interchange import openvino_runtime
from depth_model.interchange.openvino_runtime import OpenVinoModel

openvino_runtime.onnx_bytes = lambda *given: Path(sys.argv[1]).read_bytes()
signal.signal(signal.SIGUSR1, lambda number, frame: print("handled"))
models = [OpenVinoModel(DepthAnything("tiny"))]
models[0](torch.zeros(1, 3, 42, 42))
models.clear()
thread = threading.Thread(target=gc.collect)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.fixture(scope="module")
def model() -> DepthAnything:
    return DepthAnything("tiny", seed=3, blocks=[0, 1, 2, 3]).eval()


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Path:
    """Where `compiled` leaves the exported model, which takes long to make."""
    return tmp_path_factory.mktemp("graph") / "model.onnx"


@pytest.fixture(scope="module")
def compiled(model, graph) -> OpenVinoModel:
    def kept(*given):
        graph.write_bytes(onnx_bytes(*given))
        return graph.read_bytes()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(openvino_runtime, "onnx_bytes", kept)
        return OpenVinoModel(model)


def images(batch: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(height + width))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 126, 84), (3, 42, 70), (1, 518, 518), (1, 126, 84)])
def test_disparity_is_that_of_torch_at_any_shape(model, compiled, shape):
    with torch.inference_mode():
        expected, found = model(images(*shape)), compiled(images(*shape))
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-5 * (expected.max() - expected.min())


@pytest.mark.slow
def test_a_result_is_not_overwritten_by_the_next(compiled):
    first = compiled(images(1, 42, 70))
    before = first.clone()
    compiled(images(1, 42, 70) + 1)
    assert torch.equal(first, before)


@pytest.mark.slow
def test_no_more_shapes_are_kept_than_said(compiled):
    for rows in range(3, 3 + SHAPES + 2):
        compiled(images(1, 14 * rows, 42))
    assert compiled._compiled.cache_info().currsize == SHAPES


@pytest.mark.slow
def test_a_picture_smaller_than_the_graph_is_named(compiled):
    with pytest.raises(ValueError, match="begins at 42"):
        compiled(images(1, 28, 70))


@pytest.mark.slow
def test_a_predictor_uses_it(model, compiled, graph, monkeypatch):
    monkeypatch.setattr(openvino_runtime, "onnx_bytes", lambda *given: graph.read_bytes())
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    expected = DepthPredictor(model, 56, flip_averaging=True)(picture)
    predictor = DepthPredictor(model, 56, flip_averaging=True, compiled=OpenVinoModel(model, "bf16"))
    assert isinstance(predictor.model, OpenVinoModel)
    assert np.abs(predictor(picture) - expected).max() < 0.05 * np.ptp(expected)


@pytest.mark.slow
def test_the_export_leaves_the_model_alone(model, compiled):
    untouched = DepthAnything("tiny", seed=3, blocks=[0, 1, 2, 3]).state_dict()
    assert all(torch.equal(value, untouched[name]) for name, value in model.state_dict().items())


def test_what_cannot_be_is_one_line(model, monkeypatch):
    with pytest.raises(ValueError, match="another device"):
        OpenVinoModel(DepthAnything("tiny").to("meta"))
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(openvino_runtime, "_core", openvino_runtime._core.__wrapped__)
    with pytest.raises(UserError, match="pip install"):
        OpenVinoModel(model)


@pytest.mark.slow
def test_a_signal_is_handled_after_the_models_are_gone(compiled, graph):
    ended = subprocess.run([sys.executable, "-c", SIGNALED, str(graph)], capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr
