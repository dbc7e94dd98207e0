"""ADE20K: real annotations beside the full release, which is not read."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from depth_model import readers

READER = readers.get("ade20k")


def test_real_annotations(samples):
    loaded = list(READER(samples / "ade20k", split="validation"))
    assert [sample.key for sample in loaded] == ["validation/ADE_val_00000001", "validation/ADE_val_00000002"]
    assert [sample.semantic.shape for sample in loaded] == [(512, 683), (364, 500)]
    ignored = [(sample.semantic == 255).mean() for sample in loaded]
    assert ignored == pytest.approx([0.01, 0.095], abs=0.005)
    folder = samples / "ade20k" / "ADEChallengeData2016" / "annotations" / "validation"
    for sample in loaded:
        stored = np.asarray(Image.open(folder / f"{sample.key[-16:]}.png")).astype(int)
        assert np.array_equal(np.where(sample.semantic == 255, 0, sample.semantic.astype(int) + 1), stored)


def test_the_sky_of_the_real_annotation_is_above(samples):
    scene = next(READER(samples / "ade20k"))
    sky = scene.semantic == READER.sky_label
    assert sky.any()
    assert np.nonzero(sky)[0].mean() < scene.semantic.shape[0] / 3
