"""The gated MLP of ViT-G, at a small size: against timm's and transformers', in every layout, and in training."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch
from timm.layers import SwiGLUPacked

from depth_model.interchange.export import export_official
from depth_model.networks import DepthAnything, Encoder, build_encoder
from depth_model.networks.variants import VARIANTS

IMAGES = torch.randn(2, 3, 518, 518, generator=torch.Generator().manual_seed(1))
ROW = dataclasses.replace(VARIANTS["tiny"], swiglu=True, features=20)


@pytest.fixture(autouse=True)
def _small_giant(monkeypatch):
    monkeypatch.setitem(VARIANTS, "tiny_giant", ROW)


def randomized(module):
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def test_the_giant_is_that_of_the_paper_and_of_timm():
    row = VARIANTS["vitg"]
    assert (row.width, row.depth, row.heads, row.features, row.out_channels) == (1536, 40, 24, 384, (1536,) * 4)
    assert (row.out_indices("spread"), row.out_indices("last")) == ((9, 19, 29, 39), (36, 37, 38, 39))
    with torch.device("meta"):
        ours, timms = Encoder("vitg"), timm.create_model(row.timm, num_classes=0, img_size=518)
        whole = DepthAnything("vitg", version="v2")
    learning = sum(one.numel() for one in ours.parameters() if one is not ours.mask_token)
    assert learning == sum(one.numel() for one in timms.parameters())
    # DINOv2's file of ViT-G/14 and the head with 384 features, by hand: w12 and w3 of 4096.
    assert tuple(ours.blocks[39].mlp.w12.weight.shape) == (8192, 1536)
    assert tuple(ours.blocks[39].mlp.w3.weight.shape) == (1536, 4096)
    assert (whole.blocks, sum(one.numel() for one in whole.parameters())) == ([9, 19, 29, 39], 1_258_132_225)


def test_tokens_are_those_of_timm_with_its_weights(tmp_path):
    timms = timm.models.VisionTransformer(
        patch_size=14, embed_dim=48, depth=4, num_heads=3, img_size=518, num_classes=0, init_values=1.0,
        mlp_ratio=2.66667 * 2, mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU,
    )  # fmt: skip
    torch.save(randomized(timms).state_dict(), tmp_path / "timm.pth")
    ours = build_encoder("tiny_giant", str(tmp_path / "timm.pth")).eval()
    with torch.inference_mode():
        expected = timms.get_intermediate_layers(IMAGES, n=[1, 3], norm=True)
        found = ours(IMAGES, [1, 3])
    assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(found, expected, strict=True))


def test_transformers_loads_the_folder_and_gives_the_same(tmp_path):
    transformers = pytest.importorskip("transformers")
    model = randomized(DepthAnything("tiny_giant", seed=3))
    model.save(tmp_path / "ours")
    theirs = transformers.DepthAnythingForDepthEstimation.from_pretrained(tmp_path / "ours").eval()
    theirs.save_pretrained(tmp_path / "theirs")
    export_official(model, tmp_path / "depth_anything_vits14.pth")
    with torch.inference_mode():
        expected = model(IMAGES)
        assert (theirs(IMAGES).predicted_depth - expected).abs().max() < 1e-4 * (expected.max() - expected.min())
        for path in ("ours", "theirs", "depth_anything_vits14.pth"):
            assert torch.equal(DepthAnything.load(tmp_path / path).eval()(IMAGES), expected)


def test_every_trainable_parameter_learns():
    model = DepthAnything("tiny_giant", seed=1)
    model(IMAGES[:, :, :42, :56]).square().mean().backward()
    learning = {name for name, one in model.named_parameters() if one.requires_grad}
    assert "encoder.blocks.0.mlp.w12.weight" in learning
    assert all(one.grad is not None for one in model.parameters() if one.requires_grad)
