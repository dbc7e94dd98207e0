"""Intersection over union of the sky that a segmenter finds.

    python benchmarks/sky.py [--segmenter packaged_probe] [--ade20k FOLDER] [--samples FOLDER]

Measured on pictures of every rendered domain (the packaged probe was not trained on `streets`, nor on any of these
pictures), on the scene-parsing pairs of ADE20K (`FOLDER/images`, `FOLDER/annotations`, stored class 3 = sky, 0 =
unknown and left out) and on the other real samples. `--segmenter` is what `sky.segmenter` of params.yaml may be.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import measuring

from depth_model import world
from depth_model.sky.masks import Segmenter, load_segmenter
from depth_model.sky.train_probe import HELD_OUT, SEED, Labeled, ade20k, real_samples, rendered, sky_accuracy

PICTURES = 20


def accuracies(segmenter: Segmenter, ade: Path | None, samples: Path | None) -> dict[str, dict[str, Any]]:
    """Return the accuracy of `segmenter` on every rendered domain and what there is of real images."""
    domains = [HELD_OUT, *(domain for domain in world.DOMAINS if domain != HELD_OUT)]
    sets: dict[str, Labeled] = {f"rendered {name}": rendered(name, PICTURES, SEED + 1) for name in domains}
    sets |= {"ade20k": ade20k(ade)} if ade else {}
    sets |= real_samples(samples) if samples else {}
    return {name: sky_accuracy(segmenter, labeled) for name, labeled in sets.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segmenter", default="packaged_probe")
    parser.add_argument("--ade20k", type=Path, help="folder with images/ and annotations/")
    parser.add_argument("--samples", type=Path, help="folder of real samples")
    given = parser.parse_args()
    measured = accuracies(load_segmenter(given.segmenter), given.ade20k, given.samples)
    rows = []
    for name, one in measured.items():
        iou = "no sky" if one["iou"] is None else f"{one['iou']:.3f}"
        rows.append([name, one["images"], iou, one["accuracy"], one["wrongly_sky"]])
    print(measuring.table(["on", "images", "IoU of sky", "accuracy", "wrongly called sky"], rows))


if __name__ == "__main__":
    main()
