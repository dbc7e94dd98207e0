"""Finished work is used again, unfinished work is continued, stale work is not touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
import yaml

from depth_model.errors import UserError
from tasks.settings import presets
from tasks.workspace import work
from tasks.workspace.entry import Entry
from tests.processes import wait_for


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "stage.py").write_text("1")
    return tmp_path


def build_text(calls, text="done"):
    def build(workplace):
        calls.append(sorted(path.name for path in workplace.scratch.iterdir()))
        workplace.out().mkdir()
        (workplace.out() / "file.txt").write_text(text)

    return build


def produce(build, project, alpha=0.85):
    code = {"tasks/stage.py": (project / "tasks" / "stage.py").read_text()}
    return work.produce(Entry("stage", {"alpha": alpha}, code=code, outs=("models/out",)), build)


def set_decision(project, repository, decision):
    content = presets.content(repository / "presets" / "demo.yaml")
    content["resume"]["changed_code"] = decision
    (project / "params.yaml").write_text(yaml.safe_dump(content))


def test_finished_work_is_published_again_without_building(project):
    calls = []
    produce(build_text(calls), project)
    work._remove(project / "models" / "out")
    produce(build_text(calls), project)
    assert len(calls) == 1
    assert (project / "models" / "out" / "file.txt").read_text() == "done"


def test_what_a_kill_left_while_publishing_is_removed(project):
    left = project / "models" / ".out.1234567.tmp"
    left.mkdir(parents=True)
    (left / "file.txt").write_text("half")
    produce(build_text([]), project)
    assert [path.name for path in (project / "models").iterdir()] == ["out"]


def test_a_changed_parameter_meets_no_old_state(project):
    calls = []

    def unfinished(workplace):
        (workplace.scratch / "checkpoint").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        produce(unfinished, project)
    produce(build_text(calls), project, alpha=0.7)
    produce(build_text(calls), project, alpha=0.85)
    assert calls == [[], ["checkpoint"]]


def test_changed_code_makes_finished_work_stale(project):
    calls = []
    produce(build_text(calls), project)
    (project / "tasks" / "stage.py").write_text("2")
    produce(build_text(calls), project)
    assert len(calls) == 2


@pytest.mark.parametrize(("decision", "found"), [("accept", ["checkpoint"]), ("restart", [])])
def test_unfinished_work_of_older_code_waits_for_a_decision(project, repository, decision, found):
    calls = []

    def killed(workplace):
        (workplace.scratch / "checkpoint").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        produce(killed, project)
    (project / "tasks" / "stage.py").write_text("2")
    set_decision(project, repository, "stop")
    with pytest.raises(UserError, match=r"resume\.changed_code"):
        produce(build_text(calls), project)
    set_decision(project, repository, decision)
    produce(build_text(calls), project)
    assert calls == [found]


def test_a_missing_out_is_an_error(project):
    with pytest.raises(RuntimeError, match="finished without models/out"):
        produce(lambda workplace: None, project)


def test_only_the_newest_finished_work_is_kept(project):
    folders = []
    for alpha in (0.7, 0.8):
        produce(lambda workplace: (folders.append(workplace.folder), build_text([])(workplace)), project, alpha)
    assert [folder.exists() for folder in folders] == [False, True]
    assert (project / "models" / "out" / "file.txt").exists()


WORKER = """
import sys, time
from pathlib import Path
from tasks.workspace.entry import Entry
from tasks.workspace.work import produce

def build(place):
    Path("building").touch()
    while not Path("go").exists():
        time.sleep(0.02)
    place.out().write_text(sys.argv[1])

produce(Entry("stage", outs=("out",)), build)
"""


def start(repository, word):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), word],
        env=os.environ | {"PYTHONPATH": str(repository)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_start_waits_and_uses_the_result_of_the_first(project, repository):
    first = start(repository, "first")
    wait_for((project / "building").exists, 20)
    second = start(repository, "second")
    line = second.stderr.readline()
    assert f"process {first.pid}" in line
    (project / "go").touch()
    assert first.wait(20) == 0
    assert second.wait(20) == 0
    assert (project / "out").read_text() == "first"


def test_the_lock_of_a_killed_process_is_free(project, repository):
    first = start(repository, "first")
    wait_for((project / "building").exists, 20)
    first.send_signal(signal.SIGKILL)
    first.wait()
    (project / "go").touch()
    assert start(repository, "second").wait(20) == 0
    assert (project / "out").read_text() == "second"
