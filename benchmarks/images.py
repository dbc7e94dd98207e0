"""Images a second of one core (its own time): strong perturbation, and evaluation of one KITTI-size image.

    python benchmarks/images.py

The peer of the perturbation is torchvision's ColorJitter and GaussianBlur on a uint8 tensor with the same strengths and
probabilities. Evaluation, where ours computes all its seven metrics, has two: the least effort (numpy's least squares
on the gathered pixels, AbsRel and delta1 alone), and Marigold's published procedure in our own words: least squares on
the masked maps, the whole map aligned and clipped, ten metrics on whole maps under a mask, in torch. Its first two
metrics alone are timed too. The figures of all four agree (see `check`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import measuring
import numpy as np
import torch
from torchvision.transforms import v2

from depth_model.evaluation import relative_depth_metrics
from depth_model.evaluation.protocols import GENERIC
from depth_model.training.augmentation import perturb
from depth_model.training.settings import Perturbation

STRENGTH = Perturbation(0.5, 0.5, 0.5, 0.25, 0.8, 0.5, (0.1, 2.0), 0.5)
CALLS = 20


def perturbations() -> dict[str, Callable[[], object]]:
    """Return both perturbations of a 518x518 image, `CALLS` times each."""
    image = np.random.default_rng(0).integers(0, 256, (518, 518, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    tensor = torch.from_numpy(image).permute(2, 0, 1).contiguous()
    peer = v2.Compose(
        [
            v2.RandomApply([v2.ColorJitter(0.5, 0.5, 0.5, 0.25)], STRENGTH.jitter_probability),
            v2.RandomApply([v2.GaussianBlur(13, STRENGTH.blur_sigma)], STRENGTH.blur_probability),
        ]
    )
    generator = np.random.default_rng(0)
    return {
        "perturbation, ours": lambda: [perturb(image, STRENGTH, generator) for _ in range(CALLS)],
        "perturbation, torchvision": lambda: [peer(tensor) for _ in range(CALLS)],
    }


def kitti_size_image() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return disparity, depth (NaN = none) and mask of a 375x1242 image with 16 % valid pixels."""
    generator = np.random.default_rng(0)
    depth = generator.uniform(2, 80, (375, 1242)).astype(np.float32)
    disparity = np.maximum(0.3 / depth + generator.normal(0, 0.002, depth.shape), 1e-4).astype(np.float32)
    mask = generator.random(depth.shape) < 0.16
    return disparity, np.where(mask, depth, np.nan).astype(np.float32), mask


def evaluations() -> dict[str, Callable[[], object]]:
    """Return the evaluations of one image, `CALLS` times each; the second is the peer."""
    disparity, depth, mask = kitti_size_image()
    ours = partial(relative_depth_metrics, disparity, depth, "metric_depth", GENERIC)
    return {
        "evaluation, ours (7 metrics)": lambda: [ours() for _ in range(CALLS)],
        "evaluation, Marigold's procedure (10 metrics)": lambda: [
            marigold_metrics(disparity, depth, mask, 10) for _ in range(CALLS)
        ],
        "evaluation, Marigold's procedure (2 metrics)": lambda: [
            marigold_metrics(disparity, depth, mask, 2) for _ in range(CALLS)
        ],
        "evaluation, least squares of numpy (2 metrics)": lambda: [
            plain_metrics(disparity, depth, mask) for _ in range(CALLS)
        ],
    }


def marigold_metrics(disparity: np.ndarray, depth: np.ndarray, mask: np.ndarray, count: int) -> list[float]:
    """Return the first `count` metrics as Marigold's evaluation computes them: AbsRel, delta1, then eight others."""
    usable = mask & (disparity > 0)
    with np.errstate(invalid="ignore"):
        true_disparity = np.where(depth > 0, 1 / depth, 0)
    values = disparity[usable].reshape(-1, 1)
    system = np.concatenate([values, np.ones_like(values)], axis=-1)
    scale, shift = np.linalg.lstsq(system, true_disparity[usable].reshape(-1, 1), rcond=None)[0]
    aligned = np.clip(1 / np.clip(disparity * scale + shift, 1e-3, None), 1e-3, 80)
    predicted, true, valid = (torch.from_numpy(one) for one in (np.clip(aligned, 1e-6, None), depth, mask))
    return [float(metric(predicted, true, valid)) for metric in MASKED_METRICS[:count]]


def _masked_mean(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    values[~valid] = 0
    return values.sum((-1, -2)) / valid.sum((-1, -2))


def _masked_share(predicted: torch.Tensor, true: torch.Tensor, valid: torch.Tensor, power: int) -> torch.Tensor:
    factor = torch.max(predicted / true, true / predicted)
    return _masked_mean(torch.where(factor < 1.25**power, torch.ones(()), torch.zeros(())), valid)


def _masked_silog(predicted: torch.Tensor, true: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    error = torch.log(predicted) - torch.log(true)
    return 100 * torch.sqrt(_masked_mean(error**2, valid) - _masked_mean(error, valid) ** 2)


MASKED_METRICS: tuple[Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor], ...] = (
    lambda p, t, valid: _masked_mean(torch.abs(p - t) / t, valid),
    partial(_masked_share, power=1),
    partial(_masked_share, power=2),
    partial(_masked_share, power=3),
    lambda p, t, valid: torch.sqrt(_masked_mean((p - t) ** 2, valid)),
    lambda p, t, valid: _masked_mean(torch.abs(torch.log10(p) - torch.log10(t)), valid),
    _masked_silog,
    lambda p, t, valid: _masked_mean((p - t) ** 2 / t, valid),
    lambda p, t, valid: torch.sqrt(_masked_mean((torch.log(p) - torch.log(t)) ** 2, valid)),
    lambda p, t, valid: torch.sqrt(_masked_mean((1 / p - 1 / t) ** 2, valid)),
)


def plain_metrics(disparity: np.ndarray, depth: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Return (AbsRel, delta1) by the definition (paper.md 4.1)."""
    predicted, true = disparity[mask].astype(np.float64), depth[mask].astype(np.float64)
    system = np.stack([predicted, np.ones_like(predicted)], axis=1)
    scale, shift = np.linalg.lstsq(system, 1 / true, rcond=None)[0]
    aligned = 1 / np.clip(scale * predicted + shift, 1 / 80, 1 / 1e-3)
    ratio = np.maximum(aligned / true, true / aligned)
    return float(np.mean(np.abs(aligned - true) / true)), float(np.mean(ratio < 1.25))


def check() -> None:
    """Refuse to time evaluations that do not measure the same; torch's float32 sums are good to four digits."""
    disparity, depth, mask = kitti_size_image()
    ours = list(relative_depth_metrics(disparity, depth, "metric_depth", GENERIC).values())
    np.testing.assert_allclose(marigold_metrics(disparity, depth, mask, 7), ours, rtol=1e-3)
    np.testing.assert_allclose(plain_metrics(disparity, depth, mask), ours[:2], rtol=1e-5)


def main() -> None:
    """Print the table."""
    check()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = []
    for runs in (perturbations(), evaluations()):
        reference = list(runs)[1]
        timings = measuring.interleaved(runs, reference, 7, "cpu")
        rows += [[name, f"{CALLS / one.seconds:.0f}", f"{one.ratio:.1f}"] for name, one in timings.items()]
    print(measuring.table(["what", "images/s, one core", "× peer"], rows))


if __name__ == "__main__":
    main()
