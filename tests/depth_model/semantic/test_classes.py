"""Class lists: names and colors are the official ones, and name what real labels show."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from depth_model import readers
from depth_model.semantic.classes import class_lists

# SHA-256 of "name red green blue" lines in the order of labels, made from the published sources: `METAINFO` of
# MMSegmentation's ADE20KDataset (mmseg/datasets/ade.py, names without blanks at their ends), and `trainId2label` of
# cityscapesScripts 2.2.4 (helpers/labels.py).
PUBLISHED = {
    "ade20k": "a3b06c095047e4531fae37b95b1592990881ffc18e05efc61a75dee5159774ba",
    "cityscapes": "28d2e680a3771aeabef70b7d68507cbf542180ec7439de08a5e1491a99ef117d",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_and_colors_are_the_published_ones(name):
    one = class_lists()[name]
    lines = "\n".join(f"{label} {r} {g} {b}" for label, (r, g, b) in zip(one.classes, one.palette, strict=True))
    assert hashlib.sha256(lines.encode()).hexdigest() == PUBLISHED[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_sky_of_a_reader_is_the_sky_of_its_list(name):
    assert class_lists()[name].classes[readers.get(name).sky_label] == "sky"


def test_names_fit_real_pictures(samples):
    names = class_lists()["ade20k"].classes
    found, colors = [], {}
    for sample in readers.get("ade20k")(samples / "ade20k", split="validation"):
        image = np.asarray(Image.open(io.BytesIO(sample.image)).convert("RGB")).astype(float)
        labels, counts = np.unique(sample.semantic[sample.semantic != 255], return_counts=True)
        found.append({names[label] for label in labels[np.argsort(-counts)][:4]})
        for label in labels:
            colors.setdefault(names[label], []).append(image[sample.semantic == label].mean(0))
    # What is to be seen: a stone house behind a lawn and a wall, an abbey behind trees.
    assert found == [{"sky", "building", "grass", "wall"}, {"sky", "building", "tree", "wall"}]
    (grass,) = colors["grass"]
    assert grass[1] > max(grass[0], grass[2])  # green
    assert all(sky[2] >= max(sky[:2]) - 3 and sky.mean() > 130 for sky in colors["sky"])  # blue or white
