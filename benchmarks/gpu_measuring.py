"""What the measurements on a GPU share: the setup, turns timed by the card's own clock, peaks, results kept at once.

Without a GPU, or with --dry, everything runs on the CPU with the smallest sizes: the code, not the card, is tried then.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measuring
import torch

from depth_model import files

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Setup:
    """Where and at which sizes: `batches` maps a size of the network to the images of one step; `end` is when the time
    is up (time.monotonic), `official` a file with `official_disparity(state, images, heads, blocks)`."""

    device: torch.device
    out: Path
    official: Path
    end: float
    batches: Mapping[str, int]
    side: int
    rounds: int
    images: int
    steps: int
    memory_batches: tuple[int, ...]
    matrix: int

    @property
    def dry(self) -> bool:
        """Whether this is only a trial of the code."""
        return self.device.type == "cpu"

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.end - time.monotonic()


def setup(given: argparse.Namespace) -> Setup:
    """Return the setup for the options `out`, `official`, `minutes` and `dry`."""
    end, device = time.monotonic() + 60 * given.minutes, torch.device("cuda")
    if given.dry or not torch.cuda.is_available():
        sizes = {"batches": {"tiny": 2}, "side": 56, "rounds": 1, "images": 8, "steps": 3}
        return Setup(torch.device("cpu"), given.out, given.official, end, memory_batches=(1, 2), matrix=64, **sizes)
    torch.set_float32_matmul_precision("high")  # TF32, and the fastest convolutions, for every variant
    torch.backends.cudnn.benchmark = True
    sizes = {"batches": {"vits": 32, "vitl": 8}, "side": 518, "rounds": 20, "images": 768, "steps": 40}
    return Setup(device, given.out, given.official, end, memory_batches=(2, 8, 16), matrix=8192, **sizes)


def arguments(description: str, minutes: float) -> argparse.ArgumentParser:
    """Return the options that the scripts for a GPU share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "gpu-results")), help="(default: $OUT)")
    note = "what has not begun then is left out (%(default)s)"
    parser.add_argument("--minutes", type=float, default=minutes, help=note)
    parser.add_argument("--dry", action="store_true", help="the smallest sizes on the CPU, as without a GPU")
    return parser


def card(device: torch.device) -> dict[str, Any]:
    """Return what the run is on."""
    found: dict[str, Any] = {"torch": torch.__version__, "cores": os.cpu_count()}
    if device.type == "cpu":
        return {"card": "none: dry run on the CPU", **found}
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    one = torch.cuda.get_device_properties(device)
    size = round(one.total_memory / 2**30, 1)
    return {"card": one.name, "GiB": size, "driver": driver, "cuda": torch.version.cuda, **found}


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of one `run`, by events on a GPU."""
    if device.type == "cpu":
        started = time.perf_counter()
        run()
        return time.perf_counter() - started
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def in_turns(variants: Mapping[str, Callable[[], object]], where: Setup) -> dict[str, dict[str, Any]]:
    """Run every variant once a round; return the median milliseconds of each, and the seconds of its first call.

    One that does not fit, or that cannot begin in time, is named with the reason and left out of the rounds.
    """
    found = {name: first_calls(variant, where) for name, variant in variants.items()}
    running = {name: variant for name, variant in variants.items() if "left_out" not in found[name]}
    taken: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(where.rounds):
        if where.left() <= 0 and all(taken.values()):
            break
        for name, variant in running.items():
            taken[name].append(seconds(variant, where.device))
    for name, all_seconds in taken.items():
        found[name] |= {"ms": 1000 * statistics.median(all_seconds), "rounds": len(all_seconds)}
    return found


def first_calls(variant: Callable[[], object], where: Setup) -> dict[str, Any]:
    """Warm a variant up, compiling what it compiles."""
    if where.left() <= 0:
        return {"left_out": "no time"}
    try:
        first = seconds(variant, where.device)
        seconds(variant, where.device)
        return {"first_s": first}
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return {"left_out": "out of memory"}


def peak_memory(run: Callable[[], object], where: Setup) -> dict[str, Any]:
    """Return the most GiB that lay on the GPU while `run` ran twice, with all that was there before; 0 on the CPU."""
    if where.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where.device)
    found = first_calls(run, where)
    if "left_out" not in found:
        found["peak_GiB"] = torch.cuda.max_memory_allocated() / 2**30 if where.device.type == "cuda" else 0.0
    return found


def ratios(found: dict[str, dict[str, Any]], reference: str) -> None:
    """Write into each of `found` how many times as fast as the variant `reference` it is."""
    slow = found.get(reference, {}).get("ms")
    for one in found.values():
        if slow and "ms" in one:
            one["ratio"] = slow / one["ms"]


def rates(where: Setup) -> dict[str, float]:
    """Return TFLOP/s of a square matrix product in bfloat16 and float32 (TF32), and TB/s of a copy."""
    return {
        "bfloat16 TFLOP/s": _products(torch.bfloat16, where) / 1e12,
        "TF32 TFLOP/s": _products(torch.float32, where) / 1e12,
        "copy TB/s": _copies(where) / 1e12,
    }


def _products(kind: torch.dtype, where: Setup) -> float:
    left, right = (torch.randn(where.matrix, where.matrix, device=where.device, dtype=kind) for _ in range(2))
    times = [seconds(lambda: left @ right, where.device) for _ in range(3 + where.rounds)]
    return 2 * where.matrix**3 / statistics.median(times[3:])


def _copies(where: Setup) -> float:
    source = torch.empty(where.matrix**2 * 16, dtype=torch.uint8, device=where.device)
    target = torch.empty_like(source)
    times = [seconds(lambda: target.copy_(source), where.device) for _ in range(3 + where.rounds)]
    return 2 * len(source) / statistics.median(times[3:])


def keep(results: Mapping[str, Rows], out: Path, name: str) -> None:
    """Write all results so far as JSON and Markdown, so that a run that is cut leaves them."""
    files.write_text(out / f"{name}.json", json.dumps(results, indent=1) + "\n")
    tables = (f"## {part}\n\n{markdown(rows)}" for part, rows in results.items())
    files.write_text(out / f"{name}.md", "\n\n".join(tables) + "\n")


def markdown(rows: Rows) -> str:
    """Return `rows` as a table with all of their keys."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return measuring.table(keys, [[_shown(row.get(key, "")) for key in keys] for row in rows])


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
