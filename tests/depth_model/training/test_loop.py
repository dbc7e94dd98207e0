"""The loop learns, stops for a reason, and ends in the same bytes whatever happened on the way."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from depth_model.errors import UserError
from depth_model.training import loop

from .small_run import MACHINE, SETTINGS, STEPS, signaling, small_run, squared_error, write_result

PROGRAM = Path(__file__).with_name("small_run.py")
train = partial(loop.train, machine=MACHINE)


def nothing(step, metrics):
    pass


def weights(model):
    return b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(weights, history.csv) of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run = small_run()
    history = train(run, SETTINGS, folder / "scratch", nothing)
    write_result(run, history, folder)
    return weights(run.model), (folder / "history.csv").read_bytes()


def finish(scratch, folder):
    run = small_run()
    write_result(run, train(run, SETTINGS, scratch, nothing), folder)
    return weights(run.model), (folder / "history.csv").read_bytes()


def start_program(tmp_path, *arguments):
    environment = os.environ | {"PYTHONPATH": str(PROGRAM.parents[3]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), str(tmp_path / "scratch"), str(tmp_path / "out"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, start_new_session=True)


def test_it_learns(tmp_path):
    history = train(small_run(steps=150), SETTINGS, tmp_path, nothing)
    assert history.recent("loss", 15) < 0.2 * history.rows[0][1]


def test_a_loss_that_raises_does_not_change_the_end(tmp_path, undisturbed):
    def failing(model, batch):
        failing.calls += 1
        if failing.calls == 14:
            raise OSError("the disk is gone")
        return squared_error(model, batch)

    failing.calls = 0
    with pytest.raises(OSError, match="the disk is gone"):
        train(small_run(loss=failing), SETTINGS, tmp_path / "scratch", nothing)
    assert finish(tmp_path / "scratch", tmp_path) == undisturbed


@pytest.mark.slow
def test_a_killed_process_does_not_change_the_end(tmp_path, undisturbed):
    killed = start_program(tmp_path, "SIGKILL", "17")
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert finish(tmp_path / "scratch", tmp_path) == undisturbed


@pytest.mark.slow
def test_a_terminated_process_saves_its_step_and_says_so(tmp_path, undisturbed):
    ended = start_program(tmp_path, "SIGTERM", "17")
    assert ended.returncode == 128 + signal.SIGTERM
    assert f"small: stopped after step 18 of {STEPS}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "scratch" / "checkpoint-000000018.pt").exists()
    again = start_program(tmp_path)
    assert f"small: going on after step 18 of {STEPS}" in again.stderr
    assert (tmp_path / "out" / "history.csv").read_bytes() == undisturbed[1]


@pytest.mark.parametrize("name", [pytest.param("SIGTERM", marks=pytest.mark.slow), "SIGINT"])
def test_a_signal_to_the_loader_processes_too_ends_as_cleanly(tmp_path, undisturbed, name):
    ended = start_program(tmp_path, name, "11", "2")
    assert f"small: stopped after step 12 of {STEPS}" in ended.stderr
    assert "DataLoader worker" not in ended.stderr
    assert (tmp_path / "scratch" / "checkpoint-000000012.pt").exists()
    assert finish(tmp_path / "scratch", tmp_path) == undisturbed


def test_an_interrupt_saves_its_step(tmp_path, undisturbed):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(small_run(loss=signaling(signal.SIGINT, 7)), SETTINGS, tmp_path / "scratch", nothing)
    assert signal.getsignal(signal.SIGINT) == handler
    assert (tmp_path / "scratch" / "checkpoint-000000008.pt").exists()
    assert finish(tmp_path / "scratch", tmp_path) == undisturbed


def test_a_truncated_newest_checkpoint_does_not_change_the_end(tmp_path, undisturbed):
    with pytest.raises(KeyboardInterrupt):
        train(small_run(loss=signaling(signal.SIGINT, 12)), SETTINGS, tmp_path / "scratch", nothing)
    newest = tmp_path / "scratch" / "checkpoint-000000013.pt"
    os.truncate(newest, 1000)
    assert finish(tmp_path / "scratch", tmp_path) == undisturbed


def test_a_finished_run_is_not_repeated(tmp_path, undisturbed):
    train(small_run(), SETTINGS, tmp_path, nothing)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert finish(tmp_path, tmp_path / "out") == undisturbed
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_metrics_reach_the_callback_with_rates_and_throughput(tmp_path):
    seen = {}
    train(small_run(), SETTINGS, tmp_path, lambda step, metrics: seen.update({step: metrics}))
    assert list(seen) == list(range(1, STEPS + 1))
    assert seen[1]["learning_rate/encoder"] == pytest.approx(1e-2)
    assert seen[STEPS]["learning_rate/decoder"] == pytest.approx(3e-2 / STEPS)
    assert seen[2]["images_per_second"] > 0
    assert seen[3]["error/root"] == pytest.approx(seen[3]["error"] ** 0.5)
    assert seen[1]["gradient_norm"] > 0


def test_a_gradient_is_clipped_to_the_given_norm(tmp_path):
    run = small_run(steps=1)
    optimizer = torch.optim.SGD([{"params": run.model.parameters(), "base_lr": 1.0, "part": "decoder"}], lr=1.0)
    before = [parameter.detach().clone() for parameter in run.model.parameters()]
    history = train(dataclasses.replace(run, optimizer=optimizer, gradient_clip=0.125), SETTINGS, tmp_path, nothing)
    moved = [(old - new.detach()).square().sum() for old, new in zip(before, run.model.parameters(), strict=True)]
    assert history.last_row()["gradient_norm"] > 0.125
    assert float(sum(moved).sqrt()) == pytest.approx(0.125, rel=1e-4)


def test_bf16_learns_nearly_the_same_with_a_loss_in_fp32(tmp_path):
    dtypes = set()

    def loss(model, batch):
        dtypes.add(model(batch["x"]).dtype)
        error = squared_error(model, batch)
        assert error.dtype == torch.float32
        return error

    runs = {precision: small_run(steps=60, loss=loss) for precision in ("fp32", "bf16")}
    ends = {
        precision: train(run, dataclasses.replace(SETTINGS, precision=precision), tmp_path / precision, nothing).recent(
            "loss", 5
        )
        for precision, run in runs.items()
    }
    assert dtypes == {torch.float32, torch.bfloat16}
    assert ends["bf16"] == pytest.approx(ends["fp32"], rel=0.1)
    assert all(parameter.dtype == torch.float32 for parameter in runs["bf16"].model.parameters())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_in_one_line(tmp_path, bad):
    def loss(model, batch):
        error = squared_error(model, batch)
        at_step_7 = torch.equal(batch["x"], run.make_batch(6)["x"])
        return error * bad if at_step_7 else error

    run = small_run(loss=loss)
    message = r"^small: step 7: loss is (nan|inf).*; the batch: small/6-0, small/6-1,.*lower the"
    with pytest.raises(UserError, match=message):
        train(run, SETTINGS, tmp_path, nothing)
    assert all(torch.isfinite(parameter).all() for parameter in run.model.parameters())


def test_settings_of_the_process_are_left_as_they_were(tmp_path):
    train(small_run(), SETTINGS, tmp_path, nothing)
    assert not torch.are_deterministic_algorithms_enabled()
