"""NYUv2: both forms of the release, the official split, list files, and .mat files that are broken or hostile."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.shards.images import decode_rgb

from .layouts import nyu, save_picture, save_values

READER = readers.get("nyu")


def test_real_frames(samples):
    loaded = list(READER(samples / "nyu_depth_v2" / "sync"))
    assert [sample.key for sample in loaded] == ["basement_0001a/rgb_00000", "basement_0001a/rgb_00050"]
    assert [np.nanmax(sample.target) for sample in loaded] == [np.float32(6.625), np.float32(8.266)]
    assert all(0.24 <= np.isnan(sample.target).mean() <= 0.28 for sample in loaded)
    assert loaded[0].intrinsics == (518.8579, 519.4696, 325.5824, 253.7362)


def test_the_labeled_file_gives_back_images_and_both_depths(tmp_path):
    nyu.write(tmp_path)
    images, filled, raw = nyu.content()
    loaded = list(READER(tmp_path, depth="filled"))
    assert [sample.key for sample in loaded] == [f"labeled/{index:05d}" for index in range(nyu.COUNT)]
    assert np.array_equal([decode_rgb(sample.image) for sample in loaded], images)
    assert np.array_equal([sample.target for sample in loaded], filled)
    train = list(READER(tmp_path, split="train"))
    assert [sample.key for sample in train] == ["labeled/00000", "labeled/00002"]
    assert np.array_equal(np.nan_to_num(train[1].target), raw[2])


def test_a_split_needs_its_file_and_numbers_from_one(tmp_path):
    nyu.write(tmp_path)
    savemat(tmp_path / "splits.mat", {"testNdxs": np.array([[0], [2]])})
    with pytest.raises(BadInput, match="not numbers of the 4 images"):
        list(READER(tmp_path, split="test"))
    (tmp_path / "splits.mat").unlink()
    with pytest.raises(BadInput, match=r"splits\.mat is missing"):
        list(READER(tmp_path, split="test"))


def write_frames(root):
    for folder in ("official_splits/train/bathroom", "official_splits/test/bathroom"):
        number = 45 if "test" in folder else 7
        save_picture(root / folder / f"rgb_{number:05d}.jpg", (2, 3))
        save_values(root / folder / f"sync_depth_{number:05d}.png", np.full((2, 3), 1500, np.uint16))


def test_a_list_finds_its_frames_wherever_they_were_unpacked(tmp_path):
    write_frames(tmp_path)
    lines = ["/bathroom/rgb_00045.jpg /bathroom/sync_depth_00045.png 518.8579", "bathroom/rgb_9.jpg x 1"]
    (tmp_path / "test.txt").write_text("\n".join(lines))
    refused = {}
    (sample,) = READER(tmp_path, list="test.txt", on_rejected=lambda item, reason: refused.update({item.key: reason}))
    assert sample.source_path == "official_splits/test/bathroom/rgb_00045.jpg"
    assert np.unique(sample.target).tolist() == [1.5]
    assert refused == {"bathroom/rgb_9": "bathroom/rgb_9.jpg is missing"}


def test_folders_of_a_split(tmp_path):
    write_frames(tmp_path)
    assert len(list(READER(tmp_path))) == 2
    assert [sample.source_path[-9:] for sample in READER(tmp_path, split="train")] == ["00007.jpg"]


@pytest.mark.parametrize("damage", ["truncated", "text", "external", "float"])
def test_a_broken_labeled_file_is_refused_in_one_line(tmp_path, damage):
    nyu.write(tmp_path)
    path = tmp_path / nyu_file()
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1500])
    elif damage == "text":
        path.write_text("not a MATLAB file")
    else:
        with h5py.File(path, "r+") as file:
            del file["images"]
            if damage == "external":
                file["images"] = h5py.ExternalLink("/etc/hostname", "images")
            else:
                file["images"] = np.zeros((4, 3, 8, 6), np.float32)
    with pytest.raises(BadInput) as caught:
        list(READER(tmp_path))
    assert "\n" not in str(caught.value)


def test_no_damage_to_the_labeled_file_is_an_error_of_another_kind(tmp_path):
    nyu.write(tmp_path)
    path = tmp_path / nyu_file()
    data = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(150):
        changed = bytearray(data)
        changed[generator.integers(512, 4096)] = generator.integers(256)
        path.write_bytes(changed)
        try:
            list(READER(tmp_path, on_rejected=lambda item, reason: None))
        except BadInput as error:
            assert "\n" not in str(error)


def nyu_file():
    from depth_model.readers.nyu import LABELED

    return LABELED
