"""Averages over intervals, whole across a restart."""

from __future__ import annotations

import csv

import pytest

from depth_model.training.history import History


def test_rows_are_means_over_their_interval():
    history = History(3)
    complete = [history.add(step, {"loss": float(step), "scale": 2.0}) for step in range(1, 8)]
    assert complete == [False, False, True, False, False, True, False]
    assert history.rows == [[3, 2.0, 2.0, 0.0], [6, 5.0, 2.0, 0.0]]
    assert history.last_row() == {"loss": 5.0, "scale": 2.0, "skipped_batches": 0.0}
    assert history.recent("loss", 2) == 3.5
    assert history.recent("loss", 10) == 3.5


def test_a_restart_in_the_middle_of_an_interval_changes_nothing():
    undisturbed, killed = History(4), History(4)
    for step in range(1, 14):
        terms = None if step == 6 else {"loss": 1 / step}
        undisturbed.add(step, terms)
        killed.add(step, terms)
        if step in (6, 7):
            killed = History.of_state(killed.state())
    assert killed.state() == undisturbed.state()


def test_skipped_batches_have_no_part_in_the_averages():
    history = History(2)
    rows = [history.add(step, None if step in (1, 3, 4) else {"loss": float(step)}) for step in range(1, 7)]
    assert rows == [False, True, False, False, False, True]
    assert history.rows == [[2, 2.0, 1.0], [6, 5.5, 2.0]]


def test_the_file_is_read_back_exactly(tmp_path):
    history = History(1)
    history.add(1, {"loss": 1 / 3, "feature_alignment/active_fraction": 0.0})
    history.write(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    zeros = {"feature_alignment/active_fraction": "0.0", "skipped_batches": "0.0"}
    assert rows == [{"step": "1", "loss": repr(1 / 3), **zeros}]


def test_other_terms_than_before_are_refused():
    history = History(1)
    history.add(1, {"loss": 1.0})
    with pytest.raises(ValueError, match=r"changed from \['loss'\] to \['other'\]"):
        history.add(2, {"other": 1.0})
