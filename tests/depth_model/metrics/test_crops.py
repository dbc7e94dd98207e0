"""Crops against the check values of the paper, and protocols as data."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model import readers
from depth_model.errors import BadInput
from depth_model.evaluation import protocols
from depth_model.evaluation.truth import truth_of
from depth_model.metrics.crops import kb_window, window
from tasks.settings import params


@pytest.mark.parametrize(
    ("crop", "size", "rows", "columns"),  # docs/paper.md A.10 and 4.2
    [
        ("garg", (352, 1216), (143, 349), (43, 1172)),
        ("garg", (375, 1242), (153, 371), (44, 1197)),
        ("eigen_kitti", (352, 1216), (117, 321), (43, 1172)),
        ("eigen_absolute", (768, 1024), (45, 471), (41, 601)),
        ("eigen_scaled", (480, 640), (45, 471), (41, 601)),
        ("eigen_scaled", (960, 1280), (90, 942), (82, 1202)),
        ("none", (3, 4), (0, 3), (0, 4)),
    ],
)
def test_check_values_of_the_crops(crop, size, rows, columns):
    assert window(crop, *size) == (slice(*rows), slice(*columns))


def test_only_truth_inside_the_crop_counts():
    depth = np.full((100, 200), 5.0)
    protocol = protocols.replace(protocols.GENERIC, crop="garg")
    truth = truth_of(depth, "metric_depth", protocol)
    counted = np.isfinite(truth.map())
    assert counted[40:99, 7:192].all()
    assert counted.sum() == 59 * 185


def test_every_set_has_its_declared_variants():
    named = {dataset: list(protocols.variants(dataset)) for dataset in protocols.set_names()}
    assert {"kitti", "nyu", "sintel", "ddad", "eth3d", "diode"} <= {one for one in named if "paper" in named[one]}
    assert {"nyu", "kitti", "sun_rgbd", "ibims", "hypersim", "vkitti2", "diode_outdoor"} <= {
        one for one in named if {"zoedepth", "clean"} <= set(named[one])
    }
    for dataset, variants in named.items():
        for variant in variants:
            protocol = protocols.get(f"{dataset}/{variant}")
            assert protocol.name == f"{dataset}/{variant}"
            assert protocol.is_metric == (variant in ("zoedepth", "clean", "masked", "converted", "uncropped"))


@pytest.mark.parametrize(
    ("name", "images", "maximum"),  # docs/paper.md 4.1, 4.2
    [("kitti", 652, 80), ("nyu", 654, 10), ("sintel", 1064, 72), ("ddad", 3950, 80), ("diode", 325, 10)]
    + [("sun_rgbd", 5050, 8), ("ibims", 100, 10), ("hypersim", 7690, 80), ("vkitti2", 1701, 80)],
)
def test_the_default_variants_have_the_published_counts_and_caps(name, images, maximum):
    protocol = protocols.get(name)
    assert (protocol.images, protocol.maximum) == (images, maximum)


def test_names_that_do_not_exist_are_refused_with_those_that_do():
    with pytest.raises(KeyError, match="marigold"):
        protocols.get("kitti/mariogld")
    with pytest.raises(KeyError, match="sintel"):
        protocols.get("cityscapes")
    with pytest.raises(ValueError, match="garg"):
        protocols.Protocol(crop="grag")
    with pytest.raises(ValueError, match="clip_maximum"):
        protocols.Protocol(maximum=np.inf)


def test_a_protocol_is_described_by_what_is_not_default():
    described = protocols.described(protocols.get("eth3d/marigold"))
    assert described["maximum"] == "inf"
    assert described["positive_only"] is True
    assert "flip_averaging" not in described


def test_the_options_of_every_protocol_are_those_of_its_reader():
    for dataset in protocols.set_names():
        for protocol in protocols.variants(dataset).values():
            if protocol.reader in readers.names():
                params.Source(reader=protocol.reader, root=".", options=protocol.options).chosen_options()


def test_kittis_benchmark_crop_is_low_and_in_the_middle():
    assert kb_window(375, 1242) == (slice(23, 375), slice(13, 1229))
    assert kb_window(352, 1216) == (slice(0, 352), slice(0, 1216))


@pytest.mark.parametrize("shape", [(351, 1242), (375, 1215)])
def test_a_picture_smaller_than_the_benchmark_crop_is_refused(shape):
    with pytest.raises(BadInput, match=f"{shape[0]} x {shape[1]}"):
        kb_window(*shape)
