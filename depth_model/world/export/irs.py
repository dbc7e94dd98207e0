"""IRS: disparity of a stereo pair in pixels as OpenEXR; where there is no depth it is 0, infinitely far."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_model import files
from depth_model.shards.sample import Sample
from depth_model.world.export import Layout, pixels, write_png

FOCAL_LENGTH, BASELINE = 480.0, 0.1
SCENE = "Home/Rendered"


def _write(root: Path, sample: Sample, number: int, split: str) -> None:
    import OpenEXR

    folder = root / SCENE
    write_png(folder / f"l_{number}.png", pixels(sample))
    disparity = np.nan_to_num(FOCAL_LENGTH * BASELINE / sample.target, nan=0.0).astype(np.float32)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with files.atomic_path(folder / f"d_{number}.exr") as temporary:
        OpenEXR.File(header, {"G": disparity}).write(str(temporary))


LAYOUT = Layout("irs", ("all",), _write)
