"""The photographs and the motorcycle of the installed scikit-image."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.readers import scikit_image

READER = readers.get("scikit_image")


def test_photographs_are_the_files_as_found_and_never_the_motorcycle():
    samples = list(READER(subset="photographs"))
    assert [sample.key for sample in samples] == ["astronaut", "camera", "chelsea", "coffee", "rocket"]
    for sample in samples:
        assert sample.target is None and sample.target_kind is None
        assert min(Image.open(io.BytesIO(sample.image)).size) >= 300
    # The sum that scikit-image 0.26 itself records for this file.
    digest = hashlib.sha256(samples[-1].image).hexdigest()
    assert digest == "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"


def test_motorcycle_depth_is_that_of_the_middlebury_calibration():
    (sample,) = READER(subset="motorcycle")
    width, height = Image.open(io.BytesIO(sample.image)).size
    assert sample.target.shape == (height, width) == (500, 741)
    assert sample.target_kind == "metric_depth" and sample.target.dtype == np.float32
    # The calibration as published, for the full size: f 3979.911 px, offset 124.343 px, baseline 193.001 mm.
    disparity = (3979.911 * 193.001 / 1000 / sample.target.astype(np.float64) - 124.343) / 4
    valid = np.isfinite(sample.target)
    assert disparity[valid].min() == pytest.approx(7.19136, abs=1e-3)
    assert disparity[valid].max() == pytest.approx(59.9, abs=0.1)
    assert 1 - valid.mean() == pytest.approx(0.0735, abs=1e-3)


def test_motorcycle_agrees_with_the_right_image():
    # Along a row, left pixel x shows what right pixel x - d shows: warping must beat not warping by far.
    (sample,) = READER(subset="motorcycle")
    left = np.asarray(Image.open(io.BytesIO(sample.image)).convert("L"), float)
    right = np.asarray(Image.open(scikit_image._folder() / "motorcycle_right.png").convert("L"), float)
    disparity = scikit_image.FOCAL_LENGTH * scikit_image.BASELINE / 1000 / sample.target - scikit_image.DISPARITY_OFFSET
    rows, columns = np.nonzero(np.isfinite(sample.target))
    source = np.rint(columns - disparity[rows, columns]).astype(int)
    inside = source >= 0
    rows, columns, source = rows[inside], columns[inside], source[inside]
    warped = np.abs(left[rows, columns] - right[rows, source]).mean()
    unwarped = np.abs(left[rows, columns] - right[rows, columns]).mean()
    assert warped < 0.4 * unwarped


def test_depth_formula_and_unknown_pixels():
    disparity = np.array([[0.0, 50.0, np.inf, np.nan]], np.float32)
    depth = scikit_image.motorcycle_depth(disparity)
    np.testing.assert_allclose(depth[0, :2], [6.1773, 2.3682], rtol=1e-4)
    assert np.isnan(depth[0, 2:]).all()


def test_nothing_of_scikit_image_is_imported():
    # scikit-image's own loaders download what they miss.
    code = (
        "import sys; from depth_model import readers; "
        "list(readers.get('scikit_image')(subset='motorcycle')); "
        "sys.exit(any(name.startswith(('skimage', 'pooch')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_file_that_is_not_shipped_is_bad_input_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(scikit_image, "_folder", lambda: tmp_path)
    refused = []
    assert list(READER(subset="photographs", on_rejected=lambda item, reason: refused.append(reason))) == []
    assert len(refused) == 5 and "pip install 'scikit-image>=0.26,<0.27'" in refused[0]
    assert [entry["sha256"] for entry in READER.watch("", READER.options("motorcycle"))] == [None, None]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"plain"])
def test_a_broken_disparity_file_is_bad_input(content):
    with pytest.raises(BadInput, match=r"motorcycle_disp\.npz holds no disparity"):
        scikit_image._disparity(content)


def test_an_unknown_subset_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"subset = 'cars': unknown .allowed: photographs, motorcycle"):
        READER.options("cars")


def test_watch_changes_with_the_content_only():
    entries = list(READER.watch("", READER.options("motorcycle")))
    assert [entry["path"] for entry in entries] == list(scikit_image.MOTORCYCLE)
    assert entries == list(READER.watch("", READER.options("motorcycle")))
    assert entries[0]["sha256"].startswith("db18e9c4157617403")
