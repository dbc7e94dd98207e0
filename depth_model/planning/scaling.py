"""The student on many GPUs: what a step computes and exchanges, where more GPUs stop helping, what the store delivers.

Data parallel training (DDP): each GPU has the whole network and a share of the batch, gradients are summed in a ring
while the backward pass runs. The bandwidths are assumptions of `plan.yaml`. Latency, stragglers and the reading of
shards are left out, so that the efficiency is the most that can be had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from depth_model.planning.plan import Work, figures, parameters, state_bytes, student_step_seconds, value

GPUS = (8, 64, 512)
BACKWARD = 2 / 3
"""Share of a step's computing that is the backward pass, behind which the exchange can hide."""


@dataclass(frozen=True)
class Scale:
    """A student's step on `gpus`: seconds of computing, of the exchange, and in all; how much of the GPUs is used; what
    the store delivers in GB/s; GiB of memory on a GPU (None: not measured); and what limits it."""

    gpus: int
    computing: float
    exchange: float
    step: float
    efficiency: float
    store: float
    memory: float | None
    limit: str


def student_scale(work: Work, device: str, gpus: int) -> Scale:
    """Return the student's step on `gpus` of `device`; raises UserError as `plan.seconds_per_image` does.

    No more GPUs work than there are unlabeled images in a batch: a share needs one.
    """
    working = min(gpus, work.unlabeled_per_batch)
    labeled, unlabeled = (math.ceil(one / working) for one in (work.labeled_per_batch, work.unlabeled_per_batch))
    computing, exchange = student_step_seconds(work, device, labeled, unlabeled), ring_seconds(work.student, working)
    step = computing + max(0.0, exchange - BACKWARD * computing)
    alone = student_step_seconds(work, device, work.labeled_per_batch, work.unlabeled_per_batch)
    limits = {
        f"student.unlabeled_per_batch = {work.unlabeled_per_batch}: only as many GPUs work": working < gpus,
        "the exchange takes longer than the backward pass": exchange > BACKWARD * computing,
        "shares of a batch are unequal": alone / working < 0.95 * computing,
    }
    return Scale(
        gpus,
        computing,
        exchange,
        step,
        alone / step / gpus,
        _read_bytes(work) / step / 1e9,
        memory(work.student, device, labeled + unlabeled),
        "; ".join(text for text, holds in limits.items() if holds) or "computing",
    )


def ring_seconds(size: str, gpus: int) -> float:
    """Return the seconds in which a ring of `gpus` sums the float32 gradients of network `size`."""
    between = gpus > value("gpus_per_node")
    bandwidth = value("exchange_gb_s_between_nodes" if between else "exchange_gb_s_in_node") * 1e9
    return 2 * (gpus - 1) / gpus * 4 * parameters(size) / bandwidth


def memory(size: str, device: str, images: int) -> float | None:
    """Return the GiB that a training step of `images` takes on one GPU, None where that was not measured."""
    known = figures(device).get("memory", {}).get(size)
    return known and known["network"] + known["image"] * images


def _read_bytes(work: Work) -> float:
    """Return the bytes of stored images and labels that a step reads."""
    images = (work.labeled_per_batch + work.unlabeled_per_batch) * value("image_bytes")
    pixels = work.label_side**2 * value("aspect")
    return images + work.unlabeled_per_batch * pixels * value("label_bytes_per_pixel")


def markdown(work: Work, device: str, counts: Sequence[int] = GPUS) -> str:
    """Return a table of the student's step on each of `counts` GPUs, with a line on memory."""
    head = ["GPUs", "computes s", "exchanges s", "step s", "efficiency", "store GB/s", "GiB a GPU", "limit"]
    lines = [head, ["---:"] * (len(head) - 1) + ["---"]]
    for count in counts:
        one = student_scale(work, device, count)
        numbers = (f"{number:.3g}" for number in (one.computing, one.exchange, one.step))
        taken = "not measured" if one.memory is None else f"{one.memory:.1f}"
        lines.append([str(count), *numbers, f"{one.efficiency:.0%}", f"{one.store:.2g}", taken, one.limit])
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    held = state_bytes(work.student) / 2**30
    return f"{text}\n\nWeights, gradients and AdamW of {work.student} take {held:.1f} GiB on each GPU" + (
        ", so that sharding them gains little." if held < 8 else "; shard the optimizer if a batch does not fit."
    )


def is_gpu(device: str) -> bool:
    """Return whether `device` is one that this page is about."""
    return figures(device)["kind"] == "gpu"
