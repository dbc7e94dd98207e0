"""Gradient matching against docs/paper.md A.7 and a slow loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from depth_model.objectives import gradient_matching_loss, normalize_affine
from depth_model.objectives.gradient_matching import residual_gradient


def slow_gradient(residual: np.ndarray, mask: np.ndarray, scales: int) -> float:
    """MiDaS equation 11 for one image, pixel by pixel."""
    total = 0.0
    for step in (2**k for k in range(scales)):
        r, m = residual[::step, ::step], mask[::step, ::step]
        summed = 0.0
        for y in range(r.shape[0]):
            for x in range(r.shape[1]):
                if x + 1 < r.shape[1] and m[y, x] and m[y, x + 1]:
                    summed += abs(r[y, x + 1] - r[y, x])
                if y + 1 < r.shape[0] and m[y, x] and m[y + 1, x]:
                    summed += abs(r[y + 1, x] - r[y, x])
        total += summed / max(m.sum(), 1)
    return total


def test_worked_example_of_the_paper_notes():
    residual = torch.tensor([[[0.0, 1, 1], [0, 2, 3]]]) - torch.tensor([[[0.0, 1, 2], [0, 1, 3]]])
    valid = torch.ones(1, 2, 3, dtype=torch.bool)
    assert residual_gradient(residual, valid, 1).item() == pytest.approx(5 / 6)
    assert residual_gradient(residual, valid, 2).item() == pytest.approx(5 / 6 + 0.5)


@pytest.mark.parametrize("seed", range(4))
def test_equals_a_slow_loop_on_random_masks(seed):
    generator = torch.Generator().manual_seed(seed)
    prediction, target = torch.rand(2, 19, 22, generator=generator), torch.rand(2, 19, 22, generator=generator)
    mask = torch.rand(2, 19, 22, generator=generator) < 0.8
    target[~mask] = torch.nan
    residual = (normalize_affine(prediction, mask) - normalize_affine(target, mask)).double().numpy()
    expected = np.mean([slow_gradient(r, m, 4) for r, m in zip(residual, mask.numpy())])
    assert gradient_matching_loss(prediction, target, mask).item() == pytest.approx(expected, rel=1e-5)


def test_scale_and_shift_of_the_prediction_do_not_matter():
    target = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    everything = torch.ones_like(target, dtype=torch.bool)
    assert gradient_matching_loss(4 * target + 3, target, everything).item() == pytest.approx(0, abs=1e-4)
    assert gradient_matching_loss(-target, target, everything).item() > 1


def test_nothing_valid_gives_a_connected_zero_and_constant_targets_do_not_count():
    prediction = torch.rand(2, 16, 16, requires_grad=True)
    target = torch.rand(2, 16, 16)
    loss = gradient_matching_loss(prediction, target, torch.zeros(2, 16, 16, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(prediction.grad, torch.zeros_like(prediction))
    everything = torch.ones(2, 16, 16, dtype=torch.bool)
    target[1] = 0.3
    alone = gradient_matching_loss(prediction[:1], target[:1], everything[:1])
    assert gradient_matching_loss(prediction, target, everything).item() == pytest.approx(alone.item(), rel=1e-6)


def test_bfloat16_is_computed_in_float32_and_shapes_are_checked():
    target = torch.rand(1, 16, 16)
    everything = torch.ones_like(target, dtype=torch.bool)
    assert gradient_matching_loss(torch.rand(1, 16, 16).bfloat16(), target, everything).dtype == torch.float32
    with pytest.raises(ValueError, match="one shape"):
        gradient_matching_loss(torch.rand(1, 15, 16), target, everything)
