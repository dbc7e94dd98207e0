"""The scale-invariant logarithmic loss against docs/paper.md A.8, numpy and its own invariances."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from depth_model.objectives import silog_loss

FORMS = ["zoedepth", "second_version"]
PREDICTION = torch.tensor([[[1.0, 2, 4, 5]]])
TARGET = torch.tensor([[[1.1, 1.8, 4.4, 5.5]]])
ALL = torch.ones(1, 1, 4, dtype=torch.bool)


@pytest.mark.parametrize(("form", "expected"), [("zoedepth", 1.018472), ("second_version", 0.0925706)])
def test_worked_example_of_the_paper_notes(form, expected):
    assert silog_loss(PREDICTION, TARGET, ALL, form).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_equals_numpy_over_the_masked_pixels_of_the_whole_batch(form, seed):
    generator = np.random.default_rng(seed)
    prediction, target = generator.uniform(0.5, 20, (2, 3, 5, 7))
    mask = generator.random((3, 5, 7)) < 0.6
    g = np.log(prediction[mask]) - np.log(target[mask])
    expected = 10 * np.sqrt(g.var(ddof=1) + 0.15 * g.mean() ** 2)
    if form == "second_version":
        expected = np.sqrt((g**2).mean() - 0.5 * g.mean() ** 2)
    hidden = np.where(mask, target, np.nan)
    found = silog_loss(torch.tensor(prediction), torch.tensor(hidden), torch.tensor(mask), form)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_what_lies_outside_the_mask_changes_neither_loss_nor_gradient(form):
    mask = torch.tensor([[[True, True, True, False]]])
    results = []
    for outside in (2.0, 0.0, -3.0):
        prediction = PREDICTION.clone()
        prediction[..., 3] = outside
        prediction.requires_grad_()
        loss = silog_loss(prediction, TARGET, mask, form)
        loss.backward()
        assert prediction.grad[..., 3] == 0
        results.append((loss.item(), prediction.grad[..., :3].tolist()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("valid", [0, 1])
def test_fewer_than_two_pixels_give_a_connected_zero(form, valid):
    prediction = PREDICTION.clone().requires_grad_()
    mask = torch.arange(4)[None, None] < valid
    loss = silog_loss(prediction, torch.full_like(TARGET, torch.nan), mask, form)
    loss.backward()
    assert loss.item() == 0
    assert (prediction.grad == 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_a_perfect_prediction_has_no_loss_and_no_gradient(form):
    prediction = TARGET.clone().requires_grad_()
    loss = silog_loss(prediction, TARGET, ALL, form)
    loss.backward()
    assert loss.item() == 0
    assert (prediction.grad == 0).all()


def test_a_common_factor_costs_what_the_forms_say():
    factor = 2.0
    shift = np.log(factor)
    zoedepth = silog_loss(factor * TARGET, TARGET, ALL, "zoedepth").item()
    second = silog_loss(factor * TARGET, TARGET, ALL, "second_version").item()
    assert zoedepth == pytest.approx(10 * np.sqrt(0.15) * shift, rel=1e-4)
    assert second == pytest.approx(np.sqrt(0.5) * shift, rel=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_agrees_with_finite_differences(form):
    step = 1e-2
    prediction = PREDICTION.clone().requires_grad_()
    silog_loss(prediction, TARGET, ALL, form).backward()
    for index in range(4):
        offset = torch.zeros_like(PREDICTION)
        offset[..., index] = step
        above, below = (silog_loss(PREDICTION + sign * offset, TARGET, ALL, form) for sign in (1, -1))
        assert prediction.grad[0, 0, index].item() == pytest.approx(((above - below) / (2 * step)).item(), abs=2e-3)


def test_bfloat16_is_computed_in_float32_and_mistakes_are_named():
    prediction = PREDICTION.bfloat16()
    loss = silog_loss(prediction, TARGET, ALL)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1.018472, rel=1e-4)
    with pytest.raises(ValueError, match="one shape"):
        silog_loss(PREDICTION, TARGET[..., :2], ALL)
    with pytest.raises(ValueError, match="zoedepth"):
        silog_loss(PREDICTION, TARGET, ALL, "other")
