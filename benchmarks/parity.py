"""Largest differences between our model and the same weights in other formats and programs, by size of image.

    python benchmarks/parity.py vits vitb

Random weights from a seed, float32. Every number is the largest absolute difference over the range of our output.
`V2 .pth` reads the encoder blocks of the second Depth Anything; `from transformers` is what `save_pretrained` wrote,
loaded here. `position embedding` is the cost of mistaking one of its two variants for the other: what a user sees who
loads a released file with the wrong one (with random weights; learned tables differ).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import measuring
import onnxruntime
import torch
from torch import Tensor

from depth_model.interchange.export import export_official, export_program
from depth_model.interchange.onnx_file import export_onnx
from depth_model.interchange.openvino_runtime import OpenVinoModel
from depth_model.networks import DepthAnything
from depth_model.networks.variants import VARIANTS

SHAPES = [(518, 518), (252, 350), (378, 770)]
COLUMNS = {
    "official .pth": ("official .pth", "official"),
    "V2 .pth": ("V2 .pth", "V2"),
    "ONNX": ("ONNX", "official"),
    "OpenVINO": ("OpenVINO", "official"),
    "torch.export": ("torch.export", "official"),
    "to transformers": ("transformers", "exact"),
    "from transformers": ("from transformers", "transformers"),
    "position embedding": ("exact", "official"),
}
"""Which two outputs a column compares."""


def outputs(size: str, folder: Path, images: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, output for `images`) of every format; all files were written to `folder` before."""
    for name in ("official", "exact", "V2"):
        yield name, DepthAnything.load(folder / name).eval()(images)
    yield "official .pth", DepthAnything.load(folder / "model.pth", "v1").eval()(images)
    yield "V2 .pth", DepthAnything.load(folder / "V2.pth", "v2").eval()(images)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    yield "ONNX", torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    yield "OpenVINO", OpenVinoModel(DepthAnything.load(folder / "official").eval())(images)
    yield "torch.export", torch.export.load(folder / "model.pt2").module()(images)
    theirs = measuring.transformers_model(DepthAnything.load(folder / "exact"), "sdpa").eval()
    yield "transformers", theirs(images).predicted_depth
    theirs.save_pretrained(folder / "theirs")
    yield "from transformers", DepthAnything.load(folder / "theirs").eval()(images)


def row(size: str, folder: Path, shape: tuple[int, int]) -> list[object]:
    """Return one line of the table."""
    images = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = dict(outputs(size, folder, images))
    span = found["official"].max() - found["official"].min()
    differences = ((found[one] - found[other]).abs().max() / span for one, other in COLUMNS.values())
    return [size, f"{shape[0]}x{shape[1]}", *(f"{difference:.1e}" for difference in differences)]


def write_all(size: str, folder: Path) -> None:
    """Write the model of `size` in every format to `folder`."""
    model = DepthAnything(size, seed=0)
    model.save(folder / "official")
    DepthAnything.load(folder / "official", position_embedding="exact").save(folder / "exact")
    DepthAnything.load(folder / "official", blocks=VARIANTS[size].spread).save(folder / "V2")
    export_official(model, folder / "model.pth")
    export_official(DepthAnything.load(folder / "V2"), folder / "V2.pth")
    export_onnx(model, folder / "model.onnx")
    export_program(model, folder / "model.pt2")


def main() -> None:
    """Print the table for the sizes given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="+", choices=list(VARIANTS))
    rows = []
    for size in parser.parse_args().sizes:
        with tempfile.TemporaryDirectory() as temporary:
            write_all(size, Path(temporary))
            rows += [row(size, Path(temporary), shape) for shape in SHAPES]
    print(measuring.table(["size", "image", *COLUMNS], rows))


if __name__ == "__main__":
    main()
