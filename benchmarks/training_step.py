"""One training step (forward, affine-invariant loss, backward, AdamW) against transformers, in one run.

    python benchmarks/training_step.py --size vits --side 518 --batch 2 --threads 2
    python benchmarks/training_step.py --size vits --side 252 --threads 1 --clock cpu     (on a loaded machine)

All variants use our loss and torch's AdamW, the same weights and the same images.
"""

from __future__ import annotations

from collections.abc import Callable

import measuring
import torch
from torch import Tensor, nn

from depth_model.objectives import affine_invariant_loss
from depth_model.training.optimizers import adamw

REFERENCE = "transformers, float32"


def variants(size: str, images: Tensor, target: Tensor, precisions: list[str]) -> dict[str, Callable[[], float]]:
    """Return the steps to compare, by name."""
    steps = {}
    for precision in precisions:
        model = measuring.ours(size)
        steps[f"ours, {precision}"] = step(model, adamw(model, 1e-5, 1e-4, 0.01), images, target, precision)
        for name, attention in (("transformers", "sdpa"), ("transformers eager (as official)", "eager")):
            peer = measuring.transformers_model(model, attention)
            optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-5, weight_decay=0.01)
            steps[f"{name}, {precision}"] = step(peer, optimizer, images, target, precision)
    return steps


def step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, target: Tensor, precision: str
) -> Callable[[], float]:
    """Return a function that makes one step of `model` and gives the loss."""
    valid = torch.ones_like(target, dtype=torch.bool)
    model.train()

    def run() -> float:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            output = model(images)
        loss = affine_invariant_loss(getattr(output, "predicted_depth", output), target, valid)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return run


def main() -> None:
    """Print the table for the size, side and batch given."""
    parser = measuring.arguments(__doc__, rounds=3, batch=2)
    parser.add_argument("--keep-memory", action="store_true", help="all variants with the allocation of our stages")
    given = parser.parse_args()
    precisions = ["float32", "bfloat16"][: 1 + given.bfloat16]
    measuring.prepare(given.threads, given.keep_memory)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(given.batch, 3, given.side, given.side, generator=generator)
    target = torch.rand(given.batch, given.side, given.side, generator=generator)
    steps = variants(given.size, images, target, precisions)
    timings = measuring.interleaved(steps, REFERENCE, given.rounds, given.clock)
    rows = [
        [name, f"{1000 * one.seconds:.0f}", f"{given.batch / one.seconds:.3f}", f"{one.ratio:.2f}"]
        for name, one in timings.items()
    ]
    print(given)
    print(measuring.table(["variant", "ms", "images/s", "× transformers float32"], rows))


if __name__ == "__main__":
    main()
