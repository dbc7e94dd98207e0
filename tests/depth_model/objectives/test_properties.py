"""What holds of the objectives whatever the maps: drawn by hypothesis, and gradients checked in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from depth_model.objectives import (
    affine_invariant_loss,
    cutmix_loss,
    feature_alignment_loss,
    gradient_matching_loss,
    silog_loss,
)

HEIGHT, WIDTH = 16, 24
examples = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**20)
scales = st.floats(0.01, 100)
shifts = st.floats(-10, 10)
trims = st.sampled_from([0.0, 0.1, 0.3])


def maps(seed: int, batch: int = 3):
    """Prediction and target above 0.1 and a mask with at least a whole column, in float64."""
    generator = torch.Generator().manual_seed(seed)
    prediction, target = 0.1 + torch.rand(2, batch, HEIGHT, WIDTH, generator=generator, dtype=torch.float64)
    mask = torch.rand(batch, HEIGHT, WIDTH, generator=generator) < 0.7
    mask[:, :, 0] = True
    return prediction, target, mask


MAP_LOSSES = [
    affine_invariant_loss,
    lambda prediction, target, mask: affine_invariant_loss(prediction, target, mask, 0.1),
    gradient_matching_loss,
    silog_loss,
    lambda prediction, target, mask: silog_loss(prediction, target, mask, "second_version"),
]


@examples
@given(seeds, scales, shifts, scales, shifts, trims)
def test_scale_and_shift_of_both_maps_do_not_matter(seed, scale, shift, other_scale, other_shift, trim):
    prediction, target, mask = maps(seed)
    moved = scale * prediction + shift, other_scale * target + other_shift
    expected = affine_invariant_loss(prediction, target, mask, trim)
    assert affine_invariant_loss(*moved, mask, trim).item() == pytest.approx(expected.item(), rel=1e-6)
    expected = gradient_matching_loss(prediction, target, mask)
    assert gradient_matching_loss(*moved, mask).item() == pytest.approx(expected.item(), rel=1e-6)


@examples
@given(seeds, scales, shifts, scales, shifts, trims)
def test_each_region_of_a_mixed_image_has_a_scale_and_shift_of_its_own(seed, scale, shift, other, more, trim):
    prediction, target, valid = maps(seed)
    box = torch.zeros_like(valid)
    box[:, 4:12, 5:15] = True
    others = target.flip(0)
    moved = torch.where(box, scale * prediction + shift, other * prediction + more)
    expected = cutmix_loss(prediction, target, others, valid, valid.flip(0), box, trim)
    found = cutmix_loss(moved, target, others, valid, valid.flip(0), box, trim)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


@examples
@given(seeds, st.permutations(range(3)), st.sampled_from(MAP_LOSSES))
def test_the_order_of_the_batch_does_not_matter(seed, order, loss):
    prediction, target, mask = maps(seed)
    expected = loss(prediction, target, mask).item()
    assert loss(prediction[order], target[order], mask[order]).item() == pytest.approx(expected, rel=1e-9)


@examples
@given(seeds, st.integers(0, 1), st.integers(0, 2), st.integers(3, 8), st.integers(3, 8), st.sampled_from(MAP_LOSSES))
def test_masking_is_cropping(seed, top, left, height, width, loss):
    prediction, target, _ = maps(seed)
    # At multiples of 8 the coarser scales of gradient matching meet the same pixels.
    window = (slice(None), slice(8 * top, 8 * top + height), slice(8 * left, 8 * left + width))
    mask = torch.zeros(prediction.shape, dtype=torch.bool)
    mask[window] = True
    cropped = loss(prediction[window], target[window], mask[window])
    assert loss(prediction, target, mask).item() == pytest.approx(cropped.item(), rel=1e-9)


@examples
@given(seeds, st.floats(0.1, 10), st.sampled_from(["remaining", "all"]))
def test_feature_alignment_does_not_see_the_length_of_tokens(seed, length, normalizer):
    generator = torch.Generator().manual_seed(seed)
    tokens, frozen = torch.randn(2, 2, 20, 6, generator=generator, dtype=torch.float64)
    expected, active = feature_alignment_loss(tokens, frozen, 0.5, normalizer)
    found, same = feature_alignment_loss(length * tokens, frozen / length, 0.5, normalizer)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    assert same == active


@pytest.mark.parametrize("loss", MAP_LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_gradients_of_map_losses_are_exact(loss, seed):
    prediction, target, mask = (values[:, :6, :7] for values in maps(seed, batch=2))
    prediction = prediction.clone().requires_grad_()
    assert gradcheck(lambda values: loss(values, target, mask), (prediction,), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("trim", [0.0, 0.1])
def test_gradients_of_the_cutmix_loss_are_exact(trim):
    prediction, target, valid = (values[:, :8, :8] for values in maps(1, batch=2))
    box = torch.zeros_like(valid)
    box[:, 2:7, 1:6] = True
    prediction = prediction.clone().requires_grad_()
    arguments = target, target.flip(0), valid, valid.flip(0), box, trim
    assert gradcheck(lambda values: cutmix_loss(values, *arguments), (prediction,), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("normalizer", ["remaining", "all"])
def test_gradients_of_feature_alignment_are_exact(normalizer):
    generator = torch.Generator().manual_seed(0)
    tokens, frozen = torch.randn(2, 2, 5, 4, generator=generator, dtype=torch.float64)
    tokens.requires_grad_()
    assert gradcheck(lambda values: feature_alignment_loss(values, frozen, 0.3, normalizer)[0], (tokens,))
