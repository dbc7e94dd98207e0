"""What a protocol changes: every variant of every set on one fixed prediction, as the table of docs/evaluation.md.

    python benchmarks/protocol_variants.py

The truth is a rendered street of 375x1242 pixels for sets of roads, a rendered room of 480x640 for sets of rooms and a
rendered street of 480x640 for the others. The prediction is the true disparity with a bend, a blur and a lean to the
right, the same for every variant; metric variants take it in metres. Two rows differ only by their protocol.
"""

from __future__ import annotations

import cv2
import measuring
import numpy as np

from depth_model import readers
from depth_model.evaluation import protocols
from depth_model.evaluation.cases import Case
from depth_model.evaluation.estimator import Estimator
from depth_model.evaluation.harness import image_rows
from depth_model.evaluation.protocols import Protocol
from depth_model.shards.images import decode_rgb

ROADS = ("kitti", "ddad", "vkitti2")
ROOMS = ("nyu", "sun_rgbd", "ibims", "hypersim", "diode_indoor")


def case(domain: str, height: int, width: int) -> Case:
    """Return one rendered picture with its depth."""
    sample = next(readers.get("rendered_world")(domain=domain, count=1, seed=5, height=height, width=width))
    return Case(sample.key, decode_rgb(sample.image), sample.target, sample.target_kind)


def fixed_disparity(depth: np.ndarray) -> np.ndarray:
    """Return disparity (H, W) > 0 that is wrong in shape, sharpness and slope, always in the same way."""
    disparity = 1 / np.nan_to_num(depth, nan=1e3)
    lean = np.linspace(0, 0.1 * disparity.mean(), depth.shape[1])
    return (cv2.GaussianBlur(disparity**0.8, (0, 0), 3) + lean).astype(np.float32)


def row(protocol: Protocol, shown: Case) -> list[str]:
    """Return a line of the table."""
    disparity = fixed_disparity(shown.target)
    stored = 1 / disparity if protocol.is_metric else disparity
    space = "metric_depth" if protocol.is_metric else "disparity"
    model = Estimator(space, lambda image, key: stored, stored=True)
    values = image_rows({"fixed": model}, shown, protocol)[0]
    sharpness = f"{values['boundary_f1']:.3f}" if "boundary_f1" in values else ""
    figures = [f"{values['abs_rel']:.4f}", f"{values['delta1']:.4f}", f"{values['rmse']:.3f}", sharpness]
    crops = " of ".join(one for one in (protocol.crop, protocol.image_crop) if one != "none")
    metres = f"{protocol.minimum:g} to {protocol.maximum:g}"
    return [f"`{protocol.name}`", str(protocol.images), metres, crops, *figures]


def main() -> None:
    """Print the table."""
    road, room, other = case("streets", 375, 1242), case("rooms", 480, 640), case("streets", 480, 640)
    rows = [
        row(protocol, road if dataset in ROADS else room if dataset in ROOMS else other)
        for dataset in protocols.set_names()
        for protocol in protocols.variants(dataset).values()
    ]
    print(measuring.table(["protocol", "images", "metres", "crop", "AbsRel", "δ1", "RMSE", "boundary F1"], rows))


if __name__ == "__main__":
    main()
