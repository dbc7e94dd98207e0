"""Images a second on one core: strong perturbation, and evaluation of one KITTI-size image.

    python benchmarks/images.py

The peer of the perturbation is torchvision's ColorJitter and GaussianBlur on a uint8 tensor with the same strengths and
probabilities; that of the evaluation solves scale and shift with numpy's least squares and computes AbsRel and delta1
alone, while ours computes all its metrics.
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
from depth_model.training.augmentation import Perturbation, perturb

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


def evaluations() -> dict[str, Callable[[], object]]:
    """Return both evaluations of a 375x1242 image with 16 % valid pixels, `CALLS` times each."""
    generator = np.random.default_rng(0)
    depth = generator.uniform(2, 80, (375, 1242)).astype(np.float32)
    disparity = (0.3 / depth + generator.normal(0, 0.002, depth.shape)).astype(np.float32)
    mask = generator.random(depth.shape) < 0.16
    depth = np.where(mask, depth, np.nan).astype(np.float32)
    ours = partial(relative_depth_metrics, disparity, depth, "metric_depth", GENERIC)
    return {
        "evaluation, ours": lambda: [ours() for _ in range(CALLS)],
        "evaluation, least squares of numpy": lambda: [plain_metrics(disparity, depth, mask) for _ in range(CALLS)],
    }


def plain_metrics(disparity: np.ndarray, depth: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Return (AbsRel, delta1) by the definition (paper.md 4.1)."""
    predicted, true = disparity[mask].astype(np.float64), depth[mask].astype(np.float64)
    system = np.stack([predicted, np.ones_like(predicted)], axis=1)
    scale, shift = np.linalg.lstsq(system, 1 / true, rcond=None)[0]
    aligned = 1 / np.clip(scale * predicted + shift, 1 / 80, 1 / 1e-3)
    ratio = np.maximum(aligned / true, true / aligned)
    return float(np.mean(np.abs(aligned - true) / true)), float(np.mean(ratio < 1.25))


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = []
    for runs in (perturbations(), evaluations()):
        reference = list(runs)[1]
        timings = measuring.interleaved(runs, reference, 7, "wall")
        rows += [[name, f"{CALLS / one.seconds:.0f}", f"{one.ratio:.1f}"] for name, one in timings.items()]
    print(measuring.table(["what", "images/s, one core", "× peer"], rows))


if __name__ == "__main__":
    main()
