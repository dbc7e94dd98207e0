"""Feature alignment with a frozen encoder (paper equation 9).

The student's patch tokens are kept near those of the frozen encoder, but only up to the tolerance alpha: a token
whose cosine similarity exceeds alpha is left alone, which leaves depth room to differ inside a semantic part.
Which block the tokens come from is the caller's choice; both sides must use the same block and final LayerNorm.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from depth_model.objectives.precision import at_least_float32

NORMALIZERS = ("remaining", "all")


def feature_alignment_loss(
    tokens: Tensor, frozen_tokens: Tensor, alpha: float, normalizer: str = "remaining"
) -> tuple[Tensor, Tensor]:
    """Return (loss, active fraction), both scalar float32; the second carries no gradient.

    `tokens` and `frozen_tokens` are (B, N, D). Tokens with cosine similarity > `alpha` are not considered. Per
    image, 1 - cosine of the others is summed and divided by their number (`normalizer` "remaining") or by N
    ("all"); the loss is the mean over images, an image without a remaining token giving 0. The active fraction
    is the share of tokens considered. The paper's value is `alpha` = 0.85.
    Raises ValueError for different shapes or an unknown normalizer.
    """
    if tokens.ndim != 3 or tokens.shape != frozen_tokens.shape:
        raise ValueError(f"tokens must both be (B, N, D); got {tuple(tokens.shape)}, {tuple(frozen_tokens.shape)}")
    if normalizer not in NORMALIZERS:
        raise ValueError(f"normalizer={normalizer!r}: choose one of {', '.join(NORMALIZERS)}")
    ours, theirs = at_least_float32(tokens), at_least_float32(frozen_tokens.detach())
    similarity = functional.cosine_similarity(ours, theirs, dim=2)
    active = similarity <= alpha
    count = active.sum(dim=1).clamp_min(1) if normalizer == "remaining" else active.shape[1]
    loss = torch.where(active, 1.0 - similarity, 0.0).sum(dim=1) / count
    return loss.mean(), active.float().mean()
