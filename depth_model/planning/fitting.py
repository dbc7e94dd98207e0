"""Which crop, batches and epochs fit a machine and a time: the arithmetic behind `depth-anything train`.

Speed is measured by one forward pass on this machine, or that of a card in `plan.yaml`; costs are those of `plan`.
Decides nothing about what is learned beyond that.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.errors import UserError
from depth_model.networks.variants import VARIANTS
from depth_model.planning.plan import (
    REFERENCE_SIDE,
    Work,
    figures,
    like,
    seconds_per_image,
    stages,
    table,
    training_bytes,
    training_factor,
    value,
)

SIDES = (518, 392, 294, 224, 168, 126, 98)
"""Crops that are tried, the largest first, in pixels; each is brought to whole patches."""
TOTALS = (48, 24, 12, 6, 3)
"""Images in a batch of the student that are tried: a third of them labeled (paper: 1:2)."""
ON_A_CPU = 12
FEWEST, MOST = 4, 40
"""Epochs that a crop must leave time for, and that are enough."""
LEAST_STEPS = 12
"""Of every training, however short the time: after three of them a student was no better than a constant."""
TEACHER, METRIC = 0.4, 0.2
"""Shares of the time for training that go to a teacher that is trained, and to fine-tuning to meters."""
MEMORY_SHARE = 0.8
MEASURED_SIDE = 126
PROBE = Path(__file__).parents[1] / "sky" / "probe.json"


@dataclass(frozen=True)
class Machine:
    """What trains: what plan.yaml holds of it (see `plan.figures`), memory in bytes, the precision it is best at."""

    name: str
    row: Mapping[str, Any]
    memory: float
    precision: str
    is_gpu: bool

    @property
    def cores(self) -> int:
        """The CPU cores of this machine, which collects and decodes."""
        return os.cpu_count() or 1


@dataclass(frozen=True)
class Wanted:
    """What is to be trained on how many images, their shorter side in pixels, and in how many seconds.

    Of the labeled ones `held_out` are not learned from. `teacher` is the size of what labels, which is trained if
    `trains_teacher`; `sky`: labeled images may show it; `metric`: fine-tune to meters, too.
    """

    labeled: int
    held_out: int
    unlabeled: int
    short_side: int
    student: str
    teacher: str
    trains_teacher: bool
    sky: bool
    metric: bool
    seconds: float

    @property
    def learned(self) -> int:
        """The labeled images that are learned from."""
        return self.labeled - self.held_out


@dataclass(frozen=True)
class Fit:
    """What fits: parameters, seconds of each stage, and the memory of a step of the student in bytes."""

    crop: int
    teacher_batch: int
    labeled_per_batch: int
    unlabeled_per_batch: int
    teacher_epochs: int
    student_epochs: float
    metric_epochs: float
    seconds: Mapping[str, float]
    memory: float

    @property
    def total(self) -> float:
        """Seconds of everything."""
        return sum(self.seconds.values())


def card(name: str) -> Machine:
    """Return a card of plan.yaml by its name (`RTX 4090`); raises UserError that lists those whose memory is known."""
    known = [one for one, row in table()["devices"].items() if "card" in row]
    try:
        row = figures(name)
    except UserError:
        row = {}
    if "card" not in row:
        raise UserError(f"card {name!r} is unknown: choose one of {', '.join(known)}")
    peak = row["card"]["peak"]
    return Machine(name, {"name": name} | row, row["card"]["memory"] * 1e9, max(peak, key=peak.get), is_gpu=True)


def this_machine(sizes: set[str]) -> Machine:
    """Return this machine, its speed measured by a forward pass of every one of `sizes`, which takes seconds."""
    import torch

    from depth_model.networks.device import inference_device

    device = inference_device()
    row = {
        "name": f"this machine's {device.type}",
        "milliseconds": _all_sizes({size: 1000 * _forward(size, device) for size in sizes}),
        "source": f"measured now: a forward pass of {MEASURED_SIDE} pixels, in proportion to the pixels",
    }
    if device.type == "cuda":
        precision = "bf16" if torch.cuda.is_bf16_supported() else "fp32"
        memory = torch.cuda.get_device_properties(device).total_memory
        return Machine(torch.cuda.get_device_name(device), row, memory, precision, is_gpu=True)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine("this machine", row, memory, "fp32", is_gpu=device.type != "cpu")


def _all_sizes(measured: Mapping[str, float]) -> dict[str, float]:
    """Return the milliseconds of every size, by operations from the largest one measured where it was not."""
    operations = table()["operations"]
    largest = max(measured, key=lambda size: operations[like(size)])
    rate = measured[largest] / operations[like(largest)]
    return {size: rate * operations[like(size)] for size in VARIANTS} | dict(measured)


def _forward(size: str, device: Any) -> float:
    """Return the seconds of one image of REFERENCE_SIDE, by the faster of two passes of MEASURED_SIDE."""
    import torch

    from depth_model.networks import DepthAnything

    model = DepthAnything(size).to(device).eval()
    side = whole(MEASURED_SIDE, size)
    image = torch.zeros(1, 3, side, side, device=device)
    taken = []
    for _ in range(3):  # the first fetches memory and kernels
        started = time.perf_counter()
        with torch.inference_mode():
            float(model(image).sum())  # waits for the device
        taken.append(time.perf_counter() - started)
    return min(taken[1:]) * (REFERENCE_SIDE / side) ** 2


def whole(side: int, *sizes: str) -> int:
    """Return `side` brought down to whole patches of all `sizes`, one patch at least."""
    patch = math.lcm(*(VARIANTS[size].patch for size in sizes))
    return max(patch, side // patch * patch)


def fit(wanted: Wanted, machine: Machine) -> Fit:
    """Return the largest crop that leaves time for FEWEST epochs and fits the memory, with the epochs that fill the
    time, at most MOST; the smallest crop where none does. `Fit.total` then tells more time than wanted.

    Raises UserError when nothing fits the memory.
    """
    sides = dict.fromkeys(whole(side, wanted.student, wanted.teacher) for side in SIDES)
    small_enough = [side for side in sides if side <= wanted.short_side] or [min(sides)]
    found = [one for side in small_enough if (one := _at(wanted, machine, side))]
    if not found:
        raise UserError(f"{machine.name}: {wanted.student} does not fit its memory; choose a smaller --size")
    return next((one for one in found if _is_enough(one, wanted)), found[-1])


def _is_enough(found: Fit, wanted: Wanted) -> bool:
    enough = found.student_epochs >= FEWEST and (not wanted.trains_teacher or found.teacher_epochs >= FEWEST)
    return enough and found.total <= 1.05 * wanted.seconds  # epochs are rounded


def _at(wanted: Wanted, machine: Machine, crop: int) -> Fit | None:
    """Return what fits at one crop, None when no batch fits the memory."""
    labeled, unlabeled = _batch(wanted, machine, crop)
    if not unlabeled:
        return None
    batch = max(1, min(unlabeled, wanted.learned // 4))
    work = Work(
        labeled=wanted.learned,
        unlabeled=wanted.unlabeled,
        teacher=wanted.teacher,
        teacher_epochs=1,
        teacher_batch=batch,
        student=wanted.student,
        student_epochs=1,
        labeled_per_batch=labeled,
        unlabeled_per_batch=unlabeled,
        crop=crop,
        label_side=crop,
    )
    once = {one.name: 3600 * one.hours for one in stages(work, machine.row, 1, machine.cores)}
    masked = wanted.labeled * wanted.sky
    once["sky masks"] = masked * seconds_per_image(machine.row, "vits", _probe_side(), value("aspect"))
    learned = {"train teacher": once.pop("train teacher"), "train student": once.pop("train student")}
    fixed = once | {"all else": value("other_seconds")}
    once_metric = _metric_epoch(wanted, machine, crop)
    of_labels = batch / max(1, wanted.learned)
    step = {"train teacher": of_labels, "metric": of_labels, "train student": unlabeled / wanted.unlabeled}
    epochs = _epochs(wanted, learned | {"metric": once_metric}, step, wanted.seconds - sum(fixed.values()))
    seconds = fixed | {name: epochs[name] * one for name, one in learned.items()}
    memory = training_bytes(wanted.student, crop, labeled + unlabeled, machine.precision)
    metric = {"fine-tune to meters": epochs["metric"] * once_metric} if wanted.metric else {}
    rest = int(epochs["train teacher"]), epochs["train student"], epochs["metric"]
    return Fit(crop, batch, labeled, unlabeled, *rest, seconds | metric, memory)


def _probe_side() -> int:
    """Return the shorter side at which the packaged probe, on a ViT-S, looks for sky: what `train` masks skies with."""
    return files.read_json(PROBE)["short_side"]


def _batch(wanted: Wanted, machine: Machine, crop: int) -> tuple[int, int]:
    """Return labeled and unlabeled images of the largest batch of the student that fits; (1, 0) for none."""
    room = MEMORY_SHARE * machine.memory
    for total in TOTALS if machine.is_gpu else [one for one in TOTALS if one <= ON_A_CPU]:
        few = total == TOTALS[-1] or total * 2 // 3 <= wanted.unlabeled // 4
        if few and training_bytes(wanted.student, crop, total, machine.precision) <= room:
            return total // 3, total * 2 // 3
    return 1, 0


def _metric_epoch(wanted: Wanted, machine: Machine, crop: int) -> float:
    forward = seconds_per_image(machine.row, wanted.student, crop, value("aspect"))
    return wanted.learned * forward * training_factor(machine.row, wanted.student)


def _epochs(wanted: Wanted, once: Mapping[str, float], step: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Return how often each network sees its images in `seconds`, where once takes so long and a step sees such a part
    of them: never fewer than LEAST_STEPS, teachers whole times."""
    shares = {"train teacher": TEACHER * wanted.trains_teacher, "metric": METRIC * wanted.metric}
    shares |= {"train student": 1 - sum(shares.values())}
    found = {}
    for name, share in shares.items():
        fits = share * seconds / once[name] if once[name] else 0.0
        least = min(MOST, LEAST_STEPS * step[name])
        found[name] = max(math.ceil(10 * least) / 10, round(min(fits, MOST), 1))
    teacher = max(math.ceil(LEAST_STEPS * step["train teacher"]), int(found["train teacher"]))
    return {
        "train student": found["train student"],
        "train teacher": float(min(MOST, teacher) * wanted.trains_teacher),
        "metric": found["metric"] * wanted.metric,
    }
