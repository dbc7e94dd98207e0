"""Scale and shift from measured images, against those that the measurements were made with."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.errors import BadInput
from depth_model.prediction.calibration import (
    FILE,
    Calibration,
    Measured,
    calibrated,
    cross_validated,
    fit,
    read_calibration,
)

SCALE, SHIFT = 0.05, 0.02


def measured(space="disparity", images=5, wrong=0.3, shift=SHIFT, pixels=3000):
    """Images whose depth follows from values by SCALE and `shift`; a share `wrong` of it is anything."""
    generator = np.random.default_rng(0)
    found = []
    for number in range(images):
        values = generator.uniform(1, 20, pixels)
        aligned = SCALE * values + shift
        depth = 1 / aligned if space == "disparity" else aligned
        anything = generator.random(pixels) < wrong
        depth[anything] = generator.uniform(0.3, 30, anything.sum())
        found.append(Measured(str(number), values, depth))
    return found


@pytest.mark.parametrize("space", ["disparity", "depth"])
@pytest.mark.parametrize("shift", [0.0, SHIFT])
def test_wrong_measurements_move_the_fit_little(space, shift):
    scale, found = fit(measured(space, shift=shift), space, shifted=True)
    assert scale == pytest.approx(SCALE, rel=0.03)
    assert found == pytest.approx(shift, abs=0.01)
    if not shift:
        assert fit(measured(space, shift=0.0), space, shifted=False)[0] == pytest.approx(SCALE, rel=0.03)


def test_the_fit_is_the_best_of_a_grid():
    images = measured(wrong=0.2, pixels=400)

    def error(scale, shift):
        return np.mean([np.mean(np.abs(np.log((scale * one.values + shift) * one.depth))) for one in images])

    best = error(*fit(images, "disparity", shifted=True))
    grid = [(s, b) for s in np.linspace(0.04, 0.06, 41) for b in np.linspace(0, 0.04, 41)]
    assert best <= min(error(*one) for one in grid) + 1e-4


def test_an_image_with_many_pixels_counts_as_one_with_few():
    values = np.linspace(1, 2, 1000)
    few = Measured("few", values[:10], 1 / values[:10])
    many, other = Measured("many", values, 0.5 / values), Measured("other", values[:10], 1 / values[:10])
    assert fit([few, many, other], "disparity", shifted=False)[0] == pytest.approx(1, rel=1e-3)


def test_the_image_held_out_has_no_part_in_its_error():
    images = measured(wrong=0.0)
    spoiled = [*images[:-1], images[-1]._replace(depth=images[-1].depth * 2)]
    assert cross_validated(images, "disparity", True).max() < 1e-6
    assert cross_validated(spoiled, "disparity", True)[-1] == pytest.approx(0.5, rel=1e-3)


def test_a_shift_is_kept_only_where_it_helps_and_all_is_told():
    shifted, errors = calibrated(measured(wrong=0.0), "disparity", 56, None)
    assert (shifted.scale, shifted.shift) == (pytest.approx(SCALE), pytest.approx(SHIFT))
    assert (shifted.images, shifted.better, len(errors)) == (5, 5, 5)
    assert shifted.abs_rel < 1e-6 < shifted.before
    plain, _ = calibrated(measured("depth", wrong=0.0, shift=0.0), "depth", 56, None)
    assert (plain.scale, plain.shift) == (pytest.approx(SCALE), pytest.approx(0, abs=1e-6))


def test_another_lens_scales_and_the_file_holds_it_all(tmp_path):
    found = Calibration("disparity", SCALE, SHIFT, 100.0, 518, 1.2, 5, 0.1, 0.3, 4)
    found.write(tmp_path)
    read = read_calibration(tmp_path)
    assert read == found
    values = np.array([[1.0, 20.0], [0.0, -5.0]], np.float32)
    meters = read.meters(values)
    np.testing.assert_allclose(meters, [[1 / 0.07, 1 / 1.02], [50, 100]], rtol=1e-6)
    np.testing.assert_allclose(read.meters(values, 2.4), 2 * meters, rtol=1e-6)
    assert read_calibration(tmp_path / "none") is None


def test_what_cannot_be_is_named(tmp_path):
    with pytest.raises(BadInput, match="at least 2"):
        calibrated(measured(images=1), "disparity", 56, None)
    inverted = [one._replace(depth=one.values) for one in measured()]
    with pytest.raises(BadInput, match="do not belong together"):
        fit([one._replace(depth=np.exp(one.values / 4)) for one in inverted], "disparity", True)
    with pytest.raises(BadInput, match="without --focal"):
        Calibration("depth", 1.0, 0.0, 9.0, 518, None, 5, 0.1, 0.3, 4).meters(np.ones(3), 2.0)
    (tmp_path / FILE).write_text("[]")
    with pytest.raises(BadInput, match="is no calibration"):
        read_calibration(tmp_path)
