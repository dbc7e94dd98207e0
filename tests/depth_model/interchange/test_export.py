"""Exported models, run by onnxruntime and torch.export alone, against the model in eager mode."""

from __future__ import annotations

import onnxruntime
import pytest
import torch
from torch.nn import functional

from depth_model.interchange.export import bicubic_matrix, export_official, export_program
from depth_model.interchange.onnx_file import OPSET, export_onnx, onnx_difference
from depth_model.networks import DepthAnything

SHAPES = [(1, 518, 518), (3, 126, 84), (1, 252, 350), (2, 42, 42), (1, 42, 518)]
VARIANTS = ["official", "exact"]


def one_in_full(quick):
    """Either variant, and a slow test of the one that is not `quick`: an export to any size takes half a minute."""
    params = [one if one == quick else pytest.param(one, marks=pytest.mark.slow) for one in VARIANTS]
    return pytest.mark.parametrize("model", params, indirect=True, scope="module")


def images(batch, height, width):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(height + width))


def share_of_range(found, expected):
    return float((found - expected).abs().max() / (expected.max() - expected.min()))


@pytest.fixture(scope="module", params=VARIANTS)
def model(request):
    model = DepthAnything("tiny", seed=3, position_embedding=request.param, blocks=[0, 1, 2, 3])
    with torch.no_grad():  # random tables are small beside the patches; a large one shows how it is resized
        model.encoder.pos_embed.mul_(50)
    return model.eval()


@pytest.fixture(scope="module")
def session(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(model, path)
    assert onnx_difference(model, path) < 1e-5
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def program(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    export_program(model, path)
    return torch.export.load(path).module()


@pytest.mark.slow
@one_in_full("official")
@pytest.mark.parametrize("shape", SHAPES)
def test_onnx_gives_the_same_for_any_batch_and_size(model, session, shape):
    with torch.inference_mode():
        expected = model(images(*shape))
    (found,) = session.run(["disparity"], {"images": images(*shape).numpy()})
    assert found.shape == tuple(expected.shape)
    assert share_of_range(torch.from_numpy(found), expected) < 1e-5


@pytest.mark.slow
@one_in_full("official")
def test_the_file_says_the_opset_that_the_documentation_says(session, repository):
    import onnx

    stored = onnx.load(session._model_path)
    assert [(one.domain, one.version) for one in stored.opset_import] == [("", OPSET)]
    assert f"opset {OPSET}" in (repository / "docs/export.md").read_text()


@one_in_full("exact")
@pytest.mark.parametrize("shape", SHAPES)
def test_the_program_gives_the_same_for_any_batch_and_size(model, program, shape):
    with torch.inference_mode():
        assert share_of_range(program(images(*shape)), model(images(*shape))) < 1e-5


def test_the_two_variants_differ_so_that_the_tests_above_could_fail(model):
    other = "exact" if model.encoder.position_embedding == "official" else "official"
    twin = DepthAnything("tiny", seed=3, position_embedding=other, blocks=[0, 1, 2, 3]).eval()
    twin.load_state_dict(model.state_dict())
    with torch.inference_mode():
        assert share_of_range(twin(images(1, 126, 84)), model(images(1, 126, 84))) > 1e-3
        assert share_of_range(twin(images(1, 518, 518)), model(images(1, 518, 518))) == 0


@pytest.mark.parametrize("wanted", [3, 36, 37, 55])
@pytest.mark.parametrize("excess", [0.0, 0.1])
def test_resizing_is_that_of_torch(wanted, excess):
    table = torch.randn(1, 4, 37, 37, generator=torch.Generator().manual_seed(0))
    scale = (wanted + excess) / 37
    expected = functional.interpolate(table, scale_factor=(scale, scale), mode="bicubic", antialias=False)
    matrix = bicubic_matrix(37, wanted, torch.tensor(scale))
    torch.testing.assert_close(matrix @ table @ matrix.T, expected, rtol=0, atol=2e-5)


def test_an_official_file_is_plain_tensors_and_loads_back(model, tmp_path):
    export_official(model, tmp_path / "model.pth")
    state = torch.load(tmp_path / "model.pth", weights_only=True)
    assert {name.split(".")[0] for name in state} == {"pretrained", "depth_head"}
    loaded = DepthAnything.load(tmp_path / "model.pth", "v1", model.blocks, model.encoder.position_embedding).eval()
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images(1, 42, 70)), model(images(1, 42, 70)), rtol=0, atol=0)
