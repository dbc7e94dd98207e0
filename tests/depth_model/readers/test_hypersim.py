"""Hypersim: Euclidean to planar depth by closed forms, usual and tilted cameras, the split of the release."""

from __future__ import annotations

import csv

import h5py
import numpy as np
import pytest

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.readers.hypersim import USUAL_CAMERA, pinhole, planar_depth

from .layouts import hypersim

READER = readers.get("hypersim")
# Row of ai_037_002 in the table of the release: a shifted and slightly tilted lens.
SHIFTED = np.array(
    [[0.579607251426182, 0, -0.06955286861651404], [0, 0.4346865334657201, 0.09273312506660672],
     [0, 0.004054126980668954, -1.003909173803896]]
)  # fmt: skip


def test_factors_of_the_usual_camera():
    factor = planar_depth(np.ones((768, 1024)))
    assert factor[383, 511] == pytest.approx(0.9999997, abs=1e-7)
    assert factor[0, 0] == pytest.approx(0.8111886, abs=1e-6)
    assert factor[383, 0] == pytest.approx(0.8662367, abs=1e-6)
    assert pinhole(USUAL_CAMERA, (768, 1024)) == pytest.approx((886.81, 886.81, 511.5, 383.5), abs=0.001)


@pytest.mark.parametrize("camera", [USUAL_CAMERA, SHIFTED], ids=["usual", "shifted"])
def test_a_wall_seen_by_the_pinhole_of_the_camera(camera):
    shape = (48, 64)
    fx, fy, cx, cy = pinhole(camera, shape)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    ray = np.stack(((columns - cx) / fx, (rows - cy) / fy, np.ones(shape)), axis=-1)
    depth = 8.0 / (ray @ np.array([0.2, -0.5, 1.0]))
    distance = np.linalg.norm(ray * depth[..., None], axis=-1)
    np.testing.assert_allclose(planar_depth(distance, camera), depth, rtol=1e-6)


def test_rays_of_the_shifted_camera_are_those_of_its_matrix():
    fx, fy, cx, cy = pinhole(SHIFTED, (768, 1024))
    of_pixels = [(np.array([(x - cx) / fx, (y - cy) / fy, 1.0]), x, y) for x, y in ((0, 0), (900, 20), (511, 700))]
    of_matrix = [SHIFTED @ [(2 * x + 1) / 1024 - 1, 1 - (2 * y + 1) / 768, 1] for _, x, y in of_pixels]
    unit = [vector / np.linalg.norm(vector) for vector in of_matrix]
    rays = [vector / np.linalg.norm(vector) for vector, _, _ in of_pixels]
    for one in range(3):  # the angle between two rays does not depend on the frame of reference
        assert rays[one] @ rays[one - 1] == pytest.approx(unit[one] @ unit[one - 1], abs=1e-9)


def test_the_real_depth_file(samples):
    (path,) = (samples / "hypersim").rglob("*.depth_meters.hdf5")
    with h5py.File(path) as file:
        distance = file["dataset"][()]
    assert (distance.min(), distance.max()) == (pytest.approx(2.96, abs=0.01), pytest.approx(13.23, abs=0.01))
    depth = planar_depth(distance)
    assert depth.dtype == np.float32
    assert np.isfinite(depth).all()
    assert depth[0, 0] == pytest.approx(float(distance[0, 0]) * 0.8111886, rel=1e-6)
    assert depth[383, 511] == pytest.approx(distance[383, 511], rel=1e-5)
    with pytest.raises(BadInput, match=r"no \*\*/images/\*_final_preview"):
        list(READER(samples / "hypersim"))


def test_the_table_of_cameras_is_used(tmp_path):
    hypersim.write(tmp_path)
    names = [f"M_cam_from_uv_{row}{column}" for row in range(3) for column in range(3)]
    with open(tmp_path / "metadata_camera_parameters.csv", "w", newline="") as handle:
        table = csv.DictWriter(handle, ["scene_name", *names])
        table.writeheader()
        table.writerow({"scene_name": "ai_001_002", **dict(zip(names, SHIFTED.ravel()))})
    usual = next(READER(tmp_path_without_table(tmp_path)))
    shifted = next(READER(tmp_path))
    assert shifted.intrinsics == pinhole(SHIFTED, hypersim.SHAPE)
    assert np.nanmax(np.abs(usual.target - shifted.target)) > 0.1
    assert np.isnan(shifted.target[0, 0])


def tmp_path_without_table(root):
    other = root / "without"
    other.mkdir()
    hypersim.write(other)
    return other


def test_the_split_of_the_release(tmp_path):
    hypersim.write(tmp_path)
    header = "scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,split_partition_name\n"
    rows = "ai_001_002,cam_00,0,True,,test\nai_001_002,cam_00,3,False,empty,test\nai_001_002,cam_00,5,True,,train\n"
    with pytest.raises(BadInput, match=r"metadata_images_split_scene_v1\.csv is not in"):
        list(READER(tmp_path, split="test"))
    (tmp_path / "metadata_images_split_scene_v1.csv").write_text(header + rows)
    assert [sample.key for sample in READER(tmp_path, split="test")] == ["ai_001_002/cam_00/0000"]


def test_a_list_with_the_folders_of_another_machine(tmp_path):
    hypersim.write(tmp_path / "unpacked")
    image = "/mnt/x/hypersim/ai_001_002/images/scene_cam_00_final_preview/frame.0000.tonemap.jpg"
    (tmp_path / "val.txt").write_text(f"{image} {image.replace('jpg', 'hdf5')}\n")
    assert [sample.key for sample in READER(tmp_path, list="val.txt")] == ["ai_001_002/cam_00/0000"]
