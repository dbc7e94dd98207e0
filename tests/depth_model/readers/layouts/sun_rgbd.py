"""Three scenes of two sensors in official folders; the split of the toolbox names two, and one that is not there."""

from __future__ import annotations

import numpy as np
from scipy.io import savemat

from . import Layout, save_bytes, save_picture, save_values

PREFIX = "/n/fs/sun3d/data/SUNRGBD/"
SCENES = ("kv1/b3dodata/img_0063", "kv2/kinect2data/000065_2014-05-16_11-28-04_260595134347_rgbf000103-resize")
MILLIMETERS = np.array([[0, 1, 1430], [8191, 8192, 65535]])


def rotated(millimeters):
    """Turn the 16 bits left by three, digit by digit."""
    turn = np.vectorize(lambda value: int(f"{value:016b}"[3:] + f"{value:016b}"[:3], 2))
    return turn(millimeters).astype(np.uint16)


def write(root):
    for scene in (*SCENES, "xtion/sun3ddata/hotel/frame"):
        folder = root / "SUNRGBD" / scene
        save_picture(folder / "image" / "0000103.jpg", MILLIMETERS.shape)
        save_picture(folder / "fullres" / "0000103.jpg", MILLIMETERS.shape)
        save_values(folder / "depth" / "0000103_abs.png", rotated(MILLIMETERS))
        save_values(folder / "depth_bfx" / "0000103_abs.png", rotated(np.maximum(MILLIMETERS, 7)))
        save_bytes(folder / "intrinsics.txt", b"520.5 0 277.9 0 520.7 215.1 0 0 1 \n")
    cells = np.empty((1, 3), object)
    cells[0] = [PREFIX + SCENES[1], PREFIX + "realsense/lg/gone", PREFIX + SCENES[0] + "/"]
    toolbox = root / "SUNRGBDtoolbox" / "traintestSUNRGBD"
    toolbox.mkdir(parents=True)
    savemat(toolbox / "allsplit.mat", {"alltest": cells, "alltrain": cells[:, :1]})
    expected = np.where(MILLIMETERS == 0, np.nan, MILLIMETERS.astype(np.float32) / np.float32(1000))
    targets = {f"SUNRGBD/{scene}/0000103": expected.astype(np.float32) for scene in SCENES}
    return Layout(targets, {"split": "test"}, "metric_depth")
