"""Where one inference, or one training step, spends its time: by kind of operator, and by part of the model.

    python benchmarks/operators.py inference --size vits --side 518 [--precision bf16]
    python benchmarks/operators.py teacher --batch 2 [--precision bf16]
    python benchmarks/operators.py student --batch 3 [--precision bf16]     (a third of the pictures are labelled)

One thread and its own CPU time, so that other work on the machine disturbs it little. A step is that of the pipeline:
batch from uint8, losses, backward pass, clipping, AdamW; without reading data. An operator of the backward pass belongs
to the part whose forward pass it comes from. `GFLOP/s` counts matrix products, convolutions and attention.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import measuring
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from depth_model.networks import DepthAnything, frozen_encoder
from depth_model.objectives import sample_box
from depth_model.prediction.precision import bfloat16_copy
from depth_model.training.optimizers import adamw
from depth_model.training.settings import FeatureAlignment
from depth_model.training.start import Seen
from depth_model.training.student import student_output, student_terms
from depth_model.training.teacher import teacher_output, teacher_terms
from depth_model.training.terms import Term, values, weighted_sum

KINDS = {
    "attention": ("scaled_dot_product",),
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "linear"),
    "convolutions": ("convolution",),
    "softmax": ("softmax",),
    "GELU": ("gelu",),
    "LayerNorm": ("layer_norm",),
    "upsampling": ("upsample",),
    "copies and casts": ("copy", "clone", "cat", "stack", "contiguous"),
    "optimizer": ("fused_adam", "foreach"),
}
"""Kind -> how names of its operators begin, underscores and `native_` apart; everything else is elementwise."""
CLIP = 1.0
ELSE = "elementwise and sums"
REST = "neither encoder nor decoder"


class Call(NamedTuple):
    """One operator: which part of the model it belongs to, its kind, its seconds and floating-point operations."""

    part: str
    kind: str
    seconds: float
    operations: int


class Clock(TorchDispatchMode):
    """Times every operator below it on the CPU time of this thread."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.part = REST
        self._spans: list[tuple[int, int, str]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run `func` and note how long it took."""
        kwargs = kwargs or {}
        started = time.thread_time()
        result = func(*args, **kwargs)
        seconds = time.thread_time() - started
        self.calls.append(Call(self._owner(), kind_of(func.__name__), seconds, operations(func, args, kwargs, result)))
        return result

    @contextmanager
    def inside(self, part: str) -> Iterator[None]:
        """Count what runs here, and the backward pass of it, to `part`."""
        before, first = self.part, torch._C._autograd._get_sequence_nr()
        self.part = part
        try:
            yield
        finally:
            self.part = before
            self._spans.append((first, torch._C._autograd._get_sequence_nr(), part))

    def _owner(self) -> str:
        node = torch._C._current_autograd_node()
        if node is None:
            return self.part
        number = node._sequence_nr()
        return next((part for first, last, part in self._spans if first <= number < last), self.part)


def kind_of(name: str) -> str:
    """Return the kind of the operator `name`, for example `native_layer_norm.default`."""
    plain = name.split(".")[0].lstrip("_").removeprefix("native_")
    exact = {"mm", "bmm", "mv"}
    for kind, beginnings in KINDS.items():
        if any(plain == one if one in exact else plain.startswith(one) for one in beginnings):
            return kind
    return ELSE


def operations(func: Any, args: Any, kwargs: Any, result: Any) -> int:
    """Return the floating-point operations of one call as torch's counter has them; 0 for all but products."""
    if "scaled_dot_product" in func.__name__:  # torch counts the kernels of GPUs alone
        backward = "backward" in func.__name__
        shapes = [one.shape for one in args if isinstance(one, Tensor)]
        return sdpa_backward_flop_count(*shapes[:4]) if backward else sdpa_flop_count(*shapes[:3])
    count = flop_registry.get(func._overloadpacket)
    return int(count(*args, **kwargs, out_val=result)) if count else 0


def watched(clock: Clock, module: nn.Module, part: str) -> None:
    """Count `module` to `part` whenever it runs."""
    forward = module.forward

    def inside(*args: Any, **kwargs: Any) -> Any:
        with clock.inside(part):
            return forward(*args, **kwargs)

    module.forward = inside


def pictures(count: int, side: int) -> dict[str, Any]:
    """Return a batch as the loader makes it, of random pictures and labels."""
    generator = torch.Generator().manual_seed(0)
    return {
        "images": torch.randint(0, 256, (count, side, side, 3), generator=generator, dtype=torch.uint8),
        "disparity": torch.rand(count, side, side, generator=generator),
        "valid": torch.rand(count, side, side, generator=generator) > 0.1,
        "unusable": torch.zeros(()),
    }


def loss_of(step: str, model: DepthAnything, clock: Clock, given: argparse.Namespace) -> Callable[[], Tensor]:
    """Return what computes the loss of one step of the teacher or student, as the pipeline weighs it."""
    if step == "teacher":
        batch = pictures(given.batch, given.side)
        return lambda: minimized(teacher_terms(0.0), teacher_output(model, batch))
    frozen = frozen_encoder(given.size)
    watched(clock, frozen, "frozen encoder")
    unlabeled = pictures(given.batch - given.batch // 3, given.side)
    boxes = [sample_box(np.random.default_rng(0), given.side, given.side, 1.0) for _ in unlabeled["images"]]
    count = len(boxes)
    unlabeled |= {"box": torch.from_numpy(np.stack(boxes)), "partner": (torch.arange(count) - 1) % count}
    batch = {"labeled": pictures(given.batch // 3, given.side), "unlabeled": unlabeled}
    alignment = FeatureAlignment(alpha=0.85, block=frozen.depth - 3, normaliser="remaining")

    return lambda: minimized(student_terms(0.1, 0.0), student_output(model, frozen, alignment, batch))


def minimized(terms: list[Term], output: Seen) -> Tensor:
    """Return the loss of an output, without what is only watched."""
    minimized = [term for term in terms if term.weight]
    return weighted_sum(minimized, values(minimized, output))


def training(given: argparse.Namespace, clock: Clock) -> Callable[[], None]:
    """Return what makes one step, with encoder, decoder and frozen encoder told apart by `clock`."""
    model = measuring.ours(given.size)
    watched(clock, model.encoder, "encoder")
    watched(clock, model.decoder, "decoder")
    optimizer, loss = adamw(model, 1e-5, 1e-4, 0.01), loss_of(given.what, model, clock, given)
    parameters = [one for group in optimizer.param_groups for one in group["params"]]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=given.precision == "bf16"):
            value = loss()
        value.backward()
        norm = nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None])
        if norm > CLIP:
            nn.utils.clip_grads_with_norm_(parameters, CLIP, norm)
        optimizer.step()

    return step


def inference(given: argparse.Namespace, clock: Clock) -> Callable[[], None]:
    """Return what predicts once, with encoder and decoder told apart by `clock`."""
    model = measuring.ours(given.size).eval()
    if given.precision == "bf16":
        model = bfloat16_copy(model)
    watched(clock, model.encoder, "encoder")
    watched(clock, model.decoder, "decoder")
    images = torch.randn(given.batch, 3, given.side, given.side, generator=torch.Generator().manual_seed(0))

    def run() -> None:
        # In inference mode torch does not take composite operators apart.
        with torch.no_grad():
            model(images)

    return run


def rows(calls: list[Call], column: str, rounds: int, peak: float) -> list[list[str]]:
    """Return the lines of a table by `column`, "kind" or "part", the largest first."""
    total = sum(call.seconds for call in calls)
    groups: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        groups[getattr(call, column)].append(call)
    lines = []
    for name, some in sorted(groups.items(), key=lambda item: -sum(call.seconds for call in item[1])):
        seconds, work = sum(call.seconds for call in some), sum(call.operations for call in some)
        speed = [f"{work / seconds / 1e9:.0f}", f"{work / seconds / peak:.0%}"] if work else ["", ""]
        lines.append([name, f"{1000 * seconds / rounds:.1f}", f"{seconds / total:.1%}", len(some) // rounds, *speed])
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["inference", "teacher", "student"])
    parser.add_argument("--size", default="vits")
    parser.add_argument("--side", type=int, default=518)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    measuring.prepare(threads=1, keep_memory=True)
    clock = Clock()
    run = (inference if given.what == "inference" else training)(given, clock)
    run()
    started = time.thread_time()
    run()
    alone = time.thread_time() - started
    peak = measuring.matrix_peak(torch.bfloat16 if given.precision == "bf16" else torch.float32, "cpu")
    with clock:
        for _ in range(given.rounds):
            run()
    timed = sum(call.seconds for call in clock.calls) / given.rounds
    print(f"{given}\npeak {peak / 1e9:.0f} GFLOP/s")
    print(f"{1000 * alone:.0f} ms unwatched, {1000 * timed:.0f} ms in operators\n")
    for column in ("kind", "part"):
        header = [column, "ms", "share", "calls", "GFLOP/s", "of peak"]
        print(measuring.table(header, rows(clock.calls, column, given.rounds, peak)), end="\n\n")


if __name__ == "__main__":
    main()
