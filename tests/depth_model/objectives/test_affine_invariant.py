"""The vectorised loss against slow float64 loops and the worked examples of docs/paper.md A."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from depth_model.objectives import affine_invariant_loss, normalize_affine
from depth_model.objectives.affine_invariant import trimmed_mean, trimming_limit

PREDICTION = [0.2, 0.5, 0.9, 1.4, 3.0]
TARGET = [0, 0.25, 0.5, 0.6, 1.0]


def row(values: list[float]) -> torch.Tensor:
    """One image of one row."""
    return torch.tensor(values).reshape(1, 1, -1)


def full(maps: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(maps, dtype=torch.bool)


def lower_median(values: np.ndarray) -> float:
    return float(np.sort(values)[(len(values) - 1) // 2])


def slow_residuals(prediction, target, median=lower_median) -> np.ndarray:
    """Residuals of equation 1 of flat float64 arrays, written out."""
    hats = []
    for values in (prediction, target):
        location = median(values)
        scale = max(np.mean([abs(v - location) for v in values]), 1e-6)
        hats.append([(v - location) / scale for v in values])
    return np.array([abs(a - b) for a, b in zip(*hats)])


def slow_loss(prediction, target, mask, trim=0.0) -> float:
    """Mean over images of the mean of the residuals left by trimming."""
    losses = []
    for p, t, m in zip(prediction.double().numpy(), target.double().numpy(), mask.numpy()):
        residuals = slow_residuals(p[m], t[m])
        if trim:
            residuals = residuals[residuals < np.quantile(residuals, 1 - trim)]
        losses.append(residuals.mean())
    return float(np.mean(losses))


def test_worked_example_of_the_paper_notes():
    prediction, target = row(PREDICTION), row(TARGET)
    assert affine_invariant_loss(prediction, target, full(target)).item() == pytest.approx(0.5165165, abs=1e-6)
    moved = affine_invariant_loss(3.7 * prediction + 11, target, full(target))
    assert moved.item() == pytest.approx(0.5165165, abs=1e-5)
    normalized = normalize_affine(prediction, full(target))
    assert torch.allclose(normalized, (prediction - 0.9) / 0.74)


def test_trimming_a_fifth_leaves_the_four_smallest_residuals():
    loss = affine_invariant_loss(row(PREDICTION), row(TARGET), full(row(TARGET)), trim=0.2)
    assert loss.item() == pytest.approx(0.3193193 * 5 / 4, abs=1e-6)


def test_even_count_takes_the_lower_median():
    prediction, target = row([1.0, 2, 4, 8]), row([0.0, 1, 2, 4])
    assert affine_invariant_loss(prediction, target, full(target)).item() == pytest.approx(0.1777778, abs=1e-6)
    by_hand = slow_residuals(np.array([1.0, 2, 4, 8]), np.array([0.0, 1, 2, 4]), median=np.median)
    assert by_hand.mean() == pytest.approx(0.1555556, abs=1e-6)


def test_ten_percent_of_ten_residuals():
    residual = row([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert trimming_limit(residual.flatten(1), full(residual).flatten(1), 0.1).item() == pytest.approx(0.91)
    assert trimmed_mean(residual, full(residual), 0.1).item() == pytest.approx(0.5)


@pytest.mark.parametrize("trim", [0.0, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_equals_a_slow_loop_on_random_masks(seed, trim):
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.rand(3, 17, 23, generator=generator)
    target = torch.rand(3, 17, 23, generator=generator) ** 3
    mask = torch.rand(3, 17, 23, generator=generator) < torch.tensor([0.05, 0.5, 1.0]).reshape(3, 1, 1)
    target[~mask] = torch.nan
    loss = affine_invariant_loss(prediction, target, mask, trim)
    assert loss.item() == pytest.approx(slow_loss(prediction, target, mask, trim), rel=1e-5)


@pytest.mark.parametrize("trim", [0.01, 0.1, 0.3, 0.9])
def test_trimming_limit_equals_numpys_quantile(trim):
    generator = torch.Generator().manual_seed(3)
    values, mask = torch.rand(6, 40, generator=generator), torch.rand(6, 40, generator=generator) < 0.6
    mask[2] = False
    mask[3] = torch.arange(40) == 7
    result = trimming_limit(values, mask, trim)
    assert result[2] == -torch.inf
    for index in (0, 1, 3, 4, 5):
        assert result[index].item() == pytest.approx(np.quantile(values[index][mask[index]], 1 - trim), abs=1e-6)


def test_ties_at_the_limit_are_kept_when_nothing_is_below():
    residual = torch.full((1, 4, 4), 0.25)
    assert trimmed_mean(residual, full(residual), 0.1).item() == pytest.approx(0.25)


def test_what_lies_outside_the_mask_changes_neither_loss_nor_gradient():
    generator = torch.Generator().manual_seed(0)
    base, target = torch.rand(2, 9, 9, generator=generator), torch.rand(2, 9, 9, generator=generator)
    mask = torch.rand(2, 9, 9, generator=generator) < 0.7
    results = []
    for filling in (0.0, 1e6, torch.nan):
        prediction = base.clone().requires_grad_()
        loss = affine_invariant_loss(prediction, torch.where(mask, target, filling), mask, 0.1)
        loss.backward()
        assert (prediction.grad[~mask] == 0).all()
        results.append((loss.item(), prediction.grad))
    assert results[0][0] == results[1][0] == results[2][0]
    assert torch.equal(results[0][1], results[2][1])


def test_gradient_agrees_with_finite_differences_through_median_and_scale():
    generator = torch.Generator().manual_seed(5)
    prediction, target = torch.rand(1, 5, 5, generator=generator), torch.rand(1, 5, 5, generator=generator)
    prediction.requires_grad_()
    affine_invariant_loss(prediction, target, full(target)).backward()
    for index in range(0, 25, 4):
        step = np.zeros(25)
        step[index] = 1e-6
        flat = prediction.detach().double().flatten().numpy()
        above, below = (slow_residuals(flat + s, target.double().flatten().numpy()).mean() for s in (step, -step))
        assert prediction.grad.flatten()[index].item() == pytest.approx((above - below) / 2e-6, abs=2e-4)


def test_images_without_pixels_or_with_a_constant_target_do_not_count():
    generator = torch.Generator().manual_seed(1)
    prediction, target = torch.rand(3, 8, 8, generator=generator), torch.rand(3, 8, 8, generator=generator)
    mask = full(target)
    mask[1] = False
    target[2] = 0.5
    alone = affine_invariant_loss(prediction[:1], target[:1], mask[:1])
    assert affine_invariant_loss(prediction, target, mask).item() == pytest.approx(alone.item(), rel=1e-6)


@pytest.mark.parametrize("trim", [0.0, 0.1])
def test_no_valid_pixel_gives_a_zero_that_is_connected_to_the_graph(trim):
    prediction = torch.rand(2, 8, 8, requires_grad=True)
    loss = affine_invariant_loss(prediction, torch.full((2, 8, 8), torch.nan), torch.zeros(2, 8, 8).bool(), trim)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(prediction.grad, torch.zeros(2, 8, 8))


@pytest.mark.parametrize("label", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("trim", [0.0, 0.1])
def test_labels_that_are_no_numbers_outside_the_mask_change_nothing(label, trim):
    generator = torch.Generator().manual_seed(3)
    prediction, target = (torch.rand(2, 8, 8, generator=generator) for _ in range(2))
    mask = torch.rand(2, 8, 8, generator=generator) < 0.7
    results = []
    for labels in (target, torch.where(mask, target, label)):
        leaf = prediction.clone().requires_grad_()
        loss = affine_invariant_loss(leaf, labels, mask, trim)
        loss.backward()
        results.append((loss.detach(), leaf.grad))
    assert results[0][1].abs().sum() > 0
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_a_constant_prediction_gives_a_finite_loss_and_gradient(constant):
    prediction = torch.full((1, 8, 8), constant, requires_grad=True)
    target = torch.linspace(0, 1, 64).reshape(1, 8, 8)
    loss = affine_invariant_loss(prediction, target, full(target))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(prediction.grad).all()


def test_bfloat16_is_computed_in_float32():
    generator = torch.Generator().manual_seed(2)
    prediction = torch.rand(2, 32, 32, generator=generator).bfloat16()
    target = torch.rand(2, 32, 32, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = affine_invariant_loss(prediction, target, full(target), 0.1)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(slow_loss(prediction.float(), target, full(target), 0.1), rel=1e-4)


def test_mistakes_are_named():
    maps = torch.rand(1, 4, 4)
    with pytest.raises(ValueError, match="one shape"):
        affine_invariant_loss(maps, torch.rand(1, 4, 5), full(maps))
    with pytest.raises(ValueError, match="one shape"):
        affine_invariant_loss(maps[0], maps[0], full(maps[0]))
    with pytest.raises(ValueError, match=r"trim=1\.0"):
        affine_invariant_loss(maps, maps, full(maps), trim=1.0)


def test_batch_reduction_counts_every_valid_pixel_the_same():
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.rand(2, 3, 6, 8, generator=generator)
    mask = torch.zeros(3, 6, 8, dtype=torch.bool)
    mask[0], mask[1, :1] = True, True  # 48, 8 and no pixels
    residual = (normalize_affine(prediction, mask) - normalize_affine(target, mask)).abs()
    found = affine_invariant_loss(prediction, target, mask, reduction="batch")
    torch.testing.assert_close(found, residual[mask].mean())
    assert abs(found - affine_invariant_loss(prediction, target, mask)) > 1e-3


def test_batch_reduction_ignores_constant_targets_and_survives_a_batch_without_labels():
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.rand(2, 2, 6, 8, generator=generator)
    target[1] = 0.5
    mask = torch.ones(2, 6, 8, dtype=torch.bool)
    alone = affine_invariant_loss(prediction[:1], target[:1], mask[:1])
    torch.testing.assert_close(affine_invariant_loss(prediction, target, mask, reduction="batch"), alone)
    prediction.requires_grad_()
    nothing = affine_invariant_loss(prediction, target, ~mask, reduction="batch")
    nothing.backward()
    assert nothing == 0 and (prediction.grad == 0).all()


def test_another_reduction_is_refused():
    maps = torch.rand(1, 4, 4)
    with pytest.raises(ValueError, match="choose image or batch"):
        affine_invariant_loss(maps, maps, maps > 0, reduction="mean")
