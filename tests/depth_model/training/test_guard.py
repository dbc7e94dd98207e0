"""Bad batches stop a run or are skipped; an unhealthy model is given up, and its state is never kept."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import pytest
import torch

from depth_model.errors import UserError
from depth_model.training import loop
from depth_model.training.guard import DRIFT, KNOWN, UNHEALTHY_STEPS, WINDOW, Guard, shown
from depth_model.training.resume import newest_checkpoint, read_checkpoint

from .small_run import MACHINE, SETTINGS, make_batch, small_run, squared_error

train = partial(loop.train, machine=MACHINE)
SKIPPING = dataclasses.replace(SETTINGS, bad_batch="skip", largest_skips=2)


def nothing(step, metrics):
    pass


def planted(*steps, value=float("nan")):
    def spoiled(step, share):
        batch = make_batch(step, share)
        if step in steps:
            batch["nested"]["y"][0] = value
        return batch

    return spoiled


def test_a_planted_nan_stops_with_the_keys_and_the_last_good_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"step 12: loss is nan, error is nan.*small/11-0.*bad_batch: skip"):
        train(small_run(make_batch=planted(11)), SETTINGS, tmp_path, nothing)
    kept = read_checkpoint(newest_checkpoint(tmp_path))
    assert kept["finished"] == 10
    assert all(torch.isfinite(weight).all() for weight in kept["model"].values())


def test_no_checkpoint_is_written_before_a_batch_has_tried_it(tmp_path):
    with pytest.raises(UserError, match="step 11: loss is"):
        train(small_run(make_batch=planted(10)), SETTINGS, tmp_path, nothing)
    assert read_checkpoint(newest_checkpoint(tmp_path))["finished"] == 5


def test_a_bad_batch_is_skipped_and_counted(tmp_path, capsys):
    seen = {}
    run = small_run(make_batch=planted(6, 13))
    history = train(run, SKIPPING, tmp_path, lambda step, metrics: seen.update({step: metrics}))
    assert [row[0] for row in history.rows] == [step for step in range(1, 24) if step not in (7, 14)]
    assert sum(row[-1] for row in history.rows) == 2
    assert seen[8]["skipped_batches"] == seen[15]["skipped_batches"] == 1
    assert all(torch.isfinite(parameter).all() for parameter in run.model.parameters())
    assert "the batch: small/6-0, small/6-1" in capsys.readouterr().err


def test_skips_are_limited(tmp_path):
    with pytest.raises(UserError, match=r"step 10: .*training.largest_skips = 2 is used up"):
        train(small_run(make_batch=planted(3, 5, 9, 12)), SKIPPING, tmp_path, nothing)


def test_killed_after_a_skip_it_ends_in_the_same_bytes(tmp_path):
    def ended(scratch, killed_at=None):
        def killer(step, metrics):
            if step == killed_at:
                raise OSError("killed")

        run = small_run(make_batch=planted(6, 13))
        history = train(run, SKIPPING, scratch, killer)
        return [parameter.tolist() for parameter in run.model.parameters()], history.state()

    undisturbed = ended(tmp_path / "undisturbed")
    with pytest.raises(OSError, match="killed"):
        ended(tmp_path / "killed", 18)
    assert ended(tmp_path / "killed") == undisturbed


def test_an_exploding_loss_stops(tmp_path):
    with pytest.raises(UserError, match=r"step 22: loss is .*, usual is .*small/21-0"):
        train(small_run(make_batch=planted(21, value=1e4)), SETTINGS, tmp_path, nothing)


def test_an_unhealthy_model_is_given_up_in_time_and_not_kept(tmp_path):
    seen = []
    run = small_run(steps=60, unhealthy=lambda found: "the last ReLU is dead" if len(seen) >= 12 else "")
    message = "^small: the last ReLU is dead since step 13, the batch: small/12-0"
    with pytest.raises(UserError, match=message):
        train(run, SETTINGS, tmp_path, lambda step, metrics: seen.append(step))
    assert seen[-1] < 13 + UNHEALTHY_STEPS
    assert read_checkpoint(newest_checkpoint(tmp_path))["finished"] == 10


def test_a_loss_that_drifts_away_is_unhealthy():
    guard = Guard("small", "stop", 0)
    for step in range(WINDOW):
        guard.take(step, 1.0, guard.trouble(""), list)
    assert guard.trouble("") == ""
    for step in range(WINDOW):
        guard.take(step, DRIFT + 0.1, "", list)
    assert guard.trouble("") == "the loss has grown from 1 to 5.1"


def test_a_jump_is_one_only_when_the_usual_level_is_known():
    guard = Guard("small", "stop", 0)
    for step in range(KNOWN):
        assert guard.fault({"loss": 1e6}) == ""
        guard.take(step, 1.0, "", list)
    assert guard.fault({"loss": 99.0}) == ""
    assert guard.fault({"loss": 101.0}) == "loss is 101, usual is 1"


def test_long_lists_of_keys_are_cut():
    assert shown([f"a/{number}" for number in range(14)]).endswith("a/11 and 2 more")


def test_a_full_disk_is_one_line_and_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    def no_space(state, handle):  # writing to /dev/full fails as writing to a full disk does
        Path("/dev/full").write_bytes(b"state")

    def fill_the_disk(step, metrics):
        if step == 8:
            monkeypatch.setattr(torch, "save", no_space)

    with pytest.raises(UserError, match=r"checkpoint after step 10 cannot.*No space left on device") as failed:
        train(small_run(), SETTINGS, tmp_path, fill_the_disk)
    assert "\n" not in str(failed.value)
    assert read_checkpoint(newest_checkpoint(tmp_path))["finished"] == 5


def test_the_average_of_the_weights_is_that_by_hand(tmp_path):
    weights, decay = [], 0.9

    def loss(model, batch):
        weights.append(model.decoder.weight.detach().clone())
        return squared_error(model, batch)

    run = small_run(loss=loss, ema=decay, steps=8)
    train(run, SETTINGS, tmp_path / "long", nothing)
    # The weights after step n are those that step n + 1 sees; the average starts with the first.
    last = read_checkpoint(newest_checkpoint(tmp_path / "long"))["model"]["decoder.weight"]
    expected = weights[1]
    for one in [*weights[2:], last]:
        expected = decay * expected + (1 - decay) * one
    torch.testing.assert_close(run.model.decoder.weight.detach(), expected)
