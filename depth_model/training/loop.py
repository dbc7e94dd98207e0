"""The one training loop. Teacher and student bring a model, an optimizer, batches and a loss.

It owns precision, clipping, learning-rate decay, checkpoints, progress and the reporting of metrics. It knows neither
what is learned nor where metrics go. One process on one device.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from depth_model.progress import progress_bar
from depth_model.training.batches import Batch, loader
from depth_model.training.history import History
from depth_model.training.optimizers import set_learning_rates
from depth_model.training.resume import load_checkpoint, save_checkpoint

OnMetrics = Callable[[int, Mapping[str, float]], None]
"""Called with the number of finished steps and metrics by name."""

_ROWS = 2000
"""How many rows a long history has; a short one has a row per step."""


class TrainingFailed(RuntimeError):
    """Training cannot give a usable model; the message says why and what to change."""


@dataclass(frozen=True)
class TrainingSettings:
    """What teacher and student share: crop (pixels), loader processes, steps between checkpoints, precision, the
    largest gradient norm, weight decay; weight of gradient matching on labels, which encoder blocks the decoder reads,
    and whether encoder blocks are computed again in the backward pass to save memory."""

    crop: int
    workers: int
    checkpoint_every: int
    precision: Literal["fp32", "bf16"]
    gradient_clip: float
    weight_decay: float
    gradient_matching: float = 0.0
    taps: Literal["last", "spread"] = "last"
    gradient_checkpointing: bool = False


@dataclass(frozen=True)
class Run:
    """What one run brings: `loss` maps a batch to named scalars, of which `loss` is minimised and all are logged;
    `watch` sees the history after each new row and may raise TrainingFailed."""

    name: str
    model: nn.Module
    optimizer: Optimizer
    steps: int
    images_per_step: int
    make_batch: Callable[[int], Batch]
    loss: Callable[[Batch], dict[str, Tensor]]
    watch: Callable[[History], None]


def train(run: Run, settings: TrainingSettings, scratch: Path, on_metrics: OnMetrics) -> History:
    """Train `run.model` to the end, from the newest checkpoint in `scratch` if there is one; return the history.

    SIGINT and SIGTERM end the step in hand, save a checkpoint and raise KeyboardInterrupt or SystemExit.
    Raises TrainingFailed when loss or gradient are not finite, and what `run.watch` raises.
    """
    finished, history = _resumed(run, scratch)
    run.model.train()
    clock = _Throughput(run.images_per_step)
    with (
        _deterministic(),
        _noted_signals() as signals,
        progress_bar(run.name, run.steps, "steps", finished) as bar,
        # Closed at once: an exception on its way out would keep the loader's processes, which ignore signals.
        closing(loader(run.make_batch, finished, run.steps, settings.workers)) as batches,
    ):
        for batch in batches:
            set_learning_rates(run.optimizer, finished, run.steps)
            terms = _step(run, _moved(batch, _device(run.model)), settings, finished)
            finished += 1
            if history.add(finished, terms):
                on_metrics(
                    finished, history.last_row() | _learning_rates(run.optimizer) | clock.since(finished)
                )
                run.watch(history)
            bar.set_postfix(loss=f"{terms['loss']:.4f}", refresh=False)
            bar.update()
            if signals or finished % settings.checkpoint_every == 0 or finished == run.steps:
                save_checkpoint(scratch, finished, _state(run, history))
            if signals:
                break
    if signals:
        _stop(run, finished, signals[0])
    return history


def best_device() -> torch.device:
    """Return the device a model is trained on: the first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _resumed(run: Run, scratch: Path) -> tuple[int, History]:
    state = load_checkpoint(scratch)
    if state is None:
        return 0, History(max(1, run.steps // _ROWS))
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    print(f"{run.name}: going on after step {state['finished']} of {run.steps}", file=sys.stderr, flush=True)
    return state["finished"], History.of_state(state["history"])


def _state(run: Run, history: History) -> dict[str, object]:
    return {
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "history": history.state(),
    }


def _step(run: Run, batch: Batch, settings: TrainingSettings, finished: int) -> dict[str, float]:
    """Learn from one batch; return the loss terms and the norm of the gradient before clipping."""
    device = _device(run.model).type
    with torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bf16"):
        terms = run.loss(batch)
    run.optimizer.zero_grad(set_to_none=True)
    terms["loss"].backward()
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), settings.gradient_clip)
    values = {name: float(value.detach()) for name, value in (terms | {"gradient_norm": norm}).items()}
    _check_finite(run.name, finished + 1, values)
    run.optimizer.step()
    return values


def _check_finite(name: str, step: int, values: Mapping[str, float]) -> None:
    wrong = [f"{term} is {value}" for term, value in values.items() if not math.isfinite(value)]
    if wrong:
        raise TrainingFailed(
            f"{name}: step {step}: {', '.join(wrong)}; lower the learning rates"
            " or set training.precision to fp32 in params.yaml"
        )


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _moved(batch: Batch, device: torch.device) -> Batch:
    return {
        name: _moved(part, device) if isinstance(part, dict) else part.to(device, non_blocking=True)
        for name, part in batch.items()
    }


def _learning_rates(optimizer: Optimizer) -> dict[str, float]:
    return {f"learning_rate/{group['part']}": group["lr"] for group in optimizer.param_groups}


class _Throughput:
    """Images per second between calls; a metric for people, never part of the history."""

    def __init__(self, images_per_step: int) -> None:
        self._images_per_step = images_per_step
        self._step, self._time = None, time.monotonic()

    def since(self, finished: int) -> dict[str, float]:
        now, before = time.monotonic(), self._time
        steps = finished - self._step if self._step is not None else 0
        self._step, self._time = finished, now
        return {"images_per_second": steps * self._images_per_step / (now - before)} if steps else {}


@contextmanager
def _deterministic() -> Iterator[None]:
    """Let torch choose deterministic algorithms where it has them, without changing the process for good."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Yield a list that fills with SIGINT and SIGTERM, which do not interrupt; a second one raises at once."""
    noted: list[int] = []

    def note(number: int, frame: object) -> None:
        noted.append(number)
        if len(noted) > 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(run: Run, finished: int, number: int) -> None:
    print(f"{run.name}: checkpoint saved after step {finished} of {run.steps}", file=sys.stderr, flush=True)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
