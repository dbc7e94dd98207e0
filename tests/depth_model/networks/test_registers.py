"""DINOv2 with registers: the encoder against timm's and transformers', and the model around it in every layout."""

from __future__ import annotations

import onnxruntime
import pytest
import timm
import torch
from torch.nn import functional

from depth_model.interchange.export import AnySize, antialiased_matrix, export_official
from depth_model.interchange.onnx_file import export_onnx
from depth_model.networks import BadCheckpoint, DepthAnything, Encoder, build_encoder
from depth_model.networks.variants import VARIANTS

transformers = pytest.importorskip("transformers")

SHAPES = [(518, 518), (126, 182), (574, 84)]


def images(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height + width))


def randomized(module: torch.nn.Module) -> torch.nn.Module:
    """`module` with no two tokens alike: registers start next to zero, where one could stand for another."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return randomized(Encoder("tiny_reg", seed=2))


@pytest.fixture(scope="module")
def model() -> DepthAnything:
    return randomized(DepthAnything("tiny_reg", seed=2, blocks=[0, 1, 2, 3]))


def test_tokens_are_those_of_timm_with_its_weights(tmp_path):
    timms = timm.models.VisionTransformer(
        patch_size=14,
        embed_dim=48,
        depth=4,
        num_heads=3,
        img_size=518,
        reg_tokens=4,
        no_embed_class=True,
        init_values=1.0,
        num_classes=0,
    )
    torch.save(randomized(timms).state_dict(), tmp_path / "timm.pth")
    ours = build_encoder("tiny_reg", str(tmp_path / "timm.pth")).eval()
    with torch.inference_mode():
        expected = timms.get_intermediate_layers(images(518, 518), n=[1, 3], norm=True)
        found = ours(images(518, 518), [1, 3])
    assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_are_those_of_transformers_at_any_size_and_either_variant(tmp_path, shape):
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=3, image_size=518, patch_size=14
    )
    theirs = randomized(transformers.Dinov2WithRegistersModel(config))
    theirs.save_pretrained(tmp_path)
    with torch.inference_mode():
        expected = theirs(images(*shape)).last_hidden_state[:, 5:]
        for variant in ("official", "exact"):
            ours = build_encoder("tiny_reg", str(tmp_path), position_embedding=variant).eval()
            found = ours(images(*shape), [3])[0]
            assert (found - expected).abs().max() < 1e-5 * (expected.max() - expected.min())


def test_registers_change_the_tokens_and_are_none_of_them(encoder):
    with torch.inference_mode():
        before = encoder(images(42, 56), [3])[0].clone()
        other = randomized(Encoder("tiny_reg", seed=2))
        other.register_tokens.mul_(-1)
        after = other(images(42, 56), [3])[0]
    assert before.shape == (2, 12, 48)
    assert (after - before).abs().max() > 0.01


@pytest.mark.parametrize("layout", ["folder", "official"])
def test_a_model_comes_back_from_every_layout(model, tmp_path, layout):
    path = tmp_path / layout
    model.save(path) if layout == "folder" else export_official(model, path)
    again = DepthAnything.load(path, blocks=model.blocks).eval()
    assert again.encoder.size == "tiny_reg"
    with torch.inference_mode():
        assert torch.equal(again(images(42, 56)), model(images(42, 56)))
    with pytest.raises(BadCheckpoint, match=r"register_tokens|size"):
        build_encoder("tiny", str(path))


def test_every_trainable_parameter_learns():
    model = DepthAnything("tiny_reg", seed=1)
    model(images(42, 56)).square().mean().backward()
    learning = {name for name, one in model.named_parameters() if one.requires_grad}
    assert "encoder.register_tokens" in learning
    assert all(one.grad is not None for one in model.parameters() if one.requires_grad)


def test_the_graph_for_export_gives_the_same_for_any_size(model):
    for shape in SHAPES:
        with torch.inference_mode():
            expected, found = model(images(*shape)), AnySize(model)(images(*shape))
        assert (found - expected).abs().max() < 1e-5 * (expected.max() - expected.min())


@pytest.mark.slow
def test_onnx_gives_the_same_for_any_size(model, tmp_path):
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for shape in SHAPES:
        with torch.inference_mode():
            expected = model(images(*shape)).numpy()
        (found,) = session.run(["disparity"], {"images": images(*shape).numpy()})
        assert abs(found - expected).max() < 1e-5 * (expected.max() - expected.min())


@pytest.mark.parametrize("wanted", [3, 20, 37, 55])
def test_antialiased_resizing_is_that_of_torch(wanted):
    table = torch.randn(1, 4, 37, 37, generator=torch.Generator().manual_seed(0))
    expected = functional.interpolate(table, size=(wanted, wanted), mode="bicubic", antialias=True)
    matrix = antialiased_matrix(37, wanted, torch.tensor(float(wanted)))
    torch.testing.assert_close(matrix @ table @ matrix.T, expected, rtol=0, atol=4e-5)


@pytest.mark.parametrize("size", ["vits_reg", "vitb_reg", "vitl_reg"])
def test_the_published_sizes_have_timms_tensors_and_a_position_of_the_class_token(size):
    with torch.device("meta"):
        ours = Encoder(size)
        timms = timm.create_model(VARIANTS[size].timm, num_classes=0, img_size=518)
    learning = sum(one.numel() for one in ours.parameters() if one is not ours.mask_token)
    assert learning == sum(one.numel() for one in timms.parameters()) + ours.dimension
