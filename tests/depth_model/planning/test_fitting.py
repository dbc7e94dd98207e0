"""What fits a machine and a time, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from depth_model.errors import UserError
from depth_model.planning import fitting, plan

ROW = {"name": "a test", "source": "given", "milliseconds": {"vits": 1000.0, "vitl": 9000.0}}
SLOW = fitting.Machine("a test", ROW, 16e9, "fp32", is_gpu=False)
WANTED = fitting.Wanted(
    labeled=100,
    held_out=0,
    unlabeled=200,
    short_side=480,
    student="vits",
    teacher="vits",
    trains_teacher=True,
    sky=True,
    metric=False,
    seconds=7200,
)


def test_the_largest_crop_that_leaves_time_for_enough_epochs_is_taken():
    found = fitting.fit(WANTED, SLOW)
    larger = [side for side in fitting.SIDES if found.crop < side <= WANTED.short_side]
    assert found.total <= 1.05 * WANTED.seconds
    assert found.teacher_epochs >= fitting.FEWEST <= found.student_epochs
    for side in larger:  # four epochs of the teacher in its share of the time would not end
        once = 100 * plan.seconds_per_image(ROW, "vits", side) * 3.4
        assert 4 * once > fitting.TEACHER * WANTED.seconds or 4 * 3 * once > (1 - fitting.TEACHER) * WANTED.seconds
    assert fitting.fit(replace(WANTED, seconds=720_000), SLOW).crop == 392  # never more than the images have


def test_the_teacher_gets_its_share_of_the_time_in_whole_epochs():
    found = fitting.fit(WANTED, SLOW)
    once = 100 * plan.seconds_per_image(ROW, "vits", found.crop) * 3.4
    fixed = sum(value for name, value in found.seconds.items() if not name.startswith("train"))
    assert found.teacher_epochs == int(round(fitting.TEACHER * (WANTED.seconds - fixed) / once, 1))
    given = fitting.fit(replace(WANTED, trains_teacher=False), SLOW)
    assert given.teacher_epochs == given.seconds["train teacher"] == 0


def test_where_no_sky_is_to_be_seen_none_is_looked_for():
    assert fitting.fit(WANTED, SLOW).seconds["sky masks"] > 0
    assert fitting.fit(replace(WANTED, sky=False), SLOW).seconds["sky masks"] == 0


def test_more_time_than_forty_epochs_take_is_left():
    found = fitting.fit(replace(WANTED, seconds=1e9), SLOW)
    assert (found.teacher_epochs, found.student_epochs) == (fitting.MOST, fitting.MOST)


def test_no_crop_is_small_enough_for_a_second_and_that_shows():
    found = fitting.fit(replace(WANTED, seconds=1), SLOW)
    assert found.crop == 98 and found.total > 1


def test_however_short_the_time_every_training_has_some_steps():
    few = replace(WANTED, labeled=41, held_out=20, unlabeled=42, metric=True, seconds=1)
    found = fitting.fit(few, SLOW)
    assert found.teacher_epochs * 21 / found.teacher_batch >= fitting.LEAST_STEPS
    assert found.student_epochs * 42 / found.unlabeled_per_batch >= fitting.LEAST_STEPS
    assert found.metric_epochs * 21 / found.teacher_batch >= fitting.LEAST_STEPS


def test_a_batch_fits_the_memory_and_the_images():
    card = fitting.card("RTX 4090")
    many = replace(WANTED, labeled=5000, unlabeled=20_000, teacher="vitl")
    found = fitting.fit(many, card)
    assert (found.labeled_per_batch, found.unlabeled_per_batch) == (16, 32)
    assert found.memory <= 0.8 * 24e9 and card.precision == "bf16"
    assert fitting.fit(WANTED, card).unlabeled_per_batch <= 50  # four steps in an epoch at least
    with pytest.raises(UserError, match="does not fit its memory"):
        fitting.fit(WANTED, replace(SLOW, memory=1e8))


def test_crops_are_whole_patches_of_both_networks():
    assert fitting.whole(518, "vits", "dinov3_vits16") == 448
    assert fitting.whole(10, "vits") == 14


def test_fine_tuning_to_meters_takes_its_own_part():
    found = fitting.fit(replace(WANTED, metric=True), SLOW)
    assert 0.1 <= found.metric_epochs and found.seconds["fine-tune to meters"] > 0
    assert found.total <= 1.05 * WANTED.seconds


@pytest.mark.parametrize("name", ["T5", "V100", "cpu-core"])
def test_a_card_without_known_memory_is_refused(name):
    with pytest.raises(UserError, match="choose one of a100, t4, l4, a10, h100, rtx-4090"):
        fitting.card(name)


def test_this_machine_is_measured():
    machine = fitting.this_machine({"tiny"})
    assert machine.row["milliseconds"]["tiny"] > 0 and machine.memory > 1e8
    assert "measured now" in machine.row["source"]
