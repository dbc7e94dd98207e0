"""Milliseconds of each loss (one thread, its own time) against the same loss written as a loop over pictures.

    python benchmarks/losses.py

The loops gather the valid pixels of one picture at a time with a boolean index, as most training code of the field
does, and reach the same value. On a GPU every such gather waits for the device; here only the arithmetic shows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import measuring
import torch
from torch import Tensor
from torch.nn import functional

from depth_model.objectives import affine_invariant_loss, cutmix_loss, feature_alignment_loss, gradient_matching_loss

BATCH, SIDE, ROUNDS = 2, 518, 9
INVALID = 0.2
TRIM = 0.1
ALPHA = 0.85

Loss = Callable[[Tensor], Tensor]


def normalised(values: Tensor) -> Tensor:
    """Return the pixels `values` (N,) with zero median and unit mean absolute deviation (equation 2)."""
    centred = values - values.median()
    return centred / centred.abs().mean()


def affine_loop(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the affine-invariant loss, a picture at a time."""
    losses = [
        (normalised(found[valid]) - normalised(true[valid])).abs().mean()
        for found, true, valid in zip(prediction, target, mask, strict=True)
    ]
    return torch.stack(losses).mean()


def cutmix_loop(prediction: Tensor, first: Tensor, second: Tensor, mask: Tensor, box: Tensor) -> Tensor:
    """Return the trimmed loss of mixed pictures, a picture and a region at a time."""
    losses = []
    for found, a, b, valid, inside in zip(prediction, first, second, mask, box, strict=True):
        regions = ((a, valid & inside), (b, valid & ~inside))
        residuals = [(normalised(found[region]) - normalised(true[region])).abs() for true, region in regions]
        residual = torch.cat(residuals)
        ordered = residual.detach().sort().values
        losses.append(residual[residual < ordered[int((1 - TRIM) * len(ordered))]].mean())
    return torch.stack(losses).mean()


def alignment_loop(tokens: Tensor, frozen: Tensor) -> Tensor:
    """Return the feature alignment loss over the remaining tokens, a picture at a time."""
    losses = []
    for ours, theirs in zip(tokens, frozen, strict=True):
        similarity = functional.cosine_similarity(ours, theirs, dim=1)
        losses.append((1 - similarity[similarity <= ALPHA]).mean())
    return torch.stack(losses).mean()


def gradient_loop(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the gradient matching loss over four scales, a picture at a time."""
    losses = []
    for found, true, valid in zip(prediction, target, mask, strict=True):
        residual = torch.zeros_like(found)
        residual[valid] = normalised(found[valid]) - normalised(true[valid])
        total = torch.zeros(())
        for step in (1, 2, 4, 8):
            coarse, known = residual[::step, ::step], valid[::step, ::step]
            beside, below = known[:, 1:] & known[:, :-1], known[1:] & known[:-1]
            change = coarse.diff(dim=1)[beside].abs().sum() + coarse.diff(dim=0)[below].abs().sum()
            total = total + change / known.sum()
        losses.append(total)
    return torch.stack(losses).mean()


def pairs() -> dict[str, tuple[Tensor, Loss, Loss]]:
    """Return for each loss its input, our function and the loop."""
    generator = torch.Generator().manual_seed(0)
    prediction, first, second = (torch.rand(BATCH, SIDE, SIDE, generator=generator) for _ in range(3))
    mask = torch.rand(BATCH, SIDE, SIDE, generator=generator) >= INVALID
    box = torch.zeros_like(mask)
    box[:, 100:300, 150:400] = True
    frozen = torch.randn(BATCH, (SIDE // 14) ** 2, 384, generator=generator)
    tokens = frozen + 0.7 * torch.randn(frozen.shape, generator=generator)
    maps = {"target": first, "mask": mask}
    mixed = partial(cutmix_loss, target_a=first, target_b=second, valid_a=mask, valid_b=mask, box_mask=box, trim=TRIM)
    return {
        "affine-invariant": (prediction, partial(affine_invariant_loss, **maps), partial(affine_loop, **maps)),
        "CutMix, trimmed": (prediction, mixed, partial(cutmix_loop, first=first, second=second, mask=mask, box=box)),
        "feature alignment": (
            tokens,
            lambda values: feature_alignment_loss(values, frozen, ALPHA)[0],
            partial(alignment_loop, frozen=frozen),
        ),
        "gradient matching": (prediction, partial(gradient_matching_loss, **maps), partial(gradient_loop, **maps)),
    }


def runs(values: Tensor, loss: Loss) -> dict[str, Callable[[], Tensor]]:
    """Return the loss of `values` forward, and forward and backward."""
    leaf = values.clone().requires_grad_()

    def both() -> Tensor:
        leaf.grad = None
        result = loss(leaf)
        result.backward()
        return result.detach()

    return {"forward": lambda: loss(leaf).detach(), "with backward": both}


def row(name: str, values: Tensor, ours: Loss, loop: Loss) -> list[object]:
    """Return one line of the table."""
    variants = {
        f"{who}, {part}": run
        for who, one in (("ours", ours), ("loop", loop))
        for part, run in runs(values, one).items()
    }
    timings = measuring.interleaved(variants, "loop, with backward", ROUNDS, "cpu")
    difference = abs(float(variants["ours, forward"]() / variants["loop, forward"]()) - 1)
    times = [f"{1000 * one.seconds:.1f}" for one in timings.values()]
    return [name, *times, f"{timings['ours, with backward'].ratio:.2f}", f"{difference:.1e}"]


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    header = ["loss", "ours, forward ms", "with backward", "loop, forward ms", "with backward", "× loop", "difference"]
    print(measuring.table(header, [row(name, *parts) for name, parts in pairs().items()]))


if __name__ == "__main__":
    main()
