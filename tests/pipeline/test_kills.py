"""Killed at a bad moment and started again, the pipeline ends in the bytes of an undisturbed run.

All of this is slow; the quick one of its tests stands in test_pipeline.py, whose project it shares.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests import processes


def wait_for(condition, process, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def scratch_holds(project, stage, pattern):
    return lambda: any((project.folder / ".work").glob(f"{stage}/*/scratch/**/{pattern}"))


KILLS = [
    ("collect_unlabeled-hills", "*.tar"),
    ("train_teacher", "checkpoint*"),
    ("pseudo_label-hills", "*.tar"),
    ("train_student", "checkpoint*"),
]


def stop_group(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def stop_dvc_alone(process):
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [stop_group, stop_dvc_alone])
def test_killed_in_every_kind_of_stage_it_ends_in_the_same_bytes(project, fresh_project, stop):
    content = (fresh_project.folder / "params.yaml").read_text()
    for stage, pattern in KILLS:
        process = fresh_project.start("dvc", "repro")
        wait_for(scratch_holds(fresh_project, stage, pattern), process)
        stop(process)
    fresh_project.run("dvc", "repro")
    assert (fresh_project.folder / "params.yaml").read_text() == content
    reference = undisturbed(project)
    for model in ("teacher", "student"):
        assert fresh_project.weights(model) == reference[model]
    assert not processes.working_in(fresh_project.folder)


def undisturbed(project):
    """The weights of the session's first, undisturbed run, from the state its own tests left or restored."""
    project.run("git", "checkout", "-q", "params.yaml")
    for path in (project.folder / "data" / "photographs").iterdir():
        if path.name != ".gitignore":
            path.unlink()
    project.run("dvc", "repro")
    return {model: project.weights(model) for model in ("teacher", "student")}
