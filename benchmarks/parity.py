"""Largest differences between our model and the same weights in other formats and programs, by size of image.

    python benchmarks/parity.py vits vitb

Random weights from a seed, float32. Every number is the largest absolute difference over the range of our output.
`position embedding` is the cost of mistaking one of its two variants for the other: what a user sees who loads a
released file with the wrong one (with random weights; learned tables differ).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import measuring
import onnxruntime
import torch
from torch import Tensor

from depth_model.networks import DepthAnything
from depth_model.networks.export import export_official, export_onnx, export_program

SHAPES = [(518, 518), (252, 350), (378, 770)]


def outputs(size: str, folder: Path, images: Tensor) -> dict[str, Tensor]:
    """Return the output of every format for `images`; all files were written to `folder` before."""
    exact, official = (DepthAnything.load(folder / name).eval() for name in ("exact", "official"))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    theirs = measuring.transformers_model(exact, "sdpa").eval()
    return {
        "official": official(images),
        "exact": exact(images),
        "official .pth": DepthAnything.load(folder / "model.pth").eval()(images),
        "ONNX": torch.from_numpy(session.run(None, {"images": images.numpy()})[0]),
        "torch.export": torch.export.load(folder / "model.pt2").module()(images),
        "transformers": theirs(images).predicted_depth,
    }


def row(size: str, folder: Path, shape: tuple[int, int]) -> list[object]:
    """Return one line of the table."""
    images = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = outputs(size, folder, images)
    span = found["official"].max() - found["official"].min()
    against = {"official .pth": "official", "ONNX": "official", "torch.export": "official", "transformers": "exact"}
    pairs = [*against.items(), ("exact", "official")]
    return [size, f"{shape[0]}x{shape[1]}", *(f"{(found[a] - found[b]).abs().max() / span:.1e}" for a, b in pairs)]


def write_all(size: str, folder: Path) -> None:
    """Write the model of `size` in every format to `folder`."""
    model = DepthAnything(size, seed=0)
    model.save(folder / "official")
    DepthAnything.load(folder / "official", position_embedding="exact").save(folder / "exact")
    export_official(model, folder / "model.pth")
    export_onnx(model, folder / "model.onnx")
    export_program(model, folder / "model.pt2")


def main() -> None:
    """Print the table for the sizes given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="+")
    rows = []
    for size in parser.parse_args().sizes:
        with tempfile.TemporaryDirectory() as temporary:
            write_all(size, Path(temporary))
            rows += [row(size, Path(temporary), shape) for shape in SHAPES]
    header = ["size", "image", "official .pth", "ONNX", "torch.export", "transformers", "position embedding"]
    print(measuring.table(header, rows))


if __name__ == "__main__":
    main()
