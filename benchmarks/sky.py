"""Intersection over union of the sky that a segmenter finds.

    python benchmarks/sky.py [--segmenter packaged_probe] [--ade20k FOLDER] [--samples FOLDER]

Measured on pictures of every rendered domain (the packaged probe was not trained on `streets`, nor on any of these
pictures), on the scene-parsing pairs of ADE20K (`FOLDER/images`, `FOLDER/annotations`, stored class 3 = sky, 0 =
unknown and left out) and on the other real samples. `--segmenter` is what `sky.segmenter` of params.yaml may be.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import measuring

from depth_model.datasets import rendered_world
from depth_model.perception.sky import load_segmenter
from depth_model.perception.train_sky_probe import (
    HELD_OUT,
    SEED,
    Labelled,
    ade20k,
    real_samples,
    rendered,
    sky_accuracy,
)

PICTURES = 20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segmenter", default="packaged_probe")
    parser.add_argument("--ade20k", type=Path, help="folder with images/ and annotations/")
    parser.add_argument("--samples", type=Path, help="folder of real samples")
    given = parser.parse_args()
    domains = [HELD_OUT, *(domain for domain in rendered_world.DOMAINS if domain != HELD_OUT)]
    sets: dict[str, Labelled] = {f"rendered {name}": rendered(name, PICTURES, SEED + 1) for name in domains}
    sets |= {"ade20k": ade20k(given.ade20k)} if given.ade20k else {}
    sets |= real_samples(given.samples) if given.samples else {}
    segmenter = load_segmenter(given.segmenter)
    measured = {name: sky_accuracy(segmenter, labelled) for name, labelled in sets.items()}
    rows = [
        [
            name,
            one["images"],
            "no sky" if one["iou"] is None else f"{one['iou']:.3f}",
            one["accuracy"],
            one["wrongly_sky"],
        ]
        for name, one in measured.items()
    ]
    print(measuring.table([given.segmenter, "images", "IoU of sky", "accuracy", "wrongly called sky"], rows))


if __name__ == "__main__":
    main()
