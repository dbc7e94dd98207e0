"""One scene of two samples, seen by a turned and moved camera; its data set file names another that is not there."""

from __future__ import annotations

import json

import numpy as np
from scipy.spatial.transform import Rotation

from . import ANY, Layout, save_bytes, save_picture

SHAPE, INTRINSICS = (12, 16), (20.0, 21.0, 7.5, 5.5)
SCENE = "000150/scene_6bee3f4e1f37aa6b26de28ec4a05be1e7ea1d4a5.json"
# x forward, y left, z up of the car; x right, y down, z forward of the camera
CAMERA = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]) * Rotation.from_euler("y", 4, degrees=True)
CAR = Rotation.from_euler("zyx", [100, 3, -2], degrees=True)


def pose(rotation, translation):
    x, y, z, w = rotation.as_quat()
    return {
        "rotation": {"qw": w, "qx": x, "qy": y, "qz": z},
        "translation": dict(zip("xyz", (float(value) for value in translation))),
    }


def points_of_pixels(depth):
    """Points (N, 3) in the frame of the camera of every pixel of `depth` that has one, and one behind each."""
    rows, columns = np.nonzero(np.isfinite(depth))
    fx, fy, cx, cy = INTRINSICS
    z = depth[rows, columns].astype(np.float64)
    seen = np.stack(((columns - cx) / fx * z, (rows - cy) / fy * z, z), axis=1)
    return np.concatenate((seen * 1.5, seen, -seen, seen * [40, 1, 1]))


def expected_depth(number):
    depth = np.random.default_rng(number).uniform(3, 200, SHAPE).astype(np.float32)
    depth[np.random.default_rng(9).random(SHAPE) < 0.8] = np.nan
    return depth


def datum(key, name, content):
    return {"key": key, "id": {"name": name, "log": "", "timestamp": "2019-05-15T00:38:58Z"}, "datum": content}


def write(root):
    folder = root / "000150"
    data, samples, targets = [], [], {}
    for number in range(2):
        moved = np.array([400.0 + number, -259.0, 12.5])
        eye, position = CAR * CAMERA, moved + [1.65, 0.25, 1.35]
        points = eye.apply(points_of_pixels(expected_depth(number))) + position - moved
        points = np.concatenate((CAR.inv().apply(points), np.zeros((points.shape[0], 1))), axis=1)
        (folder / "point_cloud" / "LIDAR").mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / "point_cloud" / "LIDAR" / f"{number}.npz", data=points)
        lidar = {"filename": f"point_cloud/LIDAR/{number}.npz", "pose": pose(CAR, moved)}
        data.append(datum(f"l{number}", "LIDAR", {"point_cloud": lidar}))
        for camera in ("CAMERA_01", "CAMERA_05"):
            image = {"filename": f"rgb/{camera}/{number}.png", "pose": pose(eye, position), "annotations": {}}
            data.append(datum(f"{camera}{number}", camera, {"image": image}))
        save_picture(folder / "rgb" / "CAMERA_01" / f"{number}.png", SHAPE)
        keys = [f"l{number}", f"CAMERA_01{number}", f"CAMERA_05{number}", "unpacked-elsewhere"]
        samples.append({"calibration_key": "c0e1", "datum_keys": keys, "id": {}})
        targets[f"000150/rgb/CAMERA_01/{number}"] = expected_depth(number)
    names = ["LIDAR", "CAMERA_01", "CAMERA_05"]
    intrinsics = [dict.fromkeys(("fx", "fy", "cx", "cy", "skew"), 0.0)]
    intrinsics += [dict(zip(("fx", "fy", "cx", "cy"), INTRINSICS), skew=0.0)] * 2
    calibration = {"names": names, "extrinsics": [], "intrinsics": intrinsics}
    save_bytes(folder / "calibration" / "c0e1.json", json.dumps(calibration).encode())
    save_bytes(root / SCENE, json.dumps({"data": data, "samples": samples, "name": ""}).encode())
    splits = {"0": {"filenames": ["000000/scene_01.json"]}, "1": {"filenames": [SCENE, "000151/scene_02.json"]}}
    save_bytes(root / "ddad.json", json.dumps({"metadata": {}, "scene_splits": splits}).encode())
    return Layout(dict.fromkeys(targets, ANY), {"split": "val"}, "metric_depth")
