"""Two projects of a list and one beside it; PFM by struct, an empty render, a lost render, masked images."""

from __future__ import annotations

import struct

import numpy as np

from . import Layout, noise, save_bytes, save_picture

CAMERA = """extrinsic
1 0 0 0.5
0 1 0 0.25
0 0 1 -2e-1
0 0 0 1

intrinsic
575.25 0.0 383.5
0.0 576.5 287.25
0.0 0.0 1.0

-0.5 0.1 128 12.2
"""


def pfm(values):
    """A PFM file of `values`, float32 (H, W): rows from bottom to top."""
    height, width = values.shape
    rows = (struct.pack(f"<{width}f", *row) for row in values[::-1].tolist())
    return b"Pf\n%d %d\n-1.000000\n" % (width, height) + b"".join(rows)


def write(root):
    targets = {}
    for project in ("5b6eff8b67b396324c5b2672", "5a618c72784780334bc1972d", "000000000000000000000000"):
        for number in (0, 1):
            stored = noise(seed=number)
            stored[:4] = 0
            stored[5, 5] = -1
            name = f"{number:08d}"
            save_picture(root / project / "blended_images" / f"{name}.jpg")
            save_picture(root / project / "blended_images" / f"{name}_masked.jpg")
            save_bytes(root / project / "rendered_depth_maps" / f"{name}.pfm", pfm(stored))
            save_bytes(root / project / "cams" / f"{name}_cam.txt", CAMERA.encode())
            targets[f"{project}/{name}"] = np.where(stored > 0, stored, np.float32(np.nan))
    first, second, beside = ("5b6eff8b67b396324c5b2672", "5a618c72784780334bc1972d", "0" * 24)
    save_bytes(root / first / "rendered_depth_maps" / "00000001.pfm", pfm(np.zeros((24, 32), np.float32)))
    (root / second / "rendered_depth_maps" / "00000000.pfm").unlink()
    save_bytes(root / "BlendedMVG_training.txt", f"{first}\n{second}\n".encode())
    refused = {
        f"{first}/00000001": "an empty render",
        f"{second}/00000000": "rendered_depth_maps/00000000.pfm is missing",
    }
    kept = {key: value for key, value in targets.items() if key not in refused and not key.startswith(beside)}
    return Layout(kept, {"list": "BlendedMVG_training.txt"}, "relative_depth", refused)
