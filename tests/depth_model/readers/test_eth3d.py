"""ETH3D: archives unpacked beside each other; photographs with a turn."""

from __future__ import annotations

import numpy as np
from PIL import Image

from depth_model import readers

from .layouts import eth3d

READER = readers.get("eth3d")


def test_archives_may_lie_beside_each_other(tmp_path):
    written = eth3d.write(tmp_path)
    (tmp_path / "depth" / "courtyard").mkdir(parents=True)
    (tmp_path / "courtyard" / "ground_truth_depth").rename(tmp_path / "depth" / "courtyard" / "ground_truth_depth")
    sample = next(READER(tmp_path))
    assert sample.source_path == "courtyard/images/dslr_images/DSC_0286.JPG"
    np.testing.assert_array_equal(sample.target, written.targets[sample.key])


def test_depth_has_the_size_of_the_photograph_as_stored(tmp_path):
    eth3d.write(tmp_path)
    path = tmp_path / "courtyard" / "images" / "dslr_images" / "DSC_0286.JPG"
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.open(path).save(path, exif=turned)
    assert next(READER(tmp_path)).target.shape == eth3d.SHAPE
