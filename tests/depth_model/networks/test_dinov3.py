"""DINOv3 encoders: tokens against timm's and transformers', weights of both layouts, and the model around them."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from timm.models.eva import Eva

from depth_model.interchange.export import AnySize, export_official
from depth_model.interchange.onnx_file import export_onnx
from depth_model.networks import BadCheckpoint, DepthAnything, Encoder, build_encoder
from depth_model.networks.rotary import rotation
from depth_model.networks.variants import VARIANTS
from depth_model.prediction.precision import bfloat16_copy
from depth_model.prediction.predictor import DepthPredictor

transformers = pytest.importorskip("transformers")

SHAPES = [(512, 512), (128, 208), (560, 96)]
TINY = {"embed_dim": 48, "depth": 4, "num_heads": 3}


def images(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height + width))


def randomized(module: torch.nn.Module) -> torch.nn.Module:
    """`module` with weights from a seed, of a size at which every one of them shows in the output."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


@pytest.fixture(scope="module")
def timms() -> Eva:
    return randomized(timm.create_model("vit_small_patch16_dinov3", num_classes=0, init_values=1.0, **TINY))


@pytest.fixture(scope="module")
def model() -> DepthAnything:
    return randomized(DepthAnything("dinov3_tiny16", seed=2, blocks=[0, 1, 2, 3]))


def authors_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """timm's weights as the authors' files have them: other names, and buffers that say nothing."""
    renames = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
    named = {"rope_embed.periods": torch.ones(4), "mask_token": torch.zeros(1, 48)}
    for name, value in state.items():
        for theirs, ours in renames.items():
            name = name.replace(theirs, ours)
        named[name] = value
        if name.endswith("qkv.weight"):
            named[name.replace("weight", "bias")] = torch.zeros(len(value))
            named[name.replace("weight", "bias_mask")] = torch.full((len(value),), torch.nan)
    return named


@pytest.mark.parametrize("layout", ["timm", "authors"])
@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_are_those_of_timm_at_any_size_in_either_layout(timms, tmp_path, layout, shape):
    state = timms.state_dict()
    torch.save(state if layout == "timm" else authors_names(state), tmp_path / "encoder.pth")
    ours = build_encoder("dinov3_tiny16", str(tmp_path / "encoder.pth")).eval()
    with torch.inference_mode():
        expected = timms.forward_intermediates(
            images(*shape), indices=[1, 3], norm=True, output_fmt="NLC", intermediates_only=True
        )
        found = ours(images(*shape), [1, 3])
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() < 1e-5 * (other.max() - other.min())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rotation_is_that_of_transformers(shape):
    from transformers.models.dinov3_vit.modeling_dinov3_vit import DINOv3ViTRopePositionEmbedding

    config = transformers.DINOv3ViTConfig(hidden_size=48, num_attention_heads=3, patch_size=16)
    expected = DINOv3ViTRopePositionEmbedding(config).eval()(images(*shape))
    found = rotation(shape[0] // 16, shape[1] // 16, 5, 16, torch.device("cpu"))
    for one, other, still in zip(found, expected, (1.0, 0.0), strict=True):
        assert (one[:5] == still).all()
        torch.testing.assert_close(one[5:], other, rtol=0, atol=5e-6)


def test_a_bias_of_attention_that_is_not_zero_is_refused(timms, tmp_path):
    state = authors_names(timms.state_dict())
    state["blocks.2.attn.qkv.bias"][5] = 0.1
    torch.save(state, tmp_path / "encoder.pth")
    with pytest.raises(BadCheckpoint, match=r"encoder\.pth.*blocks\.2\.attn\.qkv\.bias"):
        build_encoder("dinov3_tiny16", str(tmp_path / "encoder.pth"))


def test_weights_of_the_other_generation_are_refused(timms, tmp_path):
    torch.save(timms.state_dict(), tmp_path / "three.pth")
    torch.save(Encoder("tiny").state_dict(), tmp_path / "two.pth")
    for size, name in (("tiny", "three"), ("tiny_reg", "three"), ("dinov3_tiny16", "two")):
        with pytest.raises(BadCheckpoint, match="is it a model of this size"):
            build_encoder(size, str(tmp_path / f"{name}.pth"))


@pytest.mark.parametrize("size", [name for name, row in VARIANTS.items() if row.rotary and row.timm])
def test_the_published_sizes_have_timms_tensors(size):
    with torch.device("meta"):
        ours, timms = Encoder(size), timm.create_model(VARIANTS[size].timm, num_classes=0)
    learning = sum(one.numel() for one in ours.parameters() if one is not ours.mask_token)
    assert learning == sum(one.numel() for one in timms.parameters())
    assert ours.depth == len(timms.blocks) and ours.blocks[0].attn.num_heads == timms.blocks[0].attn.num_heads


@pytest.mark.parametrize("layout", ["folder", "official"])
def test_a_model_comes_back_from_every_layout(model, tmp_path, layout):
    path = tmp_path / layout
    model.save(path) if layout == "folder" else export_official(model, path)
    again = DepthAnything.load(path, blocks=model.blocks).eval()
    assert (again.encoder.size, again.encoder.patch) == ("dinov3_tiny16", 16)
    with torch.inference_mode():
        assert torch.equal(again(images(48, 64)), model(images(48, 64)))


def test_transformers_refuses_the_folder_instead_of_starting_from_random_weights(model, tmp_path):
    model.save(tmp_path)
    with pytest.raises((KeyError, ValueError), match="open_depth_anything_dinov3"):
        transformers.DepthAnythingForDepthEstimation.from_pretrained(tmp_path)


def test_every_parameter_learns_and_disparity_has_the_size_of_the_image():
    model = DepthAnything("dinov3_tiny16", seed=1)
    disparity, tokens = model.predict_with_tokens(images(48, 80), 2)
    assert disparity.shape == (2, 48, 80) and tokens.shape == (2, 15, 48)
    (disparity.square().mean() + tokens.square().mean()).backward()
    assert all(one.grad is not None for one in model.parameters() if one.requires_grad)


def test_bfloat16_stays_near_float32(model):
    with torch.inference_mode():
        expected, found = model(images(96, 128)), bfloat16_copy(model)(images(96, 128))
    assert (found - expected).abs().max() < 0.05 * (expected.max() - expected.min())


def test_sides_are_multiples_of_its_own_patch(model):
    with pytest.raises(ValueError, match="multiples of 16"):
        model(images(42, 56))
    with pytest.raises(ValueError, match=r"short_side = 518.*16"):
        DepthPredictor(model, 518)
    predictor = DepthPredictor(model, 64)
    image = np.random.default_rng(0).integers(0, 256, (70, 101, 3), np.uint8)
    assert predictor(image).shape == (70, 101)
    assert predictor.network_disparity([image])[0].shape == (64, 96)


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
