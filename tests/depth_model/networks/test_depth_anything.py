"""Architecture, gradients and numerics of the model against the facts of docs/paper.md 2.2."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from depth_model.networks import DepthAnything
from depth_model.networks.dpt import CHANNELS, DPT
from depth_model.objectives import affine_invariant_loss


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("size", "total", "encoder", "never_used", "tensors"),
    [
        ("vits", 24_785_089, 22_056_576, 73_856, 175 + 64),
        ("vitb", 97_470_785, 86_580_480, 295_168, 175 + 64),
        ("vitl", 335_315_649, 304_368_640, 1_180_160, 343 + 64),
    ],
)
def test_counts_of_parameters_and_tensors(size, total, encoder, never_used, tensors):
    with torch.device("meta"):
        model = DepthAnything(size)
    assert sum(parameter.numel() for parameter in model.parameters()) == total
    assert sum(parameter.numel() for parameter in model.encoder.parameters()) == encoder
    frozen = {name: p.numel() for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen.pop("encoder.mask_token") == model.encoder.dimension
    assert all(name.startswith("decoder.scratch.refinenet4.resConfUnit1.") for name in frozen)
    assert sum(frozen.values()) == never_used
    assert len(model.state_dict()) == tensors


@pytest.mark.parametrize(("height", "width"), [(14, 14), (42, 70), (126, 84)])
def test_disparity_has_the_size_of_the_image_and_starts_positive(height, width):
    for scale in (1e-3, 1.0, 100.0):
        disparity = DepthAnything("tiny", seed=1)(scale * images(2, 3, height, width))
        assert disparity.shape == (2, height, width)
        assert disparity.dtype == torch.float32
        assert (disparity > 0).all()
        assert torch.isfinite(disparity).all()


@pytest.mark.parametrize("seed", range(5))
def test_no_tokens_however_large_start_behind_the_last_relu(seed):
    tokens = [1e4 * images(1, 6, 48, seed=10 * seed + tap) for tap in range(4)]
    assert (DPT(48, *CHANNELS["tiny"], seed=seed)(tokens, 2, 3) > 0).all()


def test_the_start_is_no_constant():
    disparity = DepthAnything("tiny")(images(1, 3, 70, 70))
    assert disparity.std() > 1e-4


@pytest.mark.parametrize("size", ["tiny", "vits"])
def test_every_trainable_parameter_gets_a_gradient_and_no_other(size):
    model = DepthAnything(size, blocks=[0, 1, 2, 3] if size == "tiny" else [2, 5, 8, 11])
    disparity, tokens = model.predict_with_tokens(images(2, 3, 56, 42), block=model.encoder.depth - 1)
    weights = torch.rand(disparity.shape, generator=torch.Generator().manual_seed(0))
    ((weights * disparity).mean() + tokens.square().mean()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.abs().max() > 0, name
            assert torch.isfinite(parameter.grad).all(), name
        else:
            assert parameter.grad is None, name


def test_a_few_steps_bring_the_loss_of_one_image_down():
    model, batch = DepthAnything("tiny"), images(1, 3, 56, 56)
    target = torch.linspace(0, 1, 56).expand(1, 56, 56)
    mask = torch.ones_like(target, dtype=torch.bool)
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-3)
    losses = []
    for _ in range(30):
        loss = affine_invariant_loss(model(batch), target, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("block", [0, 2, 3])
def test_tokens_and_disparity_come_from_the_same_pass(block):
    model = DepthAnything("tiny").eval()
    batch = images(2, 3, 42, 56)
    with torch.no_grad():
        disparity, tokens = model.predict_with_tokens(batch, block)
        assert torch.equal(disparity, model(batch))
        assert torch.equal(tokens, model.encoder(batch, [block])[0])


def plain_dpt(decoder: DPT, tokens: list[torch.Tensor], rows: int, columns: int) -> torch.Tensor:
    """The decoder as docs/paper.md 2.2 words it: contiguous, the 1x1 convolution after the upsampling."""
    scratch = decoder.scratch
    maps = []
    for tap, values in enumerate(tokens):
        image = values.transpose(1, 2).reshape(len(values), -1, rows, columns).contiguous()
        image = decoder.resize_layers[tap](decoder.projects[tap](image))
        maps.append(getattr(scratch, f"layer{tap + 1}_rn")(image))

    def unit(module, x):
        return module.conv2(functional.relu(module.conv1(functional.relu(x)))) + x

    path = None
    for index in (4, 3, 2, 1):
        block, finer = getattr(scratch, f"refinenet{index}"), maps[index - 1]
        path = finer if path is None else path + unit(block.resConfUnit1, finer)
        size = maps[index - 2].shape[2:] if index > 1 else [2 * side for side in path.shape[2:]]
        path = unit(block.resConfUnit2, path)
        path = block.out_conv(functional.interpolate(path, size=size, mode="bilinear", align_corners=True))
    path = scratch.output_conv1(path)
    path = functional.interpolate(path, (14 * rows, 14 * columns), mode="bilinear", align_corners=True)
    return functional.relu(scratch.output_conv2(path))[:, 0]


@pytest.mark.parametrize(("rows", "columns"), [(5, 7), (2, 1), (9, 9)])
def test_the_fast_decoder_equals_the_plain_one(rows, columns):
    decoder = DPT(48, *CHANNELS["tiny"], seed=3)
    tokens = [images(2, rows * columns, 48, seed=tap) for tap in range(4)]
    with torch.no_grad():
        expected, found = plain_dpt(decoder, tokens, rows, columns), decoder(tokens, rows, columns)
    assert (found - expected).abs().max() < 1e-5 * (expected.max() - expected.min())


def test_bfloat16_stays_near_float32_and_gives_float32():
    model, batch = DepthAnything("tiny").eval(), images(1, 3, 70, 56)
    with torch.no_grad():
        expected = model(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = model(batch)
        half = model.bfloat16()(batch.bfloat16())
    for found in (mixed, half):
        assert found.dtype == torch.float32
        assert (found - expected).abs().max() < 0.1 * (expected.max() - expected.min())


def test_weights_depend_on_the_seed_alone_and_the_last_four_blocks_are_the_default():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = (DepthAnything("tiny", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    batch = images(1, 3, 28, 28)
    assert torch.equal(first(batch), second(batch))
    assert not torch.equal(first(batch), other(batch))
    with torch.device("meta"):
        assert DepthAnything("vits").blocks == [8, 9, 10, 11]


@pytest.mark.parametrize("blocks", [[0, 1, 2], [0, 1, 1, 3], [1, 0, 2, 3], [0, 1, 2, 4], [-1, 0, 1, 3]])
def test_bad_blocks_are_named(blocks):
    with pytest.raises(ValueError, match="four increasing numbers"):
        DepthAnything("tiny", blocks=blocks)


def test_bad_image_sizes_are_named():
    with pytest.raises(ValueError, match=r"\(1, 3, 60, 56\).*multiples of 14"):
        DepthAnything("tiny")(torch.zeros(1, 3, 60, 56))
