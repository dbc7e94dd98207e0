"""The one training loop. Each stage brings a model, an optimizer with its schedule, batches and a loss (`Run`).

It owns precision, shares of a batch, clipping, checkpoints, what to do with bad batches, progress and the reporting of
metrics. It knows neither what is learned nor where metrics go. The batch of a step, its loss and its gradient are
those of the whole batch, however many processes and parts share it (docs/training.md).
"""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from depth_model.errors import UserError
from depth_model.progress import progress_bar
from depth_model.training import processes, stopping
from depth_model.training.arithmetic import arithmetic
from depth_model.training.batches import Batch, loader, on_device, sample_keys
from depth_model.training.guard import Guard
from depth_model.training.history import History
from depth_model.training.optimizers import Schedule, set_schedule
from depth_model.training.processes import best_device
from depth_model.training.resume import newest_checkpoint, read_checkpoint, save_checkpoint
from depth_model.training.sampling import Share
from depth_model.training.settings import LoopSettings, TrainingMachine
from depth_model.training.terms import Samples, Term, values, weighted_sum
from depth_model.training.validation import PREFIX, Validation, best_step, exhausted, kept, measure, worse_since

OnMetrics = Callable[[int, Mapping[str, float]], None]
"""Called with the number of finished steps and metrics by name."""

_ROWS = 2000
"""How many rows a long history has; a short one has a row per step."""


def _healthy(found: Mapping[str, float]) -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run brings.

    `make_batch(step, share)` gives a share of a global batch, `forward` what the model makes of it, from which the
    `terms` are computed; the minimized `loss` is their weighted sum. `schedule` sets learning rates and betas of each
    step. `unhealthy` looks at the values of a step and says what is wrong with the model's output, if anything. `ema`
    is the decay of the average of the weights that the model gets at the end, 0 for none; `validation` measures the
    model, or that average, on the way. Raises ValueError for `ema` outside [0, 1).
    """

    name: str
    model: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    steps: int
    images_per_step: int
    make_batch: Callable[[int, Share], Batch]
    forward: Callable[[Batch], Any]
    terms: Sequence[Term]
    gradient_clip: float
    unhealthy: Callable[[Mapping[str, float]], str] = _healthy
    ema: float = 0.0
    validation: Validation | None = None

    def __post_init__(self) -> None:
        if self.ema and not 0 < self.ema < 1:
            raise ValueError(f"ema={self.ema}: give a decay below 1, or 0 for no average")


@dataclass
class _Course:
    """How far a run is: what changes from step to step, beside model and optimizer.

    `best` holds the weights, on the CPU, that validation keeps.
    """

    finished: int
    history: History
    guard: Guard
    average: AveragedModel | None
    saved: int
    best: dict[str, Tensor] | None = None


def train(
    run: Run,
    settings: LoopSettings,
    scratch: Path,
    on_metrics: OnMetrics,
    machine: TrainingMachine = TrainingMachine(),
) -> History:
    """Train `run.model` to the end, from the newest checkpoint in `scratch` if there is one; return the history.

    The end is the last step, or a measurement with which the patience of `run.validation` is used up.
    A checkpoint holds the state before a step whose batch has shown that state to be sound. SIGINT and SIGTERM end
    the step in hand, save a checkpoint and raise KeyboardInterrupt or SystemExit.
    Raises UserError when training goes wrong (see `divergence`), no checkpoint can be written or another process ends.
    """
    shares, device = processes.shares(settings.accumulation), best_device()
    pinned = device.type == "cuda"
    if machine.compile:
        for part in run.model.children():
            part.compile()
    learner = processes.fabric().setup_module(_Objective(run))
    course = _resumed(run, settings, scratch)
    started, asked, clock = course.finished, False, _Clock(run)
    run.model.train()
    steps = course.finished if _ended_early(run, course) else run.steps
    with (
        processes.losses_named(),
        arithmetic(machine, device),
        stopping.noted_signals() as stop,
        progress_bar(run.name, run.steps, "steps", course.finished, shown=processes.is_first()) as bar,
        # Closed at once: an exception on its way out would keep the loader's processes, which ignore signals.
        closing(loader(run.make_batch, shares, course.finished, steps, machine.workers, pinned)) as batches,
    ):
        if not started:
            _measured(run, course, on_metrics, machine)
        for parts in on_device(batches, device):
            set_schedule(run.optimizer, run.schedule, course.finished, run.steps)
            found, asked = _gradients(run, learner, parts, settings, stop)
            good = _judged(run, course, found, parts, machine.checkpoint_every, scratch)
            course.finished += 1
            if course.history.add(course.finished, found if good else None):
                on_metrics(course.finished, _metrics(run, course, clock))
            _measured(run, course, on_metrics, machine)
            bar.set_postfix(_shown(found["loss"], course.history), refresh=False)
            bar.update()
            if asked or _ended_early(run, course):
                break
    if course.finished > started:
        _save_sound(run, course, scratch, asked or course.best is not None)
    if asked:
        _say(f"{run.name}: stopped after step {course.finished} of {run.steps}")
        stopping.end(stop.number or signal.SIGTERM)  # 0: another process was asked
    _conclude(run, course)
    return course.history


def _measured(run: Run, course: _Course, on_metrics: OnMetrics, machine: TrainingMachine) -> None:
    """Measure the model where that is due, and keep its weights if they are the best so far."""
    validation, finished = run.validation, course.finished
    if validation is None or not validation.due(finished, run.steps):
        return
    model = run.model if course.average is None else course.average.module
    course.history.measured[finished] = measure(validation, model, machine.workers)
    on_metrics(finished, course.history.measured[finished])
    if validation.settings.keep == "best" and best_step(validation, course.history.measured) == finished:
        course.best = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _ended_early(run: Run, course: _Course) -> bool:
    return run.validation is not None and exhausted(run.validation, course.history.measured)


def _conclude(run: Run, course: _Course) -> None:
    """Leave in the model what the run ends with: the best weights, their average, or those of the last step."""
    if course.best is not None:
        run.model.load_state_dict(course.best)
    elif course.average is not None:
        run.model.load_state_dict(course.average.module.state_dict())
    if run.validation is not None:
        measured = course.history.measured
        course.history.kept = best_step(run.validation, measured) if course.best is not None else course.finished
        _say(f"{run.name}: {_reason(run, course)}{kept(course.history)}")


def _reason(run: Run, course: _Course) -> str:
    if course.finished == run.steps:
        return ""
    worse = worse_since(run.validation, course.history.measured)
    return f"stopped at step {course.finished} of {run.steps}: no better for {worse} measurements; "


def _shown(loss: float, history: History) -> dict[str, str]:
    """Return what the progress shows: the loss of a step, and the last figures of validation."""
    figures = next(reversed(history.measured.values()), {})
    values = {"loss": loss, **{name.removeprefix(PREFIX): value for name, value in figures.items()}}
    return {name: f"{value:.4f}" for name, value in values.items()}


class _Objective(nn.Module):
    """A model with its loss as `forward`: what DDP wraps, so that the loss may call any method of the model."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.model, self._run = run.model, run

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return values(self._run.terms, self._run.forward(batch))


def _resumed(run: Run, settings: LoopSettings, scratch: Path) -> _Course:
    """Return where the run stands; model and optimizer are set to the newest whole checkpoint if there is one."""
    average = None
    if run.ema:
        average = AveragedModel(run.model, multi_avg_fn=get_ema_multi_avg_fn(run.ema)).requires_grad_(False)
    guard = Guard(run.name, settings.bad_batch, settings.largest_skips)
    path = processes.file_of_first(newest_checkpoint(scratch) if processes.is_first() else None)
    if path is None:
        return _Course(0, History(max(1, run.steps // _ROWS)), guard, average, 0)
    state = read_checkpoint(path)
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    if average is not None:
        average.load_state_dict(state["average"])
    finished = state["finished"]
    _say(f"{run.name}: going on after step {finished} of {run.steps}")
    guard = replace(guard, **state["guard"])
    return _Course(finished, History.of_state(state["history"]), guard, average, finished, state.get("best"))


def _gradients(
    run: Run, learner: nn.Module, parts: Sequence[Batch], settings: LoopSettings, stop: stopping.Stop
) -> tuple[dict[str, float], bool]:
    """Leave the gradient of the whole global batch in the parameters.

    Returns its loss, terms and gradient norms, the same in every process, and whether any process is asked to stop.
    A GPU is waited for once, at the end.
    """
    fabric, device = processes.fabric(), best_device()
    portions = _portions(run, parts)
    run.optimizer.zero_grad(set_to_none=True)
    totals: dict[str, Tensor] = {}
    for number, (part, portion) in enumerate(zip(parts, portions, strict=True)):
        with fabric.no_backward_sync(learner, enabled=number + 1 < len(parts)):
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
                found = learner(part)
            found = {term.name: found[term.name] * portion.get(term.samples, 1.0) for term in run.terms}
            loss = weighted_sum(run.terms, found)
            # DDP takes the mean over the processes of what is here a portion of the sum.
            fabric.backward(loss * fabric.world_size)
        for name, value in {"loss": loss, **found}.items():
            totals[name] = totals.get(name, 0.0) + value.detach().double()
    return _read(totals, _gradient_norms(run.optimizer, device), stop)


def _read(
    totals: Mapping[str, Tensor], norms: Mapping[str, Tensor], stop: stopping.Stop
) -> tuple[dict[str, float], bool]:
    """Return the sums of `totals` over all processes beside the gradient norms, and whether any is asked to stop."""
    asked = torch.full_like(next(iter(totals.values())), float(stop.asked() > 0))
    summed = processes.summed(torch.stack([*totals.values(), asked]))
    *read, asked = torch.cat([torch.stack(list(norms.values())), summed]).tolist()
    lengths, found = dict(zip(norms, read, strict=False)), dict(zip(totals, read[len(norms) :], strict=True))
    return found | {"gradient_norm": math.hypot(*lengths.values()), **lengths}, asked > 0


def _portions(run: Run, parts: Sequence[Batch]) -> list[dict[Samples | None, Tensor]]:
    """Return for each part of this process which portion of a mean over the global batch its own mean makes up."""
    kinds = list(dict.fromkeys(term.samples for term in run.terms if term.samples))
    if len(parts) * processes.fabric().world_size == 1 or not kinds:
        return [{} for _ in parts]
    device = best_device()
    counts = torch.stack([torch.stack([_number(count(part), device) for count in kinds]) for part in parts])
    whole = processes.summed(counts.sum(dim=0))
    # In float32 as the terms are, which they would otherwise not stay.
    portions = (counts / torch.where(whole > 0, whole, 1.0)).float()
    return [dict(zip(kinds, own, strict=True)) for own in portions]


def _number(value: Tensor | float, device: torch.device) -> Tensor:
    """Return `value` as a float64 scalar on `device`, without waiting for it."""
    if isinstance(value, Tensor):
        return value.double()
    return torch.full((), float(value), dtype=torch.float64, device=device)


def _gradient_norms(optimizer: Optimizer, device: torch.device) -> dict[str, Tensor]:
    """Return the norm of the gradient of each part of the model before clipping, float64 on `device`."""
    gradients: dict[str, list[Tensor]] = {}
    for group in optimizer.param_groups:
        found = [parameter.grad for parameter in group["params"] if parameter.grad is not None]
        gradients.setdefault(group["part"], []).extend(found)
    norms = {part: nn.utils.get_total_norm(found).to(device) for part, found in gradients.items()}
    return {f"gradient_norm/{part}": norm.double() for part, norm in norms.items()}


def _judged(
    run: Run,
    course: _Course,
    found: Mapping[str, float],
    parts: Sequence[Batch],
    checkpoint_every: int,
    scratch: Path,
) -> bool:
    """Learn from a good batch and return True; skip a bad one and return False, or raise UserError."""

    def keys() -> list[str]:
        return processes.gathered([key for part in parts for key in sample_keys(part)])

    step, guard = course.finished + 1, course.guard
    if fault := guard.fault(found):
        guard.refuse(step, fault, keys())
        return False
    trouble = guard.trouble(run.unhealthy(found))
    if not trouble and course.finished // checkpoint_every > course.saved // checkpoint_every:
        _save(run, course, scratch)
    if found["gradient_norm"] > run.gradient_clip:
        parameters = [one for group in run.optimizer.param_groups for one in group["params"]]
        nn.utils.clip_grads_with_norm_(parameters, run.gradient_clip, torch.tensor(found["gradient_norm"]))
    run.optimizer.step()
    if course.average is not None:
        course.average.update_parameters(run.model)
    guard.take(step, found["loss"], trouble, keys)
    return True


def _save_sound(run: Run, course: _Course, scratch: Path, replaced: bool) -> None:
    """Save the state that the last step left, which no later batch has tried, unless something is wrong with it.

    Raises UserError then, but for a state that is `replaced`: by what a resumed run makes, or by better weights.
    """
    if all(bool(torch.isfinite(parameter).all()) for parameter in run.model.parameters()):
        if not course.guard.unhealthy_steps:
            _save(run, course, scratch)
        elif not replaced:
            course.guard.give_up("the run ended while its output was dead or its loss too large")
    elif not replaced:
        raise UserError(f"{run.name}: the last step left weights that are not finite; lower the learning rates")


def _save(run: Run, course: _Course, scratch: Path) -> None:
    course.saved = course.finished
    if not processes.is_first():
        return
    state = {
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "history": course.history.state(),
        "guard": course.guard.state(),
    }
    if course.average is not None:
        state["average"] = course.average.state_dict()
    if course.best is not None:
        state["best"] = course.best
    try:
        save_checkpoint(scratch, course.finished, state)
    except OSError as error:
        raise UserError(
            f"{run.name}: the checkpoint after step {course.finished} cannot be written to {scratch}:"
            f" {error.strerror}; the one before is kept, the same command goes on from it"
        ) from error


def _metrics(run: Run, course: _Course, clock: _Clock) -> dict[str, float]:
    rates = {f"learning_rate/{group['part']}": group["lr"] for group in run.optimizer.param_groups}
    return course.history.last_row() | rates | clock.since(course.finished)


def _say(text: str) -> None:
    if processes.is_first():
        print(text, file=sys.stderr, flush=True)


class _Clock:
    """Images per second between calls and the seconds left; metrics for people, never part of the history."""

    def __init__(self, run: Run) -> None:
        self._images, self._steps = run.images_per_step, run.steps
        self._step, self._time = None, time.monotonic()

    def since(self, finished: int) -> dict[str, float]:
        now, before = time.monotonic(), self._time
        made = finished - self._step if self._step is not None else 0
        self._step, self._time = finished, now
        if not made:
            return {}
        seconds = (now - before) / made
        return {"images_per_second": self._images / seconds, "seconds_left": (self._steps - finished) * seconds}
