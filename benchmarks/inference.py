"""Images a second of inference against transformers, same weights and input, in one run.

    python benchmarks/inference.py --size vits --side 518 --threads 2
    python benchmarks/inference.py --size vits --side 518 --threads 1 --clock cpu     (on a loaded machine)

`of peak` is the share of the measured matrix-product rate of the variant's own type. `difference` is the largest
from our float32 output, as a share of its range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import measuring
import torch
from torch import Tensor

from depth_model.interchange.openvino_runtime import OpenVinoModel
from depth_model.prediction.precision import bfloat16_copy

REFERENCE = "transformers, float32"


def variants(size: str, images: Tensor, precisions: list[str], openvino: bool) -> dict[str, Callable[[], Tensor]]:
    """Return the forward passes to compare, by name."""
    model = measuring.ours(size).eval()
    models = {
        "ours": model,
        "transformers": measuring.transformers_model(model, "sdpa").eval(),
        "transformers eager (as official)": measuring.transformers_model(model, "eager").eval(),
    }
    runs = {
        f"{name}, {precision}": forward(one, images, precision)
        for precision in precisions
        for name, one in models.items()
    }
    if "bfloat16" in precisions:
        runs["ours, weights in bfloat16"] = forward(bfloat16_copy(model), images, "float32")
    if openvino:
        for precision, short in zip(precisions, ("fp32", "bf16")):
            runs[f"ours by OpenVINO, {precision}"] = forward(OpenVinoModel(model, short), images, "float32")
    return runs


def forward(model: Callable[[Tensor], Any], images: Tensor, precision: str) -> Callable[[], Tensor]:
    """Return a function that runs `model` on `images` and gives the disparity in float32; bfloat16 is autocast."""

    def run() -> Tensor:
        with (
            torch.inference_mode(),
            torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"),
        ):
            output = model(images)
        return getattr(output, "predicted_depth", output).float()

    return run


def main() -> None:
    """Print the table for the size, side and batch given."""
    parser = measuring.arguments(__doc__, rounds=7, batch=1)
    parser.add_argument("--keep-memory", action="store_true", help="all variants with the allocation of our stages")
    parser.add_argument("--openvino", action="store_true", help="our model compiled by it as well")
    given = parser.parse_args()
    precisions = ["float32", "bfloat16"][: 1 + given.bfloat16]
    measuring.prepare(given.threads, given.keep_memory)
    images = torch.randn(given.batch, 3, given.side, given.side, generator=torch.Generator().manual_seed(0))
    runs = variants(given.size, images, precisions, given.openvino)
    work = measuring.operations(runs["transformers eager (as official), float32"])
    peaks = {kind: measuring.matrix_peak(getattr(torch, kind), given.clock) for kind in precisions}
    expected = runs["ours, float32"]()
    timings = measuring.interleaved(runs, REFERENCE, given.rounds, given.clock)
    rows = []
    for name, timing in timings.items():
        peak = peaks["bfloat16" if "bfloat16" in name else "float32"]
        difference = float((runs[name]() - expected).abs().max() / (expected.max() - expected.min()))
        rows.append(
            [
                name,
                f"{1000 * timing.seconds:.0f}",
                f"{given.batch / timing.seconds:.2f}",
                f"{timing.ratio:.2f}",
                f"{work / timing.seconds / peak:.0%}",
                f"{difference:.1e}",
            ]
        )
    print(f"{given}\n{work / 1e9:.1f} GFLOP; peak " + ", ".join(f"{k} {v / 1e9:.0f} GFLOP/s" for k, v in peaks.items()))
    print(measuring.table(["variant", "ms", "images/s", "× transformers", "of peak", "difference"], rows))


if __name__ == "__main__":
    main()
