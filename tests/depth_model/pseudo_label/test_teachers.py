"""Teachers from elsewhere: what each says becomes disparity by the rules of docs/own-model.md, checked by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from depth_model import readers
from depth_model.errors import UserError
from depth_model.networks import DepthAnything
from depth_model.networks.provenance import Provenance, write_provenance
from depth_model.prediction.predictor import DepthPredictor
from depth_model.pseudo_label.labeling import Labeling, averaged, label_source
from depth_model.pseudo_label.teachers import FARTHEST, disparity_of, estimator_of, relative_model
from depth_model.reading.collecting import collect_source
from depth_model.shards.source import SidecarFolder, SourceFolder

SHAPE = (40, 60)


def test_meters_become_their_inverse_and_what_is_no_depth_no_label():
    depth = np.array([[1.0, 2.0, 4.0, 5.0, 0.0, -1.0, np.nan, np.inf, 0.001]], np.float32)
    found = disparity_of(depth, "metric_depth")
    np.testing.assert_allclose(found[0, :4], [1, 0.5, 0.25, 0.2], rtol=1e-6)
    assert np.isnan(found[0, 4:]).all() and found.dtype == np.float32


def test_disparity_stays_what_it_is_but_for_a_shift_that_says_nothing():
    np.testing.assert_array_equal(disparity_of(np.array([[0.0, 3.0, np.nan]]), "disparity")[0, :2], [0, 3])
    np.testing.assert_array_equal(disparity_of(np.array([[-2.0, 3.0]]), "disparity"), [[0, 5]])


def test_depth_without_a_shift_keeps_the_order_and_ends_at_a_known_ratio():
    depth = np.array([[3.0, 5.0, 9.0, np.nan]])
    for values in (depth, 7 * depth - 2):
        found = disparity_of(values, "depth")[0]
        np.testing.assert_allclose(found[:3], [1, 1 / (1 + (FARTHEST - 1) / 3), 1 / FARTHEST], rtol=1e-6)
    assert np.isnan(disparity_of(np.full((2, 2), np.nan), "depth")).all()
    assert np.ptp(disparity_of(np.ones((2, 2)), "depth")) == 0


def test_a_weight_counts_as_often_as_it_says():
    first, second = (np.random.default_rng(seed).random((8, 9), np.float32) + 1 for seed in (1, 2))
    thrice = averaged([first, second, second, second], [1, 1, 1, 1])
    np.testing.assert_allclose(averaged([first, second], [1, 3]), thrice, rtol=1e-6)
    np.testing.assert_allclose(averaged([first, second], [2, 6]), thrice, rtol=1e-6)


def test_where_one_of_several_has_no_value_there_is_no_label():
    first = np.random.default_rng(1).random((8, 9), np.float32) + 1
    second = 2 * first + 5
    second[0, 0] = np.nan
    found = averaged([first, second], [1, 1])
    assert np.isnan(found[0, 0])
    np.testing.assert_allclose(found.ravel()[1:], first.ravel()[1:], rtol=1e-5)
    assert np.isnan(averaged([first, np.full_like(first, np.nan)], [1, 1])).all()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """An unlabeled source of three images in subfolders."""
    folder = tmp_path_factory.mktemp("world")
    for number in range(3):
        (folder / f"images/day{number}").mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (*SHAPE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"images/day{number}/a.png")
    reader, result = readers.get("image_folder"), folder / "data/unlabeled/pictures"
    settings = {"max_side": 200, "minimum_side": 8, "samples_per_shard": 2, "workers": 1}
    collect_source(reader, folder / "images", reader.options(), folder / "scratch", result, **settings)
    return SourceFolder(result)


def labeled(source, folder, teachers, **changed):
    labeling = Labeling(teachers=teachers, sha256="0" * 64, short_side=56, bits=16, batch=2)
    label_source(source, dataclasses.replace(labeling, **changed), folder / "s", folder / "r", lambda images: None)
    return SidecarFolder(folder / "r")


@pytest.fixture
def predictions(tmp_path):
    """A folder of depth in millimeters, 16-bit PNG named as the images are, with pixels without a depth."""
    folder, depths = tmp_path / "predictions", []
    for number in range(3):
        depth = np.random.default_rng(10 + number).integers(500, 9000, SHAPE).astype(np.uint16)
        depth[:4, :5] = 0
        (folder / f"day{number}").mkdir(parents=True)
        Image.fromarray(depth).save(folder / f"day{number}/a.png")
        depths.append(depth)
    write_provenance(folder, Provenance(predictions="metric_depth", unit=1000.0))
    return folder, depths


def test_predictions_made_elsewhere_label_as_inverse_depth(source, predictions, tmp_path):
    folder, depths = predictions
    labels = labeled(source, tmp_path, {folder: 1.0})
    for row, depth in enumerate(depths):
        found, known = labels.raster(row), depth > 0
        assert found.shape == SHAPE
        np.testing.assert_array_equal(np.isfinite(found), known)
        np.testing.assert_allclose(found[known], 1000 / depth[known].astype(float), atol=2 / 2**16)
    table = labels.sidecar
    assert table["minimum"].tolist() == pytest.approx([1000 / depth.max() for depth in depths])


def test_a_prediction_that_is_missing_is_named(source, predictions, tmp_path):
    (predictions[0] / "day1/a.png").unlink()
    with pytest.raises(UserError, match=r"image pictures/day1/a.*no prediction"):
        labeled(source, tmp_path, {predictions[0]: 1.0})


def test_predictions_of_a_source_may_lie_in_a_folder_of_its_name(source, predictions, tmp_path):
    folder, depths = predictions
    (folder / "pictures").mkdir()
    (folder / "day0").rename(folder / "pictures/day0")
    found = labeled(source, tmp_path, {folder: 1.0}).raster(0)
    np.testing.assert_allclose(found[-1, -1], 1000 / depths[0][-1, -1], atol=2 / 2**16)


def test_stored_predictions_have_no_score(source, predictions, tmp_path):
    with pytest.raises(UserError, match=r"pseudo_label.quality = 'flip'"):
        labeled(source, tmp_path, {predictions[0]: 1.0}, quality="flip")


def test_a_model_and_predictions_together(source, predictions, tmp_path):
    model = DepthAnything("tiny", seed=4)
    model.save(tmp_path / "model")
    labels = labeled(source, tmp_path, {tmp_path / "model": 1.0, predictions[0]: 2.0})
    own = DepthPredictor(model, 56).network_disparity([source.image(0)])[0]
    found = labels.raster(0)
    assert found.shape == own.shape == (56, 84)  # at the size of the first
    assert 0 < np.isnan(found).mean() < 0.1 and np.nanmin(found) >= 0


def test_a_model_of_transformers_labels_as_it_says_itself(source, tmp_path):
    transformers = pytest.importorskip("transformers")
    from tests.depth_model.comparison.test_adapters import tiny_dpt

    tiny_dpt(tmp_path / "dpt")
    assert relative_model(tmp_path / "dpt") is None
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "dpt")
    network = transformers.AutoModelForDepthEstimation.from_pretrained(tmp_path / "dpt").eval()
    with torch.no_grad():
        expected = network(**processor(images=Image.fromarray(source.image(0)), return_tensors="pt"))
    expected = expected.predicted_depth[0].numpy()
    found = labeled(source, tmp_path, {tmp_path / "dpt": 1.0}).raster(0)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected - min(expected.min(), 0), atol=2e-4 * np.ptp(expected) + 1e-6)


def test_a_bare_official_file_is_a_teacher_run_in_batches(source, tmp_path):
    model = DepthAnything("tiny", seed=4).eval()
    (tmp_path / "v1").mkdir()
    torch.save(model.official_state(), tmp_path / "v1/weights.pth")
    with pytest.raises(UserError, match="say version v1 or v2"):
        relative_model(tmp_path / "v1")
    write_provenance(tmp_path / "v1", Provenance(version="v1"))
    assert relative_model(tmp_path / "v1").version == "v1"
    found = labeled(source, tmp_path, {tmp_path / "v1": 1.0}).raster(2)
    expected = DepthPredictor(model, 56).network_disparity([source.image(2)])[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.ptp(expected) + 1e-6)


def test_what_is_no_model_is_refused_in_one_line(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    with pytest.raises(UserError, match=r"no model .*of predictions made elsewhere say their space"):
        estimator_of(tmp_path, 42)
