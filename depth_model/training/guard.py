"""Noticing that a training goes wrong before its state is lost: what is bad, what is unhealthy, and what follows.

A batch is *bad* when a term or the gradient is not finite, or when the loss jumps far above its usual level. Its
gradient is never applied: the run stops, or skips it and counts. A model is *unhealthy* while its output is
dead or collapsed, or its loss stays far above where it began. No checkpoint is written then, and after
`UNHEALTHY_STEPS` in a row the run stops; the checkpoint before it is the last good one. Every verdict is a function of
the steps so far, so that a resumed run judges as an undisturbed one does.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from depth_model.errors import UserError

WINDOW = 50
"""Steps over which the usual level of the loss is taken."""
KNOWN = 20
"""Steps after which a usual level is known."""
JUMP = 100.0
"""A loss this many times the median of the window is a jump."""
DRIFT = 5.0
"""A mean loss this many times that of the first steps has diverged."""
UNHEALTHY_STEPS = 20
"""Steps in a row after which an unhealthy model is given up."""
SHOWN_KEYS = 12

_REMEDY = "lower the learning rates, set another seed, or set training.precision to fp32 in params.yaml"


@dataclass
class Guard:
    """What the losses of one run were lately, how many batches were skipped, and since when the model is unhealthy."""

    name: str
    bad_batch: Literal["stop", "skip"]
    largest_skips: int
    recent: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    skipped: int = 0
    unhealthy_steps: int = 0
    unhealthy_since: str = ""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs; one is never written of an unhealthy model."""
        return {"recent": list(self.recent), "first": list(self.first), "skipped": self.skipped}

    def fault(self, values: Mapping[str, float]) -> str:
        """Return what is wrong with a batch that gave the terms `values` (with `loss`); empty when nothing is."""
        wrong = [f"{term} is {value}" for term, value in values.items() if not math.isfinite(value)]
        if not wrong and len(self.recent) >= KNOWN:
            usual = statistics.median(self.recent)
            if values["loss"] > JUMP * usual > 0:
                wrong = [f"loss is {values['loss']:.4g}, usual is {usual:.4g}"]
        return ", ".join(wrong)

    def refuse(self, step: int, fault: str, keys: Sequence[str]) -> None:
        """Skip and count the bad batch of `step` (from 1); raise UserError if that is not wanted, or no more."""
        found = f"{self.name}: step {step}: {fault}; the batch: {shown(keys)}"
        if self.bad_batch == "stop":
            raise UserError(f"{found}; look at these samples; {_REMEDY}; training.bad_batch: skip passes over it")
        if self.skipped >= self.largest_skips:
            raise UserError(f"{found}; training.largest_skips = {self.largest_skips} is used up; {_REMEDY}")
        self.skipped += 1
        print(f"{found}; skipped, {self.skipped} of at most {self.largest_skips}", file=sys.stderr, flush=True)

    def trouble(self, found: str) -> str:
        """Return why the model counts as unhealthy: `found` in its output, or its loss has drifted away."""
        if found or len(self.first) < WINDOW or len(self.recent) < WINDOW:
            return found
        level, start = statistics.fmean(self.recent), statistics.fmean(self.first)
        return f"the loss has grown from {start:.4g} to {level:.4g}" if level > DRIFT * start > 0 else ""

    def take(self, step: int, loss: float, trouble: str, keys: Callable[[], Sequence[str]]) -> None:
        """Take in the loss of a good batch. Raises UserError when the model is unhealthy for too long."""
        self.recent = [*self.recent, loss][-WINDOW:]
        self.first = self.first if len(self.first) == WINDOW else [*self.first, loss]
        if not trouble:
            self.unhealthy_steps = 0
            return
        if not self.unhealthy_steps:
            self.unhealthy_since = f"since step {step}, the batch: {shown(keys())}"
        self.unhealthy_steps += 1
        if self.unhealthy_steps >= UNHEALTHY_STEPS:
            self.give_up(trouble)

    def give_up(self, trouble: str) -> None:
        """Raise UserError for an unhealthy model."""
        raise UserError(f"{self.name}: {trouble} {self.unhealthy_since}; {_REMEDY}")


def shown(keys: Sequence[str]) -> str:
    """Return the keys of a batch as one readable list, the first twelve by name."""
    rest = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(keys[:SHOWN_KEYS]) + rest if keys else "without keys"
