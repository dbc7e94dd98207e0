"""Intersection over union of the sky that a segmenter finds.

    python benchmarks/sky.py [--segmenter packaged_probe] [--ade20k FOLDER] [--samples FOLDER]

Measured on pictures of every rendered domain (the packaged probe was not trained on `streets`, nor on any of these
pictures), on the scene-parsing pairs of ADE20K (`FOLDER/images`, `FOLDER/annotations`, stored class 3 = sky, 0 =
unknown and left out) and on the other real samples. `--segmenter` is what `sky.segmenter` of params.yaml may be.
`--leave-out 60` measures a probe for each domain instead, trained on 60 pictures of each of the other domains.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import measuring

from depth_model import world
from depth_model.sky.masks import Segmenter, load_segmenter
from depth_model.sky.probe import packaged_encoder
from depth_model.sky.train_probe import (
    HELD_OUT,
    SEED,
    Labelled,
    ade20k,
    measure,
    real_samples,
    rendered,
    sky_accuracy,
    trained,
    training_set,
)

PICTURES = 20


def left_out(per_domain: int) -> dict[str, dict[str, Any]]:
    """Return the accuracy on every rendered domain of a probe trained on `per_domain` pictures of each other one."""
    encoder = packaged_encoder()
    sets = {domain: training_set(encoder, domain, per_domain) for domain in world.DOMAINS}
    measured = {}
    for domain in sets:
        probe = trained([one for name, one in sets.items() if name != domain])
        measured[f"rendered {domain}"] = measure(encoder, probe, rendered(domain, PICTURES, SEED + 1))
    return measured


def accuracies(segmenter: Segmenter, ade: Path | None, samples: Path | None) -> dict[str, dict[str, Any]]:
    """Return the accuracy of `segmenter` on every rendered domain and what there is of real images."""
    domains = [HELD_OUT, *(domain for domain in world.DOMAINS if domain != HELD_OUT)]
    sets: dict[str, Labelled] = {f"rendered {name}": rendered(name, PICTURES, SEED + 1) for name in domains}
    sets |= {"ade20k": ade20k(ade)} if ade else {}
    sets |= real_samples(samples) if samples else {}
    return {name: sky_accuracy(segmenter, labelled) for name, labelled in sets.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segmenter", default="packaged_probe")
    parser.add_argument("--ade20k", type=Path, help="folder with images/ and annotations/")
    parser.add_argument("--samples", type=Path, help="folder of real samples")
    parser.add_argument("--leave-out", type=int, help="pictures of each domain to train on")
    given = parser.parse_args()
    if given.leave_out:
        measured = left_out(given.leave_out)
    else:
        measured = accuracies(load_segmenter(given.segmenter), given.ade20k, given.samples)
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
    print(measuring.table(["on", "images", "IoU of sky", "accuracy", "wrongly called sky"], rows))


if __name__ == "__main__":
    main()
