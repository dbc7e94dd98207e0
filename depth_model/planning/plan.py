"""What a training costs before it is started: hours, device hours, storage and traffic of every stage.

Pure functions of counts of images, the parameters that matter, and a device's speed from `plan.yaml`, where every
figure names its source. A forward pass costs in proportion to the pixels; that attention grows faster, waiting for
data, evaluation and fine-tuning are left out, so the figures are what is needed at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from depth_model.errors import UserError

TABLE = Path(__file__).with_name("plan.yaml")
REFERENCE_SIDE = 518
_TERABYTE = 1e12
_FLOAT32 = 4


@dataclass(frozen=True)
class Work:
    """What is to be done: numbers of images, and the parameters of teacher, pseudo labels and student."""

    labeled: int
    unlabeled: int
    teacher: str
    teacher_epochs: float
    teacher_batch: int
    student: str
    student_epochs: float
    labeled_per_batch: int
    unlabeled_per_batch: int
    crop: int
    label_side: int
    passes: int = 1
    """Network passes for each pseudo label: one for each teacher, one more for the score of quality."""


@dataclass(frozen=True)
class Stage:
    """One stage: `device_hours` of `device` in sum, `hours` on all workers, and terabytes.

    `reads` and `writes` are of the store of shards, `stores` is what remains there, `exchanges` what the workers send
    to each other.
    """

    name: str
    device: str
    device_hours: float
    hours: float
    reads: float = 0.0
    writes: float = 0.0
    stores: float = 0.0
    exchanges: float = 0.0


@cache
def table() -> dict[str, Any]:
    """Return the content of plan.yaml."""
    import yaml

    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


@cache
def parameters(size: str) -> int:
    """Return how many parameters the network of `size` has, counted on one without memory for its weights."""
    import torch

    from depth_model.networks import DepthAnything

    with torch.device("meta"):
        return sum(one.numel() for one in DepthAnything(size).parameters())


Device = str | Mapping[str, Any]
"""The name of a device in plan.yaml (`RTX 4090` is `rtx-4090`), or what is known of one, as there, with its `name`."""


def seconds_per_image(device: Device, size: str, side: int, aspect: float = 1.0) -> float:
    """Return the seconds of one forward pass of network `size` on an image of `side` x `side * aspect` pixels.

    As measured, or else computed from operations and the peak of the card. Raises UserError for a device or size that
    the table lacks.
    """
    row, counted = figures(device), table()["operations"]
    known = row.get("milliseconds", {})
    if size in known:
        seconds = known[size] / 1000
    elif "card" in row and like(size) in counted:
        seconds = counted[like(size)] * 1e9 / (value("efficiency") * 1e12 * max(row["card"]["peak"].values()))
    else:
        sizes = ", ".join(dict.fromkeys([*known, *(counted if "card" in row else ())]))
        raise UserError(f"encoder {size!r} was not measured on {_called(device)}: choose one of {sizes}")
    return seconds * (side / REFERENCE_SIDE) ** 2 * aspect


def figures(device: Device) -> Mapping[str, Any]:
    """Return what is known of `device`; raises UserError for one that the table lacks."""
    if not isinstance(device, str):
        return device
    devices, name = table()["devices"], device.strip().lower().replace(" ", "-")
    if name not in devices:
        raise UserError(f"device {device!r} is unknown: choose one of {', '.join(devices)}")
    return devices[name]


def _called(device: Device) -> str:
    return device if isinstance(device, str) else device["name"]


def like(size: str) -> str:
    """Return the size of DINOv2 that costs about the same as `size`: registers and DINOv3 change little."""
    return size.removesuffix("_reg").removeprefix("dinov3_").removesuffix("16")


def state_bytes(size: str) -> float:
    """Return how much memory a network of `size` takes in training: weights, gradients and both moments, in fp32."""
    return 4 * _FLOAT32 * parameters(size)


def training_bytes(size: str, side: int, images: int, precision: str) -> float:
    """Return how much memory a step takes at least: weights, gradients and both moments of AdamW in fp32, and what the
    backward pass needs of `images` of `side` x `side` pixels, half of it in bf16."""
    activations = table()["kept"][like(size)] * 1e6 * (side / REFERENCE_SIDE) ** 2 * images
    return state_bytes(size) + activations * (0.5 if precision == "bf16" else 1)


def training_factor(device: Device, size: str) -> float:
    """Return how many forward passes a training step of one image takes, by the device's own figure if it has one."""
    return figures(device).get("training_factor", {}).get(size, value("training_factor"))


def student_step_seconds(work: Work, device: Device, labeled: float, unlabeled: float) -> float:
    """Return the seconds in which one `device` computes a student's step of so many images."""
    forward = seconds_per_image(device, work.student, work.crop)
    share = table()["encoder_share"][like(work.student)]  # the frozen encoder sees unlabeled images, forward only
    return forward * ((labeled + unlabeled) * training_factor(device, work.student) + unlabeled * share)


def student_steps(work: Work) -> float:
    """Return the steps of the student: `student_epochs` over the unlabeled images."""
    return work.student_epochs * work.unlabeled / work.unlabeled_per_batch


def stages(work: Work, device: Device, workers: int, cores: int) -> list[Stage]:
    """Return the cost of each stage on `workers` devices, and on `cores` for each of them where no network runs.

    Raises UserError as `seconds_per_image` does.
    """
    return [
        _collect("labeled", work.labeled, workers * cores),
        _collect("unlabeled", work.unlabeled, workers * cores),
        _sky_mask(work, device, workers),
        _teacher(work, device, workers),
        _pseudo_label(work, device, workers),
        _student(work, device, workers),
    ]


def bottleneck(plan: list[Stage]) -> Stage:
    """Return the stage that takes the most hours."""
    return max(plan, key=lambda stage: stage.hours)


def value(name: str) -> float:
    """Return the figure `name` of the table."""
    return table()[name]["value"]


def _images(count: float) -> float:
    return count * value("image_bytes") / _TERABYTE


def _labels(work: Work, count: float) -> float:
    pixels = work.label_side**2 * value("aspect")
    return count * pixels * value("label_bytes_per_pixel") / _TERABYTE


def _exchanged(size: str, steps: float, workers: int) -> float:
    """Return terabytes of gradients that all workers send: a ring sends each 2 (N - 1) / N of the gradients."""
    return steps * 2 * (workers - 1) * parameters(size) * _FLOAT32 / _TERABYTE


def _collect(role: str, count: int, cores: int) -> Stage:
    core_hours = count / value("collect_images_per_core_second") / 3600
    moved = _images(count)
    return Stage(f"collect {role}", "core", core_hours, core_hours / cores, reads=moved, writes=moved, stores=moved)


def _sky_mask(work: Work, device: Device, workers: int) -> Stage:
    hours = work.labeled * seconds_per_image(device, "vitl", REFERENCE_SIDE) * value("sky_share") / 3600
    return Stage("sky masks", _called(device), hours, hours / workers, reads=_images(work.labeled))


def _teacher(work: Work, device: Device, workers: int) -> Stage:
    images = work.labeled * work.teacher_epochs
    one = seconds_per_image(device, work.teacher, work.crop) * training_factor(device, work.teacher)
    hours = images * one / 3600
    exchanged = _exchanged(work.teacher, images / work.teacher_batch, workers)
    return Stage("train teacher", _called(device), hours, hours / workers, reads=_images(images), exchanges=exchanged)


def _pseudo_label(work: Work, device: Device, workers: int) -> Stage:
    one = seconds_per_image(device, work.teacher, work.label_side, value("aspect")) * work.passes
    hours = work.unlabeled * one / figures(device).get("labeling_share", value("labeling_share")) / 3600
    written = _labels(work, work.unlabeled)
    read = _images(work.unlabeled)
    return Stage("pseudo-label", _called(device), hours, hours / workers, reads=read, writes=written, stores=written)


def _student(work: Work, device: Device, workers: int) -> Stage:
    steps = student_steps(work)
    labeled, unlabeled = steps * work.labeled_per_batch, steps * work.unlabeled_per_batch
    hours = student_step_seconds(work, device, labeled, unlabeled) / 3600
    read = _images(labeled + unlabeled) + _labels(work, unlabeled)
    exchanged = _exchanged(work.student, steps, workers)
    return Stage("train student", _called(device), hours, hours / workers, reads=read, exchanges=exchanged)


def markdown(plan: list[Stage], workers: int) -> str:
    """Return the plan as a Markdown table with a line on the bottleneck."""
    moved = ["reads TB", "writes TB", "keeps TB", "exchanges TB"]
    head = ["stage", "device", "device-hours", f"hours on {workers}", *moved]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for one in plan:
        numbers = (one.device_hours, one.hours, one.reads, one.writes, one.stores, one.exchanges)
        lines.append([one.name, one.device, *(f"{number:,.1f}" for number in numbers)])
    worst, total = bottleneck(plan), sum(one.hours for one in plan)
    sums = ["all, one after the other", "", "", f"{total:,.1f}", *_sums(plan)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in [*lines, sums])
    return f"{text}\n\nBottleneck: {worst.name}, {worst.hours / total:.0%} of the hours."


def _sums(plan: list[Stage]) -> list[str]:
    return [f"{sum(getattr(one, name) for one in plan):,.1f}" for name in ("reads", "writes", "stores", "exchanges")]


def sources(device: Device) -> list[str]:
    """Return a line for each figure of the table that a plan for `device` uses, with where it is from."""
    known: Mapping[str, Any] = table()
    every = [f"{name} = {one['value']}: {one['source']}" for name, one in known.items() if "value" in one]
    return [f"{_called(device)}: {figures(device)['source']}", *every]
