"""What the speed benchmarks share: peers with the same weights, interleaved rounds, the machine's peak, a table.

Ratios are taken within one run: in every round each variant runs once, in turn, so that a machine that slows down
slows all of them. Two clocks: `wall` for a quiet machine, `cpu` (this process's own time, use one thread) for a
loaded one. transformers is the peer; its eager attention stands for the official code without xFormers, whose
attention is the same plain product, softmax, product.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import cv2
import numpy as np
import skimage.data
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import DepthAnythingForDepthEstimation

from depth_model.memory import keep_freed_memory
from depth_model.networks import DepthAnything

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
PICTURES = ("astronaut", "chelsea", "coffee", "rocket", "cat", "hubble_deep_field")


def arguments(description: str, rounds: int, batch: int, side: int = 518) -> argparse.ArgumentParser:
    """Return the options that the comparisons with transformers share; the defaults as given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="vits")
    parser.add_argument("--side", type=int, default=side)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--bfloat16", action="store_true", help="that too; takes minutes where the CPU lacks it")
    return parser


def prepare(threads: int, keep_memory: bool) -> None:
    """Set torch's `threads`, and glibc's allocation for all variants: as our stages have it, or as it is by default."""
    torch.set_num_threads(threads)
    if keep_memory:
        keep_freed_memory()


class Timing(NamedTuple):
    """Median seconds of one variant, and the median over rounds of its ratio to the reference of that round."""

    seconds: float
    ratio: float


def ours(size: str, seed: int = 0) -> DepthAnything:
    """Return our model with random weights from `seed`."""
    return DepthAnything(size, seed=seed, position_embedding="exact")


def transformers_model(model: DepthAnything, attention: str) -> nn.Module:
    """Return transformers' model with the weights of `model`; `attention` is "sdpa" or "eager"."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        theirs = DepthAnythingForDepthEstimation.from_pretrained(folder, dtype=torch.float32)
    theirs.backbone.set_attn_implementation(attention)
    return theirs


def interleaved(
    variants: Mapping[str, Callable[[], object]], reference: str, rounds: int, clock: str
) -> dict[str, Timing]:
    """Run every variant once per round after one warm-up; return their timings, `reference` having ratio 1."""
    now = CLOCKS[clock]
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 1):
        for name, variant in variants.items():
            started = now()
            variant()
            if turn:
                taken[name].append(now() - started)
    return {
        name: Timing(
            statistics.median(seconds),
            statistics.median(other / own for own, other in zip(seconds, taken[reference], strict=True)),
        )
        for name, seconds in taken.items()
    }


def photographs(count: int, height: int, width: int) -> Iterator[np.ndarray]:
    """Yield `count` different pictures, uint8 (height, width, 3), cut from the photographs in scikit-image."""
    generator = np.random.default_rng(0)
    whole = [getattr(skimage.data, name)() for name in PICTURES]
    for number in range(count):
        picture = whole[number % len(whole)]
        tall = int(min(picture.shape[0], picture.shape[1] * height / width) * generator.uniform(0.7, 1))
        wide = tall * width // height
        top, left = (int(generator.integers(long - cut + 1)) for long, cut in zip(picture.shape, (tall, wide)))
        cut = picture[top : top + tall, left : left + wide]
        yield cv2.resize(cut, (width, height), interpolation=cv2.INTER_CUBIC)


def matrix_peak(dtype: torch.dtype, clock: str, side: int = 2048, repeats: int = 5) -> float:
    """Return the best rate in operations a second of a square matrix product of `dtype` on this machine, now."""
    left, right = torch.randn(side, side, dtype=dtype), torch.randn(side, side, dtype=dtype)
    now, best = CLOCKS[clock], float("inf")
    for _ in range(repeats):
        started = now()
        left @ right
        best = min(best, now() - started)
    return 2 * side**3 / best


def operations(run: Callable[[], object]) -> int:
    """Return the floating-point operations of matrix products and convolutions in `run` (plain attention only)."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def table(header: list[str], rows: list[list[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
