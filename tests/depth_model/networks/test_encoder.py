"""Tokens of the encoder, its position embedding and where its weights come from."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch

from depth_model.errors import UserError
from depth_model.networks import Encoder, build_encoder, frozen_encoder


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cubic_matrix(size: int, scale: float, native: int = 37) -> np.ndarray:
    """Weights (size, native) of Keys' cubic kernel, a = -0.75, half-pixel centers, borders repeated."""

    def kernel(x: float, a: float = -0.75) -> float:
        x = abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0

    matrix = np.zeros((size, native))
    for row in range(size):
        source = (row + 0.5) / scale - 0.5
        for neighbor in range(int(np.floor(source)) - 1, int(np.floor(source)) + 3):
            matrix[row, np.clip(neighbor, 0, native - 1)] += kernel(source - neighbor)
    return matrix


@pytest.mark.parametrize(("variant", "offset"), [("official", 0.1), ("exact", 0.0)])
def test_position_embedding_is_bicubic_with_the_right_scale(variant, offset):
    encoder = Encoder("tiny", position_embedding=variant)
    table = encoder.pos_embed[0, 1:].detach().double().reshape(37, 37, 48).numpy()
    vertical, horizontal = cubic_matrix(9, (9 + offset) / 37), cubic_matrix(50, (50 + offset) / 37)
    expected = np.einsum("ir,jc,rcd->ijd", vertical, horizontal, table).reshape(450, 48)
    found = encoder._positions(9, 50)[0].detach().double().numpy()
    assert np.abs(found[1:] - expected).max() < 2e-6
    assert np.array_equal(found[0], encoder.pos_embed[0, 0].detach().double().numpy())


@pytest.mark.parametrize("variant", ["official", "exact"])
def test_position_embedding_of_the_native_grid_is_the_table_itself(variant):
    encoder = Encoder("tiny", position_embedding=variant)
    assert encoder._positions(37, 37) is encoder.pos_embed


def test_tokens_are_those_of_timm_at_the_native_size():
    encoder = Encoder("tiny", seed=3).eval()
    reference = timm.models.VisionTransformer(
        img_size=518, patch_size=14, embed_dim=48, depth=4, num_heads=3, init_values=1.0, num_classes=0
    ).eval()
    state = {name: value for name, value in encoder.state_dict().items() if name != "mask_token"}
    reference.load_state_dict(state, strict=True)
    batch = images(1, 3, 518, 518)
    with torch.no_grad():
        expected = reference.get_intermediate_layers(batch, n=[1, 3], norm=True)
        found = encoder(batch, [1, 3])
    for ours, theirs in zip(found, expected):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_blocks_come_in_the_order_asked_for_and_one_image_does_not_touch_another():
    encoder = Encoder("tiny").eval()
    batch = images(3, 3, 42, 70)
    with torch.no_grad():
        last, first = encoder(batch, [3, 0])
        assert torch.equal(first, encoder(batch, [0])[0])
        assert torch.allclose(last[1], encoder(batch[1:2], [3])[0][0], atol=1e-6)
    assert first.shape == (3, 15, 48)
    assert not torch.allclose(first, last, atol=0.1)


def test_tokens_are_in_row_order():
    encoder = Encoder("tiny").eval()
    batch = torch.zeros(1, 3, 42, 70)
    changed = batch.clone()
    changed[:, :, 14:28, 56:70] = 1.0
    with torch.no_grad():
        difference = encoder.patch_embed.proj(changed) - encoder.patch_embed.proj(batch)
        tokens = (encoder(changed, [0])[0] - encoder(batch, [0])[0]).norm(dim=2)[0]
    assert torch.nonzero(difference.flatten(2).norm(dim=1)[0]).flatten().tolist() == [9]
    assert tokens.argmax().item() == 9


@pytest.mark.parametrize("shape", [(1, 3, 40, 42), (1, 3, 42, 41), (1, 4, 42, 42), (3, 42, 42), (1, 3, 0, 42)])
def test_images_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="multiples of 14"):
        Encoder("tiny")(torch.zeros(shape), [3])


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="size='vith'"):
        Encoder("vith")
    with pytest.raises(ValueError, match="position_embedding='bilinear'"):
        Encoder("tiny", position_embedding="bilinear")
    for blocks in ([], [4], [-1]):
        with pytest.raises(ValueError, match="from 0 to 3"):
            Encoder("tiny")(torch.zeros(1, 3, 14, 14), blocks)


def test_random_weights_depend_on_the_seed_alone_and_leave_the_global_generator_alone():
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first = build_encoder("tiny", seed=4).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12)
    second, other = build_encoder("tiny", seed=4).state_dict(), build_encoder("tiny", seed=5).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["patch_embed.proj.weight"], other["patch_embed.proj.weight"])


def test_the_frozen_encoder_equals_the_one_training_starts_from_and_learns_nothing():
    frozen, student = frozen_encoder("tiny", seed=2), build_encoder("tiny", seed=2)
    batch = images(2, 3, 28, 42)
    tokens = frozen(batch, [2])[0]
    assert torch.equal(tokens, student(batch, [2])[0])
    assert not tokens.requires_grad
    assert not frozen.training and not any(parameter.requires_grad for parameter in frozen.parameters())


@pytest.mark.parametrize(("size", "weights"), [("vitb", "packaged"), ("tiny", "packaged"), ("tiny", "hub")])
def test_weights_that_do_not_exist_for_a_size_are_named(size, weights):
    with pytest.raises(UserError, match=f"weights='{weights}'"):
        build_encoder(size, weights)


@pytest.mark.slow
def test_an_unreachable_model_hub_gives_one_line_with_a_remedy(tmp_path):
    code = (
        "from depth_model.errors import UserError\n"
        "from depth_model.networks import build_encoder\n"
        "try: build_encoder('vits', 'hub')\n"
        "except UserError as error: print(error)\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "vit_small_patch14_dinov2" in run.stdout and "encoder.weights" in run.stdout
    assert len(run.stdout.splitlines()) == 1
