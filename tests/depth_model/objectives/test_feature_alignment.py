"""Feature alignment on tokens of known cosine similarity (docs/paper.md A.6)."""

from __future__ import annotations

import pytest
import torch

from depth_model.objectives import feature_alignment_loss


def pair_with(cosines: list[float], length: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (1, N, 2) of some length and frozen unit tokens with exactly these cosine similarities."""
    cosine = torch.tensor(cosines, dtype=torch.float64)
    tokens = length * torch.stack([cosine, (1 - cosine**2).sqrt()], dim=1)
    frozen = torch.tensor([[1.0, 0.0]]).repeat(len(cosines), 1)
    return tokens.float()[None], frozen[None]


KNOWN = [0.95, 0.80, 0.50, 0.86]


@pytest.mark.parametrize(
    ("alpha", "normalizer", "expected", "active"),
    [(0.85, "remaining", 0.35, 0.5), (0.85, "all", 0.175, 0.5), (1.0, "remaining", 0.2225, 1.0)],
)
def test_worked_example_of_the_paper_notes(alpha, normalizer, expected, active):
    loss, fraction = feature_alignment_loss(*pair_with(KNOWN), alpha, normalizer)
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert fraction.item() == active


def test_tokens_above_the_tolerance_get_no_gradient():
    tokens, frozen = pair_with(KNOWN)
    tokens.requires_grad_()
    feature_alignment_loss(tokens, frozen, 0.85)[0].backward()
    assert (tokens.grad[0].abs().sum(dim=1) > 0).tolist() == [False, True, True, False]


@pytest.mark.parametrize("normalizer", ["remaining", "all"])
def test_all_tokens_above_give_a_connected_zero(normalizer):
    tokens, frozen = pair_with([0.9, 0.99])
    tokens.requires_grad_()
    loss, active = feature_alignment_loss(tokens, frozen, 0.85, normalizer)
    loss.backward()
    assert loss.item() == 0.0 and active.item() == 0.0
    assert torch.equal(tokens.grad, torch.zeros_like(tokens))


def test_a_student_that_equals_the_frozen_encoder_starts_at_exactly_zero():
    tokens = torch.randn(2, 9, 48, generator=torch.Generator().manual_seed(0))
    assert feature_alignment_loss(tokens, tokens.clone(), 0.85)[0].item() == 0.0


@pytest.mark.parametrize("normalizer", ["remaining", "all"])
def test_batches_are_means_over_images(normalizer):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(4, 12, 6, generator=generator)
    frozen = tokens + 0.7 * torch.randn(4, 12, 6, generator=generator)
    frozen[3] = tokens[3]
    single = []
    for image, reference in zip(tokens.double().numpy(), frozen.double().numpy()):
        terms = [1 - t @ f / ((t @ t) * (f @ f)) ** 0.5 for t, f in zip(image, reference)]
        kept = [term for term in terms if 1 - term <= 0.85]
        single.append(sum(kept) / (max(len(kept), 1) if normalizer == "remaining" else len(terms)))
    assert single[3] == 0
    loss, _ = feature_alignment_loss(tokens, frozen, 0.85, normalizer)
    assert loss.item() == pytest.approx(sum(single) / 4, rel=1e-5)


def test_bfloat16_is_computed_in_float32_and_the_frozen_side_has_no_gradient():
    tokens, frozen = pair_with(KNOWN, length=1.0)
    frozen.requires_grad_()
    half = tokens.bfloat16().requires_grad_()
    loss, _ = feature_alignment_loss(half, frozen, 0.85)
    loss.backward()
    assert loss.dtype == torch.float32
    assert half.grad is not None and frozen.grad is None
    assert loss.item() == pytest.approx(0.35, abs=0.01)


def test_mistakes_are_named():
    tokens, frozen = pair_with(KNOWN)
    with pytest.raises(ValueError, match="normalizer='some'"):
        feature_alignment_loss(tokens, frozen, 0.85, "some")
    with pytest.raises(ValueError, match="B, N, D"):
        feature_alignment_loss(tokens, frozen[:, :2], 0.85)
