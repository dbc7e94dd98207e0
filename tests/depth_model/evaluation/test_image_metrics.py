"""One image by a protocol, against plain loops with numpy's and scipy's solvers and the check values of the paper."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg

from depth_model.errors import BadInput
from depth_model.evaluation import metric_depth_metrics, protocols, relative_depth_metrics
from depth_model.evaluation.protocols import GENERIC, Protocol


def slow_metrics(prediction, depth, low, high):
    """The whole protocol in plain Python, with numpy's own least squares."""
    pairs = [(p, d) for p, d in zip(prediction.ravel().tolist(), depth.ravel().tolist()) if low < d < high]
    matrix = np.array([[p, 1.0] for p, _ in pairs])
    (scale, shift), *_ = np.linalg.lstsq(matrix, np.array([1 / d for _, d in pairs]), rcond=None)
    estimates = []
    for p, d in pairs:
        disparity = scale * p + shift
        estimates.append((min(max(1 / disparity, low), high) if disparity > 0 else high, d))
    count = len(estimates)
    error = [math.log(p) - math.log(d) for p, d in estimates]
    return {
        "abs_rel": sum(abs(p - d) / d for p, d in estimates) / count,
        "delta1": sum(max(p / d, d / p) < 1.25 for p, d in estimates) / count,
        "delta3": sum(max(p / d, d / p) < 1.25**3 for p, d in estimates) / count,
        "rmse": math.sqrt(sum((p - d) ** 2 for p, d in estimates) / count),
        "log10": sum(abs(math.log10(p) - math.log10(d)) for p, d in estimates) / count,
        "silog": 100 * math.sqrt(sum(e * e for e in error) / count - (sum(error) / count) ** 2),
    }


@pytest.mark.parametrize("seed", range(5))
def test_the_protocol_agrees_with_plain_loops(seed):
    generator = np.random.default_rng(seed)
    depth = generator.uniform(0.5, 100, (20, 30)).astype(np.float32)
    depth[generator.random(depth.shape) < 0.4] = np.nan
    prediction = (3 / depth + generator.normal(0, 0.3, depth.shape) + 2).astype(np.float32)
    prediction[np.isnan(prediction)] = 1
    measured = relative_depth_metrics(prediction, depth, "metric_depth", GENERIC)
    for name, expected in slow_metrics(prediction, depth, GENERIC.minimum, GENERIC.maximum).items():
        assert measured[name] == pytest.approx(expected, rel=1e-9), name


def test_an_affine_copy_of_the_truth_is_perfect():
    depth = np.random.default_rng(0).uniform(1, 10, (16, 16))
    measured = relative_depth_metrics(7 / depth + 3, depth, "metric_depth", GENERIC)
    assert measured["abs_rel"] == pytest.approx(0, abs=1e-9)
    assert measured["delta1"] == 1


def test_a_constant_gets_the_best_constant():
    depth = np.random.default_rng(0).uniform(1, 10, (16, 16))
    level = 1 / np.mean(1 / depth)
    measured = relative_depth_metrics(np.zeros_like(depth), depth, "metric_depth", GENERIC)
    assert measured["abs_rel"] == pytest.approx(np.mean(np.abs(level - depth) / depth))


def test_a_disparity_truth_is_blind_to_its_scale():
    generator = np.random.default_rng(0)
    disparity = generator.uniform(1, 90, (16, 16))
    prediction = disparity + generator.normal(0, 5, disparity.shape)
    one = relative_depth_metrics(prediction, disparity, "disparity", GENERIC)
    other = relative_depth_metrics(prediction, disparity * 1000, "disparity", GENERIC)
    for name in ("abs_rel", "delta1", "silog"):
        assert one[name] == pytest.approx(other[name], rel=1e-6)


def test_truth_out_of_range_and_too_little_of_it():
    depth = np.full((8, 8), 100.0)
    with pytest.raises(BadInput, match="0 pixels of truth"):
        relative_depth_metrics(np.ones((8, 8)), depth, "metric_depth", GENERIC)
    assert relative_depth_metrics(np.ones((8, 8)), depth, "metric_depth", Protocol(1e-3, 200))["abs_rel"] == 0


def test_a_prediction_that_is_not_finite_is_refused():
    with pytest.raises(BadInput, match="not finite"):
        relative_depth_metrics(np.full((8, 8), np.nan), np.ones((8, 8)), "metric_depth", GENERIC)


def test_affine_disparity_has_no_depth():
    with pytest.raises(BadInput, match="affine_disparity"):
        relative_depth_metrics(np.ones((8, 8)), np.ones((8, 8)), "affine_disparity", GENERIC)


def slow_zoedepth(prediction, depth, low, high, inside):
    """The nine metrics of ZoeDepth over `inside` (rows, columns) in plain Python."""
    pairs = []
    for row in range(*inside[0].indices(depth.shape[0])):
        for column in range(*inside[1].indices(depth.shape[1])):
            p, d = float(prediction[row, column]), float(depth[row, column])
            p = low if math.isnan(p) else high if p == math.inf else p
            if low < d < high:
                pairs.append((min(max(p, low), high), d))
    count = len(pairs)
    errors = [math.log(p) - math.log(d) for p, d in pairs]
    mean = sum(errors) / count
    return {
        **{f"delta{k}": sum(max(p / d, d / p) < 1.25**k for p, d in pairs) / count for k in (1, 2, 3)},
        "abs_rel": sum(abs(p - d) / d for p, d in pairs) / count,
        "sq_rel": sum((p - d) ** 2 / d for p, d in pairs) / count,
        "rmse": math.sqrt(sum((p - d) ** 2 for p, d in pairs) / count),
        "rmse_log": math.sqrt(sum(e * e for e in errors) / count),
        "log10": sum(abs(e) for e in errors) / count / math.log(10),
        "silog": 100 * math.sqrt(sum((e - mean) ** 2 for e in errors) / count),
    }


def a_metric_pair(shape, seed=0):
    generator = np.random.default_rng(seed)
    depth = generator.uniform(0.2, 12, shape).astype(np.float32)
    depth[generator.random(shape) < 0.2] = np.nan
    prediction = (np.nan_to_num(depth, nan=3) * generator.uniform(0.6, 1.7, shape)).astype(np.float32)
    prediction.ravel()[[50000, 60000]] = np.nan, np.inf
    return prediction, depth


@pytest.mark.parametrize("shape", [(480, 640), (500, 700)])
def test_zoedepths_nine_metrics_with_its_absolute_crop(shape):
    prediction, depth = a_metric_pair(shape)
    inside = slice(45, 471), slice(41, 601)
    measured = metric_depth_metrics(prediction, depth, protocols.get("nyu/zoedepth"))
    expected = slow_zoedepth(prediction, depth, 1e-3, 10, inside)
    assert set(measured) == set(expected)
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, rel=1e-9), name


def test_check_values_of_the_nine_metrics():  # docs/paper.md A.9
    prediction, depth = (np.tile(values, (3, 1)) for values in ([1.0, 2, 4, 5], [1.1, 1.8, 4.4, 5.5]))
    measured = metric_depth_metrics(prediction, depth, GENERIC)
    assert measured["sq_rel"] == pytest.approx(0.0282828, abs=1e-7)
    assert measured["rmse_log"] == pytest.approx(0.0979196, abs=1e-7)


def test_a_prediction_that_is_no_number_is_filled_only_where_the_protocol_says_so():
    prediction, depth = a_metric_pair((480, 640))
    with pytest.raises(BadInput, match="not finite"):
        metric_depth_metrics(prediction, depth, protocols.get("nyu/clean"))
    with pytest.raises(BadInput, match="not positive"):
        metric_depth_metrics(np.zeros((9, 9)), np.ones((9, 9)), Protocol(minimum=0, alignment="none"))


def scipys_fit(values, true):
    return scipy.linalg.lstsq(np.stack([values, np.ones_like(values)], 1), true)[0]


@pytest.fixture
def pair():
    generator = np.random.default_rng(3)
    depth = generator.uniform(0.5, 90, (60, 90))
    prediction = np.maximum(2 / depth + generator.normal(0, 0.05, depth.shape), 0)
    return prediction, depth


def test_a_floor_an_epsilon_and_a_range_as_video_depth_anything_has_them(pair):
    prediction, depth = pair
    valid = (depth > 1e-3) & (depth < 80)
    raised = np.maximum(prediction[valid], 1e-3)
    scale, shift = scipys_fit(raised, 1 / (depth[valid] + 1e-8))
    aligned = np.clip(1 / np.maximum(scale * raised + shift, 1e-3), 1e-3, 80)
    measured = relative_depth_metrics(*pair, "metric_depth", protocols.get("kitti/video-depth-anything"))
    assert measured["abs_rel"] == pytest.approx(np.mean(np.abs(aligned / depth[valid] - 1)), rel=1e-9)


def test_alignment_on_positive_pixels_of_a_reduced_map_as_marigold_has_it(pair):
    import torch

    prediction, depth = pair
    protocol = replace(protocols.get("eth3d/marigold"), alignment_side=40)
    reduce = torch.nn.Upsample(scale_factor=40 / 90, mode="nearest")
    small = [reduce(torch.from_numpy(one)[None, None])[0, 0].numpy() for one in pair]
    assert small[0].shape == (26, 40)
    positive = small[0] > 0
    assert not positive.all()
    scale, shift = scipys_fit(small[0][positive], 1 / small[1][positive])
    aligned = 1 / np.clip(scale * prediction + shift, 1e-3, 1e5)
    measured = relative_depth_metrics(prediction, depth, "metric_depth", protocol)
    assert measured["abs_rel"] == pytest.approx(np.mean(np.abs(aligned / depth - 1)), rel=1e-9)


def test_alignment_on_fewer_columns_as_marigolds_code_has_it(pair):
    import torch

    prediction, depth = (one.astype(np.float32) for one in pair)
    protocol = replace(protocols.get("eth3d/marigold-published"), alignment_side=40)
    reduce = torch.nn.Upsample(scale_factor=40 / 90, mode="nearest")
    small = [reduce(torch.from_numpy(one)[None])[0].numpy() for one in (prediction, depth)]  # height for channels
    assert small[0].shape == (60, 40)
    positive = small[0] > 0
    scale, shift = scipys_fit(small[0][positive].astype(np.float64), 1 / small[1][positive].astype(np.float64))
    aligned = 1 / np.clip(scale * prediction.astype(np.float64) + shift, 1e-3, 1e5)
    measured = relative_depth_metrics(prediction, depth, "metric_depth", protocol)
    assert measured["abs_rel"] == pytest.approx(np.mean(np.abs(aligned / depth - 1)), rel=1e-6)


def test_marigolds_mask_of_diode_has_no_range(pair):
    prediction, depth = pair
    depth[:5], depth[-5:] = 0.3, 500
    positive = prediction > 0
    scale, shift = scipys_fit(prediction[positive], 1 / depth[positive])
    aligned = np.clip(1 / np.maximum(scale * prediction + shift, 1e-3), 0.6, 350)
    measured = relative_depth_metrics(prediction, depth, "metric_depth", protocols.get("diode/marigold-published"))
    assert measured["abs_rel"] == pytest.approx(np.mean(np.abs(aligned / depth - 1)), rel=1e-9)


def test_moge_clips_to_the_farthest_truth_and_drops_what_lies_out_of_proportion(pair):
    prediction, depth = pair
    depth[:3], depth[-1] = 0.01, 1e4
    counts = depth <= 1000 * np.quantile(depth, 0.01)
    assert 0 < counts.sum() < counts.size
    scale, shift = scipys_fit(prediction[counts], 1 / depth[counts])
    aligned = 1 / np.maximum(scale * prediction[counts] + shift, 1 / depth[counts].max())
    measured = relative_depth_metrics(prediction, depth, "metric_depth", protocols.get("nyu/moge"))
    assert measured["abs_rel"] == pytest.approx(np.mean(np.abs(aligned / depth[counts] - 1)), rel=1e-9)


def test_midas_caps_far_depth_only_and_the_cap_itself_counts_where_closed(pair):
    prediction, depth = pair
    depth[:10] = 80
    scale, shift = scipys_fit(prediction[depth < 80], 1 / depth[depth < 80])
    aligned = 1 / np.maximum(scale * prediction + shift, 1 / 80)
    expected = np.mean(np.abs(aligned / depth - 1)[depth < 80])
    measured = relative_depth_metrics(prediction, depth, "metric_depth", protocols.get("kitti/midas"))
    assert measured["abs_rel"] == pytest.approx(expected, rel=1e-9)
    closed = relative_depth_metrics(prediction, depth, "metric_depth", protocols.get("kitti/full-frame"))
    scale, shift = scipys_fit(prediction[depth <= 80], 1 / depth[depth <= 80])
    aligned = 1 / np.maximum(scale * prediction + shift, 1 / 80)
    assert closed["abs_rel"] == pytest.approx(np.mean(np.abs(aligned / depth - 1)[depth <= 80]), rel=1e-9)


@pytest.mark.parametrize(("space", "alignment"), [("depth", "disparity"), ("depth", "depth"), ("disparity", "depth")])
def test_a_model_is_brought_to_the_space_of_alignment(space, alignment):
    depth = np.random.default_rng(0).uniform(1, 10, (16, 16))
    in_alignment = 3 / depth + 0.2 if alignment == "disparity" else 3 * depth + 0.2
    prediction = in_alignment if space == alignment else 1 / in_alignment
    protocol = replace(GENERIC, alignment=alignment)
    assert relative_depth_metrics(prediction, depth, "metric_depth", protocol, space)["abs_rel"] < 1e-9
    with pytest.raises(BadInput, match=r"not positive|not finite"):
        relative_depth_metrics(prediction - 5, depth, "metric_depth", replace(protocol, alignment="depth"), "disparity")


def test_a_relative_model_is_refused_by_a_metric_protocol():
    with pytest.raises(ValueError, match="meters"):
        relative_depth_metrics(np.ones((9, 9)), np.ones((9, 9)), "metric_depth", protocols.get("sun_rgbd/clean"))
