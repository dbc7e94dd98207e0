"""DDAD, and other data sets in the DGP format of the Toyota Research Institute: LiDAR seen by one of the cameras.

The sweep of a sample is moved through the world by the poses of both sensors, as they do not measure at the same
moment, and projected; of several points in one pixel the nearest counts. Scenes, cameras and annotations that the JSON
files name and that were not downloaded do not disturb.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from depth_model.errors import BadInput
from depth_model.files import parsed_json
from depth_model.reading import formats
from depth_model.reading.inputs import decoded, safe_key
from depth_model.reading.reader import Reader
from depth_model.shards import images
from depth_model.shards.sample import Item, Sample

_SPLITS = {"train": "0", "val": "1", "test": "2"}
_SCENE = re.compile(r"(?:.*/)?scene_\w+\.json")


@dataclass(frozen=True)
class Options:
    """Which scenes and which camera (CAMERA_01 looks ahead); every scene when `split` is not given."""

    split: Literal["train", "val", "test"] | None = None
    camera: str = "CAMERA_01"


def _expected(options: Options) -> tuple[str, ...]:
    return ("**/scene_*.json", f"**/rgb/{options.camera}", "**/point_cloud")


def _items(root: Path, options: Options) -> Iterator[Item]:
    for path in _scenes(root, options.split):
        try:
            images = _images(_scene(root, path), options.camera)
        except BadInput:
            images = {0: ""}  # refused with its reason when it is loaded
        folder = path.rpartition("/")[0]
        for index, name in images.items():
            image = f"{folder}/{name}".strip("/")
            yield Item(safe_key(image.rpartition(".")[0]), image, (image, path, str(index)))


def _scenes(root: Path, split: str | None) -> list[str]:
    """Return the scene files that are there: what the data set file names for `split`, without such a file all."""
    found = [path.relative_to(root).as_posix() for path in sorted([*root.glob("*.json"), *root.glob("*/*.json")])]
    listed = [scenes for path in found if not _SCENE.fullmatch(path) and (scenes := _listed(root, path, split))]
    if listed or split is not None:
        named = dict.fromkeys(scene for scenes in listed for scene in scenes)
        return [path for path in named if (root / path).is_file()]
    return [path for path in found if _SCENE.fullmatch(path)]


def _listed(root: Path, path: str, split: str | None) -> list[str]:
    """Return the scene files that the JSON file `path` names; none when it is not a data set file."""
    content = decoded(root, path, _json)
    splits = content.get("scene_splits", {}) if isinstance(content, dict) else {}
    folder = path.rpartition("/")[0]
    try:
        names = [name for key, one in splits.items() if split in (None, *_names(key)) for name in one["filenames"]]
        return [f"{folder}/{name}".lstrip("/") for name in names]
    except (LookupError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: scene_splits are not lists of file names") from error


def _names(key: str) -> tuple[str, ...]:
    return tuple(name for name, number in _SPLITS.items() if number == key)


def _json(data: bytes) -> Any:
    try:
        return parsed_json(data)
    except ValueError as error:
        raise BadInput(f"not a JSON file: {error}") from error


def _scene(root: Path, path: str) -> dict[str, Any]:
    if not (root / path).is_file():
        raise BadInput(f"{path} is missing")
    return _parsed_scene(root, path, (root / path).stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _parsed_scene(root: Path, path: str, modified: int) -> dict[str, Any]:
    """Return {"samples": [(calibration, {sensor: datum})]}; parsed once for all samples of a scene."""
    content = decoded(root, path, _json)
    try:
        datums = {one["key"]: (one["id"]["name"], one["datum"]) for one in content["data"]}
        samples = [
            (one["calibration_key"], dict(datums[key] for key in one["datum_keys"] if key in datums))
            for one in content["samples"]
        ]
    except (LookupError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a scene in DGP format ({type(error).__name__}: {error})") from error
    return {"samples": samples}


def _images(scene: dict[str, Any], camera: str) -> dict[int, str]:
    """Return {index of the sample: image file} of the samples that have this camera."""
    try:
        datums = {index: sensors[camera] for index, (_, sensors) in enumerate(scene["samples"]) if camera in sensors}
        return {index: datum["image"]["filename"] for index, datum in datums.items()}
    except (LookupError, TypeError) as error:
        raise BadInput(f"{camera} has no image file") from error


def _load(root: Path, item: Item, options: Options) -> Sample:
    image, path, index = item.paths
    scene = _scene(root, path)
    _images(scene, options.camera)
    calibration, sensors = scene["samples"][int(index)]
    folder = path.rpartition("/")[0]
    try:
        eye = sensors[options.camera]["image"]["pose"]
        cloud = next(datum["point_cloud"] for datum in sensors.values() if "point_cloud" in datum)
        points_file = f"{folder}/{cloud['filename']}".lstrip("/")
        points = _moved(decoded(root, points_file, formats.npz, "data"), cloud["pose"], eye)
        intrinsics = _intrinsics(decoded(root, f"{folder}/calibration/{calibration}.json".lstrip("/"), _json), options)
    except StopIteration as error:
        raise BadInput("no LiDAR sweep belongs to this image") from error
    except (LookupError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: pose or calibration incomplete ({type(error).__name__}: {error})") from error
    encoded = decoded(root, image, bytes)
    target = projected(points, intrinsics, decoded(root, image, images.stored_shape))
    return Sample(item.key, encoded, target, "metric_depth", None, intrinsics, item.source_path)


def _moved(points: np.ndarray, sensor: dict[str, Any], camera: dict[str, Any]) -> np.ndarray:
    """Return points (N, 3 or more) of a sensor in the frame of the camera; both poses lead into the world."""
    if points.ndim != 2 or points.shape[1] < 3:
        raise BadInput(f"a point cloud of shape {points.shape}, not x, y, z in each row")
    (turn, shift), (camera_turn, camera_shift) = _pose(sensor), _pose(camera)
    return (points[:, :3].astype(np.float64) @ turn.T + (shift - camera_shift)) @ camera_turn


def _pose(pose: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return rotation (3, 3) and translation (3,); protocol buffers leave out components of the value 0."""
    quaternion = np.array([float(pose["rotation"].get(name, 0.0)) for name in ("qw", "qx", "qy", "qz")])
    if not np.isfinite(quaternion).all() or np.linalg.norm(quaternion) < 1e-6:
        raise BadInput("a pose without rotation")
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    rotation = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.array(rotation), np.array([float(pose["translation"].get(name, 0.0)) for name in "xyz"])


def _intrinsics(calibration: dict[str, Any], options: Options) -> tuple[float, float, float, float]:
    of_camera = calibration["intrinsics"][calibration["names"].index(options.camera)]
    fx, fy, cx, cy = (float(of_camera[name]) for name in ("fx", "fy", "cx", "cy"))
    return fx, fy, cx, cy


def projected(points: np.ndarray, intrinsics: tuple[float, float, float, float], shape: tuple[int, int]) -> np.ndarray:
    """Return the depth map, float32 (H, W), of points (N, 3) in meters: x right, y down, z ahead of the camera.

    Each point counts for the pixel whose center is nearest (centers lie at whole numbers), in each pixel the nearest
    point; NaN where there is none.
    """
    fx, fy, cx, cy = intrinsics
    x, y, z = points[np.isfinite(points).all(axis=1) & (points[:, 2] > 0)].T
    with np.errstate(over="ignore"):
        columns, rows = np.rint(fx * x / z + cx), np.rint(fy * y / z + cy)
    seen = (columns >= 0) & (columns < shape[1]) & (rows >= 0) & (rows < shape[0])
    depth = np.full(shape, np.inf, np.float32)
    np.minimum.at(depth, (rows[seen].astype(np.intp), columns[seen].astype(np.intp)), z[seen].astype(np.float32))
    depth[np.isinf(depth)] = np.nan
    return depth


READER = Reader(
    name="ddad",
    options=Options,
    items=_items,
    load=_load,
    expected=_expected,
    layout="""
        ddad_train_val/
          ddad.json                        (scene_splits: 0 = train, 1 = val)
          000150/
            scene_<hash>.json              (samples; poses of every sensor)
            calibration/<hash>.json
            rgb/CAMERA_01/<time>.jpg       (CAMERA_01 to CAMERA_09, 1936 x 1216)
            point_cloud/LIDAR/<time>.npz   (data: x, y, z, intensity)
    """,
    description="Driving in Japan and the USA, six cameras around the car and LiDAR up to 250 m.",
    unit="meters, float64 points",
    invalid="every pixel that no point falls into (over 99 %)",
    license="CC BY-NC-SA 4.0",
    images="12,650 for training, 3950 for validation, per camera",
    where="https://github.com/TRI-ML/DDAD (DDAD_train_val.tar)",
    paper="Tables 2, 6, 9, 12, 13",
)
