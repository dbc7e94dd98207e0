"""RGB-D folders: real recordings in their own layouts, every format of depth, every way to be incomplete."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.shards.images import decode_rgb

READER = readers.get("rgbd_folder")
SEVEN_SCENES = {"color": "*.color.jpg", "depth": "*.depth.png", "unit": 1000, "invalid": (0, 65535)}
TUM = {"color": "rgb/*.png", "depth": "depth/*.png", "unit": 5000}


@pytest.mark.parametrize(
    ("folder", "options", "count", "nearest", "farthest", "invalid"),
    [
        ("7scenes/redkitchen", SEVEN_SCENES, 41, 0.801, 3.975, (0.055, 0.245)),
        ("tum_rgbd/freiburg2_desk", TUM, 2, 0.5, 52492 / 5000, (0.325, 0.345)),
        ("icl_nuim/living_room", TUM, 3, 4385 / 5000, 21415 / 5000, (0, 0)),
        ("redwood", {"color": "color/*.jpg", "depth": "depth/*.png", "unit": 1000}, 3, 0.3, 2.702, (0.125, 0.135)),
        (
            "nyu_depth_v2/kinect_pgm",
            {"color": "color/*.png", "depth": "depth/*.pgm", "unit": 1000},
            None,
            0.5,
            9.823,
            (0.26, 0.33),
        ),
        (
            "nyu_depth_v2/sync",
            {"color": "*/rgb_*.jpg", "depth": "*/sync_depth_*.png", "unit": 1000},
            2,
            0.5,
            8.266,
            (0.24, 0.28),
        ),
    ],
)
def test_real_recordings(samples, folder, options, count, nearest, farthest, invalid):
    loaded = list(READER(samples / folder, **options))
    assert len(loaded) == count or count is None
    assert loaded
    targets = np.stack([sample.target for sample in loaded])
    assert targets.dtype == np.float32
    assert targets.shape[1:] == decode_rgb(loaded[0].image).shape[:2] == (480, 640)
    assert np.nanmax(targets) == np.float32(farthest)
    assert nearest <= np.nanmin(targets) < 2
    missing = np.isnan(targets).mean(axis=(1, 2))
    assert invalid[0] <= missing.min()
    assert missing.max() <= invalid[1]
    assert {sample.target_kind for sample in loaded} == {"metric_depth"}


def test_the_second_invalid_value_of_seven_scenes_counts(samples):
    root = samples / "7scenes" / "redkitchen"
    stored = np.asarray(Image.open(root / "frame-000850.depth.png"))
    assert (stored == 65535).any()
    last = list(READER(root, **SEVEN_SCENES))[-1]
    assert last.key == "frame-000850"
    assert np.array_equal(np.isnan(last.target), (stored == 0) | (stored == 65535))


def test_keys_are_what_the_wildcards_stand_for(samples):
    options = READER.options(color="*/rgb_*.jpg", depth="{}/sync_depth_{}.png", unit=1000)
    keys = [item.key for item in READER.items(samples / "nyu_depth_v2" / "sync", options)]
    assert len(set(keys)) == 2
    assert all(key.startswith("basement_0001a/") and key.split("/")[1].isdigit() for key in keys)


VALUES = np.array([[500, 1000, 0], [65535, 2000, 1]], np.uint16)


def save_npy(path, values):
    with open(path, "wb") as handle:
        np.save(handle, values)


def save_picture(path, values):
    Image.fromarray(values).save(path)


@pytest.mark.parametrize(
    ("ending", "save", "dtype"),
    [
        ("png", save_picture, np.uint16),
        ("pgm", save_picture, np.uint16),
        ("tif", save_picture, np.uint16),
        ("tiff", save_picture, np.float32),
        ("npy", save_npy, np.float32),
        ("npy", save_npy, np.float64),
        ("npy", save_npy, np.int32),
    ],
)
def test_every_format_of_depth(tmp_path, ending, save, dtype):
    save_picture(tmp_path / "c1.png", np.zeros((2, 3), np.uint8))
    save(tmp_path / f"d1.{ending}", VALUES.astype(dtype))
    options = {"color": "c*.png", "depth": f"d*.{ending}", "unit": 1000, "invalid": (0, 65535)}
    (sample,) = READER(tmp_path, **options, intrinsics=(1, 2, 3, 4), target_kind="relative_depth")
    expected = np.array([[0.5, 1, np.nan], [np.nan, 2, 0.001]], np.float32)
    assert np.array_equal(sample.target, expected, equal_nan=True)
    assert sample.intrinsics == (1, 2, 3, 4)
    assert sample.target_kind == "relative_depth"


def test_nan_and_infinity_never_are_labels(tmp_path):
    save_picture(tmp_path / "c1.png", np.zeros((1, 4), np.uint8))
    save_npy(tmp_path / "d1.npy", np.array([[np.nan, np.inf, -np.inf, 3]]).reshape(1, 4, 1))
    (sample,) = READER(tmp_path, color="c*.png", depth="d*.npy", unit=1)
    assert np.array_equal(sample.target, [[np.nan, np.nan, np.nan, 3]], equal_nan=True)


def refusals(root, **options):
    refused = {}
    kept = [
        sample.key for sample in READER(root, on_rejected=lambda item, why: refused.update({item.key: why}), **options)
    ]
    return kept, refused


def test_what_has_no_partner_is_reported(tmp_path):
    for name in ("c1", "c2", "d2", "d3"):
        save_picture(tmp_path / f"{name}.png", VALUES)
    kept, refused = refusals(tmp_path, color="c*.png", depth="d*.png", unit=1000)
    assert kept == ["2"]
    assert set(refused) == {"1", "depth/3"}
    assert "no depth file" in refused["1"]
    assert "no color image" in refused["depth/3"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"no picture", "not a depth file in a known format: PNG, TIFF, PGM"),
        (b"\x89PNG\r\n\x1a\nrest", "broken PNG"),
    ],
)
def test_damaged_depth_files_are_refused(tmp_path, content, reason):
    save_picture(tmp_path / "c1.png", VALUES)
    (tmp_path / "d1.png").write_bytes(content)
    kept, refused = refusals(tmp_path, color="c*.png", depth="d*.png", unit=1000)
    assert kept == []
    assert reason in refused["1"]
    assert refused["1"].startswith("d1.png: ")
    assert str(tmp_path) not in refused["1"]


def test_depth_of_several_channels_and_pickles_are_refused(tmp_path):
    for name in ("c1", "c2", "c3"):
        save_picture(tmp_path / f"{name}.png", VALUES)
    save_npy(tmp_path / "d1.npy", np.arange(18.0).reshape(2, 3, 3))
    save_npy(tmp_path / "d2.npy", np.array([[{"a": 1}]], object))
    (tmp_path / "d3.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr'")
    kept, refused = refusals(tmp_path, color="c*.png", depth="d*.npy", unit=1)
    assert kept == []
    assert "not one number per pixel" in refused["1"]
    assert "not a NumPy array" in refused["2"]
    assert "not a NumPy array" in refused["3"]


def test_time_stamps_pair_what_is_nearest(tmp_path):
    colors = ["1305031102.175304", "1305031102.211214", "1305031102.243211", "1305031109.0"]
    depths = ["1305031102.160407", "1305031102.226738", "1305031102.262886", "1305031108.9"]
    for folder, stamps in (("rgb", colors), ("depth", depths)):
        (tmp_path / "seq" / folder).mkdir(parents=True)
        for stamp in stamps:
            save_picture(tmp_path / "seq" / folder / f"{stamp}.png", VALUES)
    options = {"color": "*/rgb/*.png", "depth": "*/depth/*.png", "unit": 5000, "match": "nearest"}
    items = list(READER.items(tmp_path, READER.options(**options)))
    pairs = {item.paths[0][8:-4]: item.paths[1][10:-4] for item in items if item.paths[0]}
    # By hand: 0.0149, 0.0155 and 0.0197 s apart. The third image is nearer (0.0165) to the second depth map,
    # which is taken by then; the last two are 0.1 s apart.
    assert pairs == {colors[0]: depths[0], colors[1]: depths[1], colors[2]: depths[2], colors[3]: ""}
    assert [item.paths for item in items if not item.paths[0]] == [("", f"seq/depth/{depths[3]}.png")]
    assert len({item.key for item in items}) == 5
    wider = READER.options(**options, tolerance=0.2)
    assert all(all(item.paths) for item in READER.items(tmp_path, wider))


def test_one_depth_file_is_given_to_one_image_only(tmp_path):
    for name in ("c1.00", "c1.01", "c1.02", "d1.012"):
        save_picture(tmp_path / f"{name}.png", VALUES)
    options = READER.options(color="c*.png", depth="d*.png", unit=1, match="nearest")
    pairs = {item.paths[0]: item.paths[1] for item in READER.items(tmp_path, options)}
    assert pairs == {"c1.00.png": "", "c1.01.png": "d1.012.png", "c1.02.png": ""}


def test_names_that_are_no_time_stamps_are_an_error(tmp_path):
    for name in ("ca", "da"):
        save_picture(tmp_path / f"{name}.png", VALUES)
    with pytest.raises(BadInput, match="time stamps"):
        list(READER(tmp_path, color="c*.png", depth="d*.png", unit=1, match="nearest"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color": "*.png", "depth": "*/*.png", "unit": 1}, "same number of wildcards"),
        ({"color": "a.png", "depth": "b.png", "unit": 1}, "at least one"),
        ({"color": "*.png", "depth": "*.pgm", "unit": 0}, "unit = 0"),
        ({"color": "*.png", "depth": "*.pgm", "unit": float("nan")}, "unit = nan"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        READER.options(**options)
