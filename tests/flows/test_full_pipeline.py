"""The parts of the flow without a server: the graph, one stage under the real DVC, what is unchanged, stopping."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.states import Failed

from depth_model.errors import CAN_PASS
from flows import running, stages
from flows.stages import StageFailed, execute
from tasks.workspace import one_stage
from tasks.workspace.repro import stage_graph
from tests.processes import lives, wait_for

TOY_GRAPH = {
    "collect@rooms": ["inventory"],
    "collect@streets": ["inventory"],
    "inventory": [],
    "train": ["collect@rooms", "collect@streets"],
}


def append_stage(folder, name, command, deps="[]"):
    with open(folder / "dvc.yaml", "a") as handle:
        handle.write(f"  {name}:\n    cmd: {json.dumps(command)}\n    deps: {deps}\n")


def test_the_graph_is_that_of_dvc(toy):
    assert stage_graph() == TOY_GRAPH


def test_data_tracked_by_dvc_is_no_task(toy):
    (toy / "photographs.tar").write_text("x")
    subprocess.run(["dvc", "add", "-q", "photographs.tar"], check=True)
    append_stage(toy, "unpack", "cat photographs.tar", "[photographs.tar]")
    assert stage_graph() == TOY_GRAPH | {"unpack": []}


def test_the_graph_of_this_repository_puts_the_student_after_the_pseudo_labels(repository, monkeypatch):
    monkeypatch.chdir(repository)
    graph = stage_graph()
    order = running.order_of(graph)
    assert order.index("export@nyu") < order.index("inventory") < order.index("collect_labeled@rooms")
    assert order.index("train_teacher") < order.index("pseudo_label@hills") < order.index("train_student")
    assert all(needed in graph for needs in graph.values() for needed in needs)


def test_a_stage_tells_whether_it_ran_was_unchanged_or_restored(toy):
    lines = []
    assert execute("inventory", "http://server/runs/1", lines.append)["outcome"] == "ran"
    assert "listed" in lines
    assert (toy / "url.txt").read_text() == "http://server/runs/1"
    assert execute("collect@rooms", "", lines.append)["outcome"] == "ran"
    assert execute("collect@rooms", "", lines.append)["outcome"] == "unchanged"
    assert execute("inventory", "", lines.append)["outcome"] == "ran"
    (toy / "rooms.txt").unlink()
    (toy / "dvc.lock").unlink()
    assert execute("collect@rooms", "", lines.append)["outcome"] == "restored"
    assert (toy / "rooms.txt").read_text() == "one\n"
    assert not (toy / "streets.txt").exists()


def test_a_failing_stage_shows_its_last_lines_and_is_not_tried_again(toy):
    append_stage(toy, "broken", "echo 'error: alpha = 2 is too large' && exit 1")
    with pytest.raises(StageFailed, match="alpha = 2 is too large") as caught:
        execute("broken", "", lambda line: None)
    assert not caught.value.can_pass
    assert not stages.worth_another_try(None, None, Failed(data=caught.value))


def test_a_stage_killed_by_the_kernel_is_tried_again(toy):
    append_stage(toy, "hungry", "kill -9 $$")
    with pytest.raises(StageFailed) as caught:
        execute("hungry", "", lambda line: None)
    assert caught.value.can_pass
    assert stages.worth_another_try(None, None, Failed(data=caught.value))


def test_a_stage_that_says_it_may_pass_is_tried_again(toy):
    append_stage(toy, "away", f"exit {CAN_PASS}")
    with pytest.raises(StageFailed) as caught:
        execute("away", "", lambda line: None)
    assert stages.worth_another_try(None, None, Failed(data=caught.value))


def test_unchanged_is_what_dvc_would_leave_alone(toy):
    everything = {*TOY_GRAPH}
    assert one_stage.unchanged(everything) == set()
    subprocess.run(["dvc", "repro", "-q"], check=True)
    assert one_stage.unchanged(everything) == everything - {"inventory"}
    assert one_stage.unchanged({"train"}) == {"train"}
    (toy / "rooms.txt").write_text("two")
    assert one_stage.unchanged(everything) == {"collect@streets"}
    (toy / "rooms.txt").write_text("one\n")
    graph = toy / "dvc.yaml"
    graph.write_text(graph.read_text().replace("cat rooms.txt streets.txt", "cat streets.txt rooms.txt"))
    assert one_stage.unchanged(everything) == {"collect@rooms", "collect@streets"}


def test_it_waits_while_another_dvc_works_on_the_same_files(toy, monkeypatch):
    monkeypatch.setattr(stages, "_BUSY_SECONDS", 0.2)
    append_stage(toy, "slow", "sleep 60", "[inventory.txt]")
    execute("inventory", "", lambda line: None)
    other = subprocess.Popen(["dvc", "repro", "--single-item", "slow"], start_new_session=True)
    lines = []

    def log(line):
        lines.append(line)
        if "waiting for the process named above" in line and other.poll() is None:
            os.killpg(other.pid, 9)
            other.wait()

    locks = toy / ".dvc" / "tmp" / "rwlock"
    wait_for(lambda: locks.exists() and "inventory" in locks.read_text(), 30)
    assert execute("inventory", "", log)["outcome"] == "ran"
    assert any(f"(PID {other.pid})" in line for line in lines)
    assert other.returncode is not None


@contextmanager
def running_stage(toy, name):
    """The pid of the stage's own process and the errors its thread ended with, while another thread runs it."""
    raised = []

    def run():
        try:
            execute(name, "", lambda line: None)
        except StageFailed as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    pid = toy / "pid.txt"
    try:
        wait_for(lambda: pid.exists() and pid.read_text().strip(), 30)
        yield int(pid.read_text()), raised
        thread.join(timeout=20)
        assert not thread.is_alive()
    finally:
        stages.stop_running(grace=0)
        stages._stopping.clear()


def test_stopping_ends_dvc_and_what_it_started(toy):
    append_stage(toy, "long", "sh -c 'echo $$ > pid.txt; sleep 300' ; true")
    with running_stage(toy, "long") as (pid, raised):
        stages.stop_running(grace=5)
        wait_for(lambda: not lives(pid), 5)
        wait_for(lambda: raised, 5)
        assert not raised[0].can_pass
        with pytest.raises(StageFailed, match="being stopped"):
            execute("inventory", "", lambda line: None)


def test_a_stage_that_ignores_the_polite_signal_is_killed(toy):
    append_stage(toy, "deaf", """sh -c 'trap "" TERM; echo $$ > pid.txt; while true; do sleep 1; done'""")
    with running_stage(toy, "deaf") as (pid, _):
        stages.stop_running(grace=1)
        wait_for(lambda: not lives(pid), 5)


def test_the_environment_puts_this_interpreter_first(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("TQDM_MININTERVAL", "5")
    environment = stages.stage_environment("http://server/runs/1")
    found = subprocess.run(
        ["sh", "-c", "command -v python"], env=environment, capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()).parent == Path(sys.executable).parent
    assert environment["FLOW_RUN_URL"] == "http://server/runs/1"
    assert environment["TQDM_MININTERVAL"] == "5"


def test_the_summary_counts_outcomes():
    assert running.counted({"a": "unchanged", "b": "ran", "c": "unchanged"}) == "1 ran, 2 unchanged"
