"""Images a second of one core (its own time), from stored bytes to a 518x518 pair of image and pseudo label as tensors.

    python benchmarks/reading.py [--max-side 1024] [--images 24] [--teacher FOLDER]

Three ways over the same pictures, crops and labels, in one process and in turn: ours (shards of the project through
`SamplePool` and the functions of a training batch), torchvision on loose files (JPEG and 16-bit PNG label), and
`webdataset` on the same shards, whose labels it hands to our decoder. Each ends with float32 tensors (3, 518, 518),
normalized, and (518, 518) in [0, 1]. Photographs of scikit-image, resampled to 1024x768; labels of 518x690 pixels
are their smoothed brightness, or, with `--teacher FOLDER`, the disparity which that model gives.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import measuring
import numpy as np
import torch
import webdataset
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image, read_file
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from depth_model import readers
from depth_model.networks import DepthAnything
from depth_model.networks.preprocessing import IMAGENET_MEAN, IMAGENET_STD, network_size
from depth_model.prediction.predictor import DepthPredictor
from depth_model.reading.collecting import collect_source
from depth_model.shards import rasters
from depth_model.shards.pool import SamplePool
from depth_model.shards.source import SourceFolder, join_sidecar, write_sidecar_shard
from depth_model.training.batches import labeled_batch, network_input

SIDE = 518
Label = Callable[[np.ndarray], np.ndarray]


def smoothed_brightness(picture: np.ndarray) -> np.ndarray:
    """Return a label of a picture at the size of the network's output, float32."""
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.resize(cv2.bilateralFilter(gray, 9, 40, 9), network_size(*gray.shape, SIDE)[::-1])


def teacher_disparity(folder: Path) -> Label:
    """Return what labels a picture with the model in `folder`."""
    predictor = DepthPredictor(DepthAnything.load(folder), SIDE, 1)
    return lambda picture: next(iter(predictor.network_disparity([picture])))


def write(root: Path, count: int, max_side: int, label: Label) -> None:
    """Write the loose files, the shards and the sidecar of pseudo labels below `root`."""
    loose, labels = root / "loose", root / "labels"
    loose.mkdir()
    labels.mkdir()
    for number, picture in enumerate(measuring.photographs(count, 768, 1024)):
        Image.fromarray(picture).save(loose / f"{number:04d}.jpg", quality=92)
    reader, folder = readers.get("image_folder"), root / "data/unlabeled/pictures"
    settings = {"max_side": max_side, "minimum_side": 8, "samples_per_shard": 64, "workers": 1}
    collect_source(reader, loose, reader.options(), root / "scratch", folder, **settings)
    source = SourceFolder(folder)
    for shard, rows in source.shards():
        encoded = []
        for row in rows:
            disparity = label(source.image(row))
            low, high = disparity.min(), disparity.max()
            codes = np.rint((disparity - low) / (high - low) * 65535).astype(np.uint16)
            cv2.imwrite(str(labels / f"{Path(source.key(row)).stem}.png"), codes)
            encoded.append(rasters.encode_quantized(disparity, 14))
        write_sidecar_shard(root / "labeling", source, shard, f"target.{rasters.SUFFIX}", encoded, {})
    join_sidecar(root / "labeling", root / "data/pseudo/pictures", source)


def ours(pool: SamplePool) -> None:
    """Read every picture once, in batches of training."""
    for step in range(len(pool) // 4):
        batch = labeled_batch(pool, 0, 4, SIDE, step)
        network_input(batch["images"])


def _pair(image: Tensor, label: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Resize, crop, mirror and normalize a uint8 (3, H, W) image and a label (1, h, w) the way torchvision does."""
    size = network_size(*image.shape[1:], SIDE)
    image = functional.resize(image, size, InterpolationMode.BICUBIC, antialias=False)
    label = functional.resize(label, size, InterpolationMode.NEAREST)
    top, left = (int(generator.integers(long - SIDE + 1)) for long in size)
    image, label = (functional.crop(one, top, left, SIDE, SIDE) for one in (image, label))
    if generator.random() < 0.5:
        image, label = functional.horizontal_flip(image), functional.horizontal_flip(label)
    image = functional.to_dtype(image, torch.float32, scale=True)
    return functional.normalize(image, IMAGENET_MEAN, IMAGENET_STD), label


def loose_files(root: Path) -> None:
    """Read every picture once with torchvision from a JPEG and a 16-bit PNG."""
    generator = np.random.default_rng(0)
    for path in sorted((root / "loose").iterdir()):
        image = decode_image(read_file(str(path)), ImageReadMode.RGB)
        label = decode_image(read_file(str(root / "labels" / f"{path.stem}.png")), ImageReadMode.UNCHANGED)
        _pair(image, label.float() / 65535, generator)


def by_webdataset(root: Path) -> None:
    """Read every picture once with `webdataset` from our shards, its own decoder of images (Pillow to tensor)."""
    generator = np.random.default_rng(0)
    folders = [root / "data" / part / "pictures" for part in ("unlabeled", "pseudo")]
    tars = [sorted(map(str, folder.glob("*.tar"))) for folder in folders]
    pictures, labels = (webdataset.WebDataset(one, shardshuffle=False) for one in tars)
    for picture, label in zip(pictures, labels, strict=True):
        image = np.array(Image.open(io.BytesIO(picture["jpg"]), formats=["JPEG"]).convert("RGB"))
        disparity = rasters.decode(label[f"target.{rasters.SUFFIX}"])
        low, high = disparity.min(), disparity.max()
        scaled = torch.from_numpy((disparity - low) / (high - low))[None]
        _pair(torch.from_numpy(image).permute(2, 0, 1), scaled, generator)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-side", type=int, default=1024, help="collect.max_side of the shards")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--teacher", type=Path, help="folder of a trained model that makes the labels")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    measuring.prepare(1, True)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        label = teacher_disparity(given.teacher) if given.teacher else smoothed_brightness
        write(root, given.images, given.max_side, label)
        pool = SamplePool(root / "data", "unlabeled", {"pictures": {"samples": given.images}}, "pseudo")
        runs = {
            "torchvision, loose JPEG and PNG16": partial(loose_files, root),
            "webdataset, our shards": partial(by_webdataset, root),
            "ours": partial(ours, pool),
        }
        timings = measuring.interleaved(runs, next(iter(runs)), given.rounds, "cpu")
    rows = [[name, f"{given.images / one.seconds:.0f}", f"{one.ratio:.2f}"] for name, one in timings.items()]
    print(measuring.table(["way", "images/s, one core", "× torchvision"], rows))


if __name__ == "__main__":
    main()
