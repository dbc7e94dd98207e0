"""Two drives of one day, listed in the Eigen format with the folders of another machine; one image was not unpacked."""

from __future__ import annotations

import numpy as np

from . import Layout, save_bytes, save_picture, save_values

DATE = "2011_09_26"
DRIVE = f"{DATE}_drive_000"
DEPTH = "proj_depth/groundtruth"
LIST = f"""\
{DATE}/{DRIVE}1_sync/image_02/data/0000000069.png {DRIVE}1_sync/{DEPTH}/image_02/0000000069.png 721.5377
{DATE}/{DRIVE}1_sync/image_02/data/0000000054.png None 721.5377
/mnt/raw/{DATE}/{DRIVE}2_sync/image_03/data/0000000005.png /mnt/{DRIVE}2_sync/{DEPTH}/image_03/0000000005.png 721.5377
{DATE}/{DRIVE}2_sync/image_02/data/0000000007.png {DRIVE}2_sync/{DEPTH}/image_02/0000000007.png 721.5377
"""
CALIBRATION = """\
calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
S_rect_02: 1.242000e+03 3.750000e+02
P_rect_02: 7.215377e+02 0 6.095593e+02 4.485728e+01 0 7.215377e+02 1.728540e+02 2.163791e-01 0 0 1 2.745884e-03
P_rect_03: 7.210000e+02 0 6.000000e+02 -3.395242e+02 0 7.220000e+02 1.700000e+02 2.199936e+00 0 0 1 2.729905e-03
"""
TAKEN = ("1_sync/{}/image_02/0000000069", "2_sync/{}/image_03/0000000005")


def write(root):
    stored = np.array([[0, 256, 512], [20480, 21733, 1]], np.uint16)
    raw, annotated = root / "raw" / DATE, root / "data_depth_annotated"
    save_picture(raw / f"{DRIVE}1_sync" / "image_02" / "data" / "0000000069.png", stored.shape)
    save_picture(raw / f"{DRIVE}1_sync" / "image_02" / "data" / "0000000054.png", stored.shape)
    save_picture(raw / f"{DRIVE}2_sync" / "image_03" / "data" / "0000000005.png", stored.shape)
    save_bytes(raw / "calib_cam_to_cam.txt", CALIBRATION.encode())
    for split, frame in zip(("train", "val", "val"), (*TAKEN, "2_sync/{}/image_02/0000000007")):
        save_values(annotated / split / f"{DRIVE}{frame.format(DEPTH)}.png", stored)
    save_bytes(root / "eigen.txt", LIST.encode())
    expected = np.array([[np.nan, 1, 2], [80, 21733 / 256, 1 / 256]], np.float32)
    return Layout(
        {f"{DRIVE}1_sync/image_02/0000000069": expected, f"{DRIVE}2_sync/image_03/0000000005": expected},
        {"list": "eigen.txt"},
        "metric_depth",
        {f"{DRIVE}2_sync/image_02/0000000007": "image_02/data/0000000007.png is missing"},
    )
