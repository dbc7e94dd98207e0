"""What faster arithmetic costs in accuracy, and gains in time, on photographs.

    python benchmarks/precision.py PHOTO... [--threads 1] [--clock cpu]

The encoder is the packaged one (real DINOv2 weights), the decoder is random: no released model is at hand. Every map is
compared with that in float32. `largest` and `mean` are differences as a share of its range. `AbsRel` and `delta1` are
those of evaluation (docs/paper.md 4.1): the map in float32 is brought to the disparities 0.1 to 1 and serves as truth.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import measuring
import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor

from depth_model.interchange.export import export_onnx
from depth_model.interchange.openvino_runtime import OpenVinoModel
from depth_model.metrics.alignment import align_disparity
from depth_model.networks import DepthAnything
from depth_model.prediction.precision import bfloat16_copy
from depth_model.prediction.predictor import network_image, network_size, rgb

REFERENCE = "float32"


@contextmanager
def variants(model: DepthAnything, threads: int) -> Iterator[dict[str, Callable[[Tensor], Tensor]]]:
    """Give images -> disparity, float32, by name of the arithmetic; ONNX files lie in a temporary folder meanwhile."""

    def autocast(images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return model(images)

    with tempfile.TemporaryDirectory() as folder:
        exact, quantised = Path(folder) / "exact.onnx", Path(folder) / "int8.onnx"
        export_onnx(model, exact)
        # Convolutions stay: onnxruntime's integer ones are slower than its float32.
        quantize_dynamic(exact, quantised, op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8)
        yield {
            REFERENCE: model,
            "bfloat16 autocast": autocast,
            "weights in bfloat16": bfloat16_copy(model),
            "onnxruntime, float32": session(exact, threads),
            "onnxruntime, int8 matrix products": session(quantised, threads),
            "OpenVINO, float32": OpenVinoModel(model),
            "OpenVINO, bfloat16": OpenVinoModel(model, "bf16"),
        }


def session(path: Path, threads: int) -> Callable[[Tensor], Tensor]:
    """Return a function that runs the ONNX model at `path`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    opened = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(opened.run(["disparity"], {"images": images.numpy()})[0])


def differences(found: np.ndarray, expected: np.ndarray) -> list[float]:
    """Return largest and mean difference over the range of `expected`, AbsRel and delta1 of depth after alignment."""
    span = np.ptp(expected)
    truth = 0.1 + 0.9 * (expected - expected.min()) / span
    scale, shift = align_disparity(found, truth)
    ratio = truth / np.maximum(scale * found + shift, 1e-3)
    error = np.abs(found - expected) / span
    return [error.max(), error.mean(), np.abs(ratio - 1).mean(), (np.maximum(ratio, 1 / ratio) < 1.25).mean()]


def main() -> None:
    """Print the table for the photographs given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=list(measuring.CLOCKS), default="wall")
    given = parser.parse_args()
    measuring.prepare(given.threads, keep_memory=True)
    model = DepthAnything("vits", "packaged").eval()
    pictures = [rgb(path) for path in given.photos]
    inputs = [torch.from_numpy(network_image(one, network_size(*one.shape[:2], 518)))[None] for one in pictures]
    with torch.inference_mode(), variants(model, given.threads) as runs:
        maps = {name: [run(one)[0].numpy() for one in inputs] for name, run in runs.items()}
        all_of_them = {name: lambda run=run: [run(one) for one in inputs] for name, run in runs.items()}
        timings = measuring.interleaved(all_of_them, REFERENCE, 1, given.clock)
    rows = []
    for name, found in maps.items():
        measured = np.array([differences(*pair) for pair in zip(found, maps[REFERENCE], strict=True)])
        largest, (_, mean, relative, delta) = measured[:, 0].max(), measured.mean(axis=0)
        timing = [f"{1000 * timings[name].seconds / len(inputs):.0f}", f"{timings[name].ratio:.2f}"]
        rows.append([name, *timing, f"{largest:.1e}", f"{mean:.1e}", f"{relative:.1e}", f"{delta:.2%}"])
    print(f"{given}\n")
    print(measuring.table(["arithmetic", "ms a photo", "× float32", "largest", "mean", "AbsRel", "delta1"], rows))


if __name__ == "__main__":
    main()
