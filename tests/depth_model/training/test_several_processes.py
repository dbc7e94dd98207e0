"""The same global batches at one, two and four processes; a lost process ends the job and costs only its last steps."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .small_run import STEPS

PROGRAM = Path(__file__).with_name("small_run.py")
KILLS = [("SIGKILL", 7, rank) for rank in "01"] + [("SIGTERM", 13, "01"), ("SIGTERM", 11, "1")]
EVERY_KILL = [("SIGKILL", step, rank) for step in range(0, STEPS, 2) for rank in "01"]


def start(folder, processes, *signaled, by="0", **more):
    """Run the small training at so many processes; return (exit code, output, seconds)."""
    environment = os.environ | {
        "PYTHONPATH": str(PROGRAM.parents[3]),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "SIGNALED": by,
        **more,
    }
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--rdzv-backend", "c10d"]
    launcher += ["--rdzv-endpoint", "localhost:0", "--local-addr", "localhost"]
    command = [sys.executable, *launcher, str(PROGRAM), str(folder / "scratch"), str(folder / "out"), *signaled]
    begin = time.monotonic()
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150)
    return ended.returncode, ended.stdout + ended.stderr, time.monotonic() - begin


def result(folder):
    return [(folder / "out" / name).read_bytes() for name in ("weights.pt", "history.csv")]


def losses(folder):
    with open(folder / "out" / "history.csv", newline="") as handle:
        return [float(row["loss"]) for row in csv.DictReader(handle)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    code, output, _ = start(folder, 2)
    assert code == 0, output
    return folder


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(undisturbed, tmp_path):
    from .small_run import MACHINE, SETTINGS, small_run, train, write_result

    run = small_run()
    write_result(run, train(run, SETTINGS, tmp_path / "scratch", lambda step, metrics: None, MACHINE), tmp_path / "out")
    assert losses(undisturbed) == pytest.approx(losses(tmp_path), rel=1e-4)


@pytest.mark.slow
def test_two_processes_share_the_measuring_and_keep_what_one_keeps(tmp_path):
    steps, figures = [], []
    for processes in (1, 2):
        code, output, _ = start(tmp_path / str(processes), processes, VALIDATED="yes")
        assert code == 0, output
        steps.append([line.split("kept step ")[1].split(":")[0] for line in output.splitlines() if "kept step" in line])
        with open(tmp_path / str(processes) / "out" / "history.csv", newline="") as handle:
            figures.append([float(row["validation/error"] or "nan") for row in csv.DictReader(handle)])
    assert steps[0] == steps[1] and len(steps[0]) == 1
    assert figures[0] == pytest.approx(figures[1], rel=1e-4, nan_ok=True)


@pytest.mark.slow
def test_four_processes_have_the_loss_curve_of_two(undisturbed, tmp_path):
    code, output, _ = start(tmp_path, 4)
    assert code == 0, output
    assert losses(tmp_path) == pytest.approx(losses(undisturbed), rel=1e-4)


def kill_and_go_on(folder, name, step, rank):
    code, _, seconds = start(folder, 2, name, str(step), by=rank)
    assert code != 0
    assert seconds < 90
    assert not (folder / "out").exists()
    code, again, _ = start(folder, 2)
    assert code == 0, again
    resumed = [line.split(" of ")[0] for line in again.splitlines() if "going on after step" in line]
    return resumed[0].split()[-1] if resumed else "0"


@pytest.mark.slow
def test_a_lost_process_ends_the_job_and_the_next_start_ends_in_the_same_bytes(undisturbed, tmp_path):
    assert kill_and_go_on(tmp_path, "SIGKILL", 13, "1") == "10"
    assert result(tmp_path) == result(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("name, step, rank", KILLS + EVERY_KILL)
def test_kill_matrix_of_two_processes(undisturbed, tmp_path, name, step, rank):
    resumed = kill_and_go_on(tmp_path, name, step, rank)
    print(f"| {name} of process {' and '.join(rank)} in step {step + 1} | {resumed} | yes |")
    assert result(tmp_path) == result(undisturbed)
