"""A global batch learned from in parts gives the loss, the terms and the steps of the whole."""

from __future__ import annotations

import dataclasses

import pytest

from depth_model.errors import UserError
from depth_model.training.sampling import WHOLE, Share
from depth_model.training.settings import TeacherSettings
from depth_model.training.start import check_shares
from depth_model.training.student import student_batch, train_student
from depth_model.training.teacher import train_teacher

from .test_student import ALIGNMENT, MACHINE, SETTINGS, TRAINING

SLOW = {"encoder_learning_rate": 1e-7, "decoder_learning_rate": 1e-7}
"""So slow that Adam does not make steps of rounding errors."""
LEARNED_NOTHING = "no better than a constant"


@pytest.mark.parametrize("count, of", [(8, 1), (8, 2), (7, 3), (2, 4)])
def test_shares_are_a_partition(count, of):
    rows = [row for index in range(of) for row in Share(index, of).rows(count)]
    assert rows == list(range(count))


def test_shares_hold_the_samples_of_the_whole_and_the_partners_they_need(pools):
    whole = student_batch(*pools, SETTINGS, 28, 3, 2, WHOLE)["unlabeled"]
    for index in range(4):
        part = student_batch(*pools, SETTINGS, 28, 3, 2, Share(index, 4))["unlabeled"]
        (row,) = Share(index, 4).rows(4)
        assert part["images"][0].equal(whole["images"][row])
        assert part["box"][0].equal(whole["box"][row])
        for name in ("images", "disparity", "valid"):
            assert part[name][part["partner"]][0].equal(whole[name][(row - 1) % 4])
        assert part["keys"] == [whole["keys"][row]]


def rows(learn):
    """The history of a run that is too slow to learn, taken from the metrics it reports."""
    seen = []
    with pytest.raises(UserError, match=LEARNED_NOTHING):
        learn(lambda step, metrics: seen.append(metrics))
    ignored = ("images_per_second", "seconds_left")
    return [{name: value for name, value in metrics.items() if name not in ignored} for metrics in seen]


@pytest.mark.parametrize("accumulation", [2, 3, 4])
def test_a_student_batch_in_parts_is_the_whole_batch(pools, tmp_path, accumulation):
    # Seven images, one of them without a usable label: the parts count differently many, some no labeled image.
    settings = dataclasses.replace(SETTINGS, epochs=3.0, **SLOW)

    def learn(parts):
        training = dataclasses.replace(TRAINING, accumulation=parts, gradient_matching=0.5)
        return lambda on_metrics: train_student(
            *pools, "none", settings, ALIGNMENT, training, 3, tmp_path / str(parts), on_metrics, MACHINE
        )

    whole, parts = rows(learn(1)), rows(learn(accumulation))
    assert len(whole) == len(parts) == 6
    for one, other in zip(whole, parts, strict=True):
        assert other == pytest.approx(one, rel=2e-3, abs=2e-5)
    assert max(one["unusable_targets"] for one in whole) > 0


def test_more_parts_than_images_are_refused():
    check_shares("teacher.batch", 2, 2)
    with pytest.raises(UserError, match=r"teacher.batch = 2 images .* training.accumulation = 3"):
        check_shares("teacher.batch", 2, 3)


def test_a_teacher_batch_in_parts_is_the_whole_batch(pools, tmp_path):
    settings = TeacherSettings("tiny", 4, 4, **SLOW)

    def learn(parts):
        training = dataclasses.replace(TRAINING, accumulation=parts)
        return lambda on_metrics: train_teacher(
            pools[0], "none", settings, training, 3, tmp_path / str(parts), on_metrics, MACHINE
        )

    for one, other in zip(rows(learn(1)), rows(learn(3)), strict=True):
        assert other == pytest.approx(one, rel=2e-3, abs=2e-5)
