"""CutMix against the worked example of docs/paper.md A.5 and a slow loop over both regions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from depth_model.objectives import affine_invariant_loss, cutmix, cutmix_loss, sample_box

S = np.array([[1, 2, 5, 9], [2, 4, 6, 7]], dtype=np.float64)
TARGET_A = np.array([[0.1, 0.2, 0.9, 0.9], [0.3, 0.5, 0.8, 0.7]])
TARGET_B = np.array([[5, 5, 1, 2], [4, 6, 3, 5]], dtype=np.float64)
LEFT = np.array([[1, 1, 0, 0], [1, 1, 0, 0]], dtype=bool)
CORNER = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], dtype=bool)


def lower_median(values: np.ndarray) -> float:
    return float(np.sort(values)[(len(values) - 1) // 2])


def region_residuals(prediction, target, median) -> np.ndarray:
    hats = [(values - median(values)) / np.abs(values - median(values)).mean() for values in (prediction, target)]
    return np.abs(hats[0] - hats[1])


def slow_regions(prediction, target_a, target_b, inside, outside, median=lower_median):
    """Residuals inside and outside the box, each normalized in its own region."""
    return (
        region_residuals(prediction[inside], target_a[inside], median),
        region_residuals(prediction[outside], target_b[outside], median),
    )


def equation_8(first: np.ndarray, second: np.ndarray) -> float:
    pixels = len(first) + len(second)
    return len(first) / pixels * first.mean() + len(second) / pixels * second.mean()


def batch(array: np.ndarray, repeat: int = 2) -> torch.Tensor:
    """One image in which each pixel is a square: medians and means stay, regions pass ten pixels."""
    tensor = torch.from_numpy(np.kron(array, np.ones((repeat, repeat))))[None]
    return tensor.bool() if array.dtype == bool else tensor.float()


@pytest.mark.parametrize(("box", "expected"), [(LEFT, (0.4, 1.2, 0.8)), (CORNER, (0.25, 1.8, 1.21875))])
def test_worked_example_of_the_paper_notes(box, expected):
    with_numpy_median = slow_regions(S, TARGET_A, TARGET_B, box, ~box, np.median)
    assert [values.mean() for values in with_numpy_median] == pytest.approx(expected[:2])
    assert equation_8(*with_numpy_median) == pytest.approx(expected[2])
    valid = batch(np.ones_like(box))
    loss = cutmix_loss(batch(S), batch(TARGET_A), batch(TARGET_B), valid, valid, batch(box))
    assert loss.item() == pytest.approx(equation_8(*slow_regions(S, TARGET_A, TARGET_B, box, ~box)), rel=1e-5)


def random_case(seed: int, images: int = 3, height: int = 20, width: int = 26):
    generator = np.random.default_rng(seed)
    maps = [torch.from_numpy(generator.random((images, height, width))).float() for _ in range(3)]
    valid = [torch.from_numpy(generator.random((images, height, width)) < share) for share in (0.8, 0.9)]
    boxes = torch.from_numpy(np.stack([sample_box(generator, height, width, 1.0) for _ in range(images)]))
    return maps, valid, boxes


@pytest.mark.parametrize("trim", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_equals_a_slow_loop_and_trims_over_the_whole_mixed_map(seed, trim):
    maps, valid, boxes = random_case(seed)
    losses = []
    for s, a, b, va, vb, box in zip(*maps, *valid, boxes):
        inside, outside = (box & va).numpy(), (~box & vb).numpy()
        assert inside.sum() >= 10
        both = slow_regions(*(m.double().numpy() for m in (s, a, b)), inside, outside)
        residuals = np.concatenate(both)
        if trim:
            losses.append(residuals[residuals < np.quantile(residuals, 1 - trim)].mean())
        else:
            losses.append(equation_8(*both))
    assert cutmix_loss(*maps, *valid, boxes, trim).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_full_mask_is_the_affine_invariant_loss_of_the_first_image():
    maps, valid, boxes = random_case(7)
    everything = torch.ones_like(boxes)
    expected = affine_invariant_loss(maps[0], maps[1], valid[0], 0.1)
    assert cutmix_loss(*maps, *valid, everything, 0.1).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(("pixels", "counts"), [(9, False), (10, True)])
def test_a_region_below_ten_valid_pixels_has_no_weight(pixels, counts):
    maps, _, _ = random_case(1, images=1)
    box = torch.zeros(1, 20, 26, dtype=torch.bool)
    box[0, 0, :pixels] = True
    valid = torch.ones_like(box)
    outside_only = affine_invariant_loss(maps[0], maps[2], ~box)
    loss = cutmix_loss(*maps, valid, valid, box)
    assert (loss.item() != pytest.approx(outside_only.item(), rel=1e-6)) is counts


def test_a_constant_pseudo_label_has_no_weight():
    maps, valid, boxes = random_case(2, images=1)
    maps[1][:] = 0.25
    expected = affine_invariant_loss(maps[0], maps[2], ~boxes & valid[1])
    assert cutmix_loss(*maps, *valid, boxes).item() == pytest.approx(expected.item(), rel=1e-6)


def test_nothing_valid_gives_a_connected_zero():
    maps, _, boxes = random_case(3)
    prediction = maps[0].requires_grad_()
    nothing = torch.zeros_like(boxes)
    loss = cutmix_loss(prediction, maps[1], maps[2], nothing, nothing, boxes, 0.1)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(prediction.grad, torch.zeros_like(prediction))


def test_the_prediction_may_have_another_scale_and_shift_in_each_region():
    maps, valid, boxes = random_case(4)
    moved = torch.where(boxes, 5 * maps[0] + 2, 0.1 * maps[0] + 30)
    first, second = (cutmix_loss(p, maps[1], maps[2], *valid, boxes).item() for p in (maps[0], moved))
    assert first == pytest.approx(second, rel=1e-3)


def test_images_are_mixed_as_equation_5_says():
    a, b = torch.rand(2, 3, 14, 14), torch.rand(2, 3, 14, 14)
    boxes = torch.zeros(2, 14, 14, dtype=torch.bool)
    boxes[0, 3:6, 4:9] = True
    boxes[1] = True
    mixed = cutmix(a, b, boxes)
    multiplied = a * boxes[:, None] + b * ~boxes[:, None]
    assert torch.equal(mixed, multiplied)
    assert torch.equal(mixed[1], a[1])


def test_boxes_are_rectangles_of_the_published_size_and_shape():
    generator = np.random.default_rng(0)
    areas, aspects, tops = [], [], []
    for _ in range(2000):
        mask = sample_box(generator, 126, 140, 1.0)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask.sum() == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        areas.append(mask.mean())
        aspects.append(len(rows) / len(columns))
        tops.append(rows[0] == 0)
    assert 0.017 < min(areas) < 0.03 and 0.37 < max(areas) <= 0.4
    assert np.mean(areas) == pytest.approx(0.2, abs=0.02)
    assert min(aspects) < 0.4 and max(aspects) > 2.5
    assert min(aspects) > 0.3 * 0.9 and max(aspects) < 3.34 * 1.1
    assert np.mean(tops) < 0.1


def test_boxes_come_with_the_asked_probability_and_only_from_the_generator():
    masks = [sample_box(np.random.default_rng(seed), 28, 28) for seed in range(600)]
    assert np.mean([mask.all() for mask in masks]) == pytest.approx(0.5, abs=0.07)
    assert all(sample_box(np.random.default_rng(seed), 28, 28, 0.0).all() for seed in range(20))
    np.random.seed(1)
    again = [sample_box(np.random.default_rng(seed), 28, 28) for seed in range(20)]
    assert all(np.array_equal(first, second) for first, second in zip(masks, again))


def test_a_crop_too_long_for_a_box_is_named():
    with pytest.raises(ValueError, match="14x70 crop"):
        sample_box(np.random.default_rng(0), 14, 70)
    assert sample_box(np.random.default_rng(0), 14, 56, 1.0).shape == (14, 56)
