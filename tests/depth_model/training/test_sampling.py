"""Every epoch is a permutation, and a batch needs no history."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.training.sampling import batch_indices, epoch_positions, stage_seed, steps_of


@pytest.mark.parametrize("length", [1, 2, 3, 5, 16, 17, 255, 1000, 4097])
def test_each_epoch_is_a_permutation(length):
    for epoch in range(3):
        order = epoch_positions((7, 0), epoch, np.arange(length), length)
        assert order.dtype == np.int64
        assert sorted(order) == list(range(length))


def test_epochs_and_seeds_differ():
    orders = [
        epoch_positions(seed, epoch, np.arange(500), 500).tolist()
        for seed in [(7, 0), (7, 1), (8, 0)]
        for epoch in (0, 1)
    ]
    assert len({tuple(order) for order in orders}) == len(orders)


def test_any_part_of_an_epoch_is_the_same_as_in_the_whole():
    whole = epoch_positions((3,), 2, np.arange(1000), 1000)
    places = np.array([999, 0, 512, 3])
    np.testing.assert_array_equal(epoch_positions((3,), 2, places, 1000), whole[places])


@pytest.mark.parametrize("length", [3, 4, 12])
def test_every_sample_is_equally_likely_at_every_place(length):
    epochs = 4000
    counts = np.zeros((length, length))
    for epoch in range(epochs):
        counts[np.arange(length), epoch_positions((1,), epoch, np.arange(length), length)] += 1
    expected = epochs / length
    statistic = ((counts - expected) ** 2 / expected).sum()
    degrees = (length - 1) ** 2
    assert abs(statistic - degrees) < 5 * np.sqrt(2 * degrees)


def test_neighbors_are_not_correlated():
    order = epoch_positions((5,), 0, np.arange(20000), 20000)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.03


def test_batches_concatenate_to_the_epochs():
    length, batch = 10, 4
    stream = np.concatenate([batch_indices((2,), step, batch, length) for step in range(5)])
    epochs = [epoch_positions((2,), epoch, np.arange(length), length) for epoch in range(2)]
    np.testing.assert_array_equal(stream, np.concatenate(epochs))


def test_a_batch_larger_than_the_set_spans_epochs():
    indices = batch_indices((2,), 0, 7, 3)
    assert sorted(indices[:3]) == [0, 1, 2]
    assert sorted(indices[3:6]) == [0, 1, 2]


def test_the_order_is_the_same_on_every_machine():
    # Frozen: a change here breaks the resumption of every run that is under way.
    assert batch_indices((7, 0), 123456, 6, 62_300_000).tolist() == [
        17212297,
        46610343,
        14755858,
        33552157,
        44015381,
        51164471,
    ]


def test_huge_sets_cost_no_memory():
    indices = batch_indices((7, 1), 480_000, 128, 62_300_000)
    assert len(set(indices.tolist())) == 128
    assert indices.max() < 62_300_000


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="no samples"):
        batch_indices((1,), 0, 4, 0)


def test_steps_cover_the_passes():
    assert steps_of(20, 480, 8) == 1200
    assert steps_of(1, 10, 4) == 3
    assert steps_of(0.5, 10, 4) == 2


def test_every_stage_and_seed_draws_apart():
    drawn = [stage_seed(seed, stage) for seed in range(100) for stage in ("student", "metric nyu", "metric kitti")]
    assert len(set(drawn)) == len(drawn) and all(0 <= one < 2**32 for one in drawn)
    assert stage_seed(7, "student") == stage_seed(7, "student")
