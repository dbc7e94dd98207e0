"""The flow `full-pipeline`: every stage of dvc.yaml as one Prefect task, in the order of DVC's own graph.

The graph is read from DVC at run time, so it exists once. DVC is also the only cache: each task runs
`dvc repro --single-item` on its stage, and says whether the stage ran, was restored or had not changed. Prefect
adds what DVC lacks: parallel branches, retries, logs and states per stage, schedules.
"""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Annotated, Any

import prefect.runtime
from prefect import Task, flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed
from prefect.utilities.urls import url_for
from pydantic import Field

from depth_model.errors import UserError
from depth_model.shown import printable
from flows import access
from tasks.settings import params
from tasks.tracking.mlflow_runs import FLOW_RUN_URL
from tasks.workspace import preloaded, repair
from tasks.workspace.outs import refuse_unknown_files
from tasks.workspace.repro import GRACE_SECONDS, OUTCOMES, end_groups, environment, stage_graph

_BUSY = "is busy, it is being blocked by"
_KILLED = re.compile(r"exited with (-9|137)\b")  # by the kernel, for memory, as a rule
_BUSY_SECONDS = 30.0
_TAIL_LINES = 30

_running: set[subprocess.Popen[str]] = set()
_stopping = threading.Event()


class StageFailed(UserError):
    """DVC ended a stage with an error; `killed` tells whether the stage was killed rather than wrong."""

    def __init__(self, message: str, killed: bool = False) -> None:
        super().__init__(message)
        self.killed = killed


def stage_command(stage: str) -> list[str]:
    """Return the command that brings one stage up to date and touches no other."""
    return [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]


def stage_environment(flow_run_url: str) -> dict[str, str]:
    """Return the environment of a stage: that of every stage, fewer bars of progress, the flow run's page."""
    given = {name: value for name, value in environment().items() if name not in (access.SERVER, access.CLIENT)}
    return {"TQDM_MININTERVAL": "30"} | given | {FLOW_RUN_URL: flow_run_url}


def execute(stage: str, flow_run_url: str, log: Callable[[str], None]) -> str:
    """Bring one stage up to date, each line of output to `log`; return the outcome, a key of OUTCOMES.

    Waits as long as another DVC process works on the same files, such as one that outlived a killed flow run.
    Raises StageFailed with the last lines of output when DVC ends with an error.
    """
    while not _stopping.is_set():
        for line in repair.mend():
            log(f"mended: {line}")
        code, outcome, output = _attempt(stage, flow_run_url, log)
        if code == 0:
            return outcome
        if _BUSY not in output:
            killed = code == -signal.SIGKILL or _KILLED.search(output) is not None
            raise StageFailed(f"{stage}: dvc repro ended with {code}\n{output}", killed)
        log(f"{stage}: waiting for the process named above")
        _stopping.wait(_BUSY_SECONDS)
    raise StageFailed(f"{stage}: the flow is being stopped")


def _attempt(stage: str, flow_run_url: str, log: Callable[[str], None]) -> tuple[int, str, str]:
    """Return DVC's exit code, the outcome and the last lines of output."""
    outcome, tail = "finished", deque[str](maxlen=_TAIL_LINES)
    with _process(stage_command(stage), stage_environment(flow_run_url)) as process:
        for line in process.stdout:
            text = printable(line.rstrip())
            if text:
                log(text)
                tail.append(text)
                outcome = next((name for name, says in OUTCOMES.items() if says.format(stage=stage) in text), outcome)
        code = process.wait()
    return code, outcome, "\n".join(tail)


@contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Start a command at the head of its own process group, known to `stop_running` while it lives."""
    process = subprocess.Popen(
        command,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    _running.add(process)
    try:
        yield process
    finally:
        _running.discard(process)


def stop_running(grace: float = GRACE_SECONDS) -> None:
    """End every running stage with the whole of its process group: SIGTERM, after `grace` seconds SIGKILL."""
    _stopping.set()
    end_groups(list(_running), grace)


def _worth_another_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageFailed) and error.killed and not _stopping.is_set()


@task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=30, retry_condition_fn=_worth_another_try)
def run_stage(stage: str, flow_run_url: str) -> State[str]:
    """Run one stage; the state is called Ran, Restored or Unchanged and its result is that word."""
    outcome = execute(stage, flow_run_url, get_run_logger().info)
    return Completed(name=outcome.capitalize(), message=f"{stage}: {outcome}", data=outcome)


Submit = Callable[[str, list[Any]], Any]


def run_in_order(
    graph: Mapping[str, Sequence[str]], workers: int, submit: Submit, first_finished: Callable[[list[Any]], Any]
) -> dict[str, Any]:
    """Submit every stage once all it waits for are completed, `workers` at a time; return the futures by stage.

    Prefect's own `wait_for` would let waiting tasks fill the places of those that could run. When a stage
    fails, what depends on it is not started, and independent branches go on.
    """
    order = TopologicalSorter(graph)
    order.prepare()
    ready, running, futures = deque[str](), {}, {}
    while order.is_active():
        ready.extend(sorted(order.get_ready()))
        while ready and len(running) < workers:
            stage = ready.popleft()
            futures[stage] = submit(stage, [futures[needed] for needed in graph[stage]])
            running[futures[stage]] = stage
        if not running:
            break
        finished = first_finished(list(running))
        stage = running.pop(finished)
        if finished.state.is_completed():
            order.done(stage)
    return futures


def _first_finished(waiting: list[PrefectFuture[str]]) -> PrefectFuture[str]:
    future = next(as_completed(waiting))
    future.wait()  # until then Prefect asks the server for the state, which may lag behind
    return future


@contextmanager
def _alone() -> Iterator[None]:
    """Let one flow run at a time work in this project; a second waits for the first."""
    path = Path(".dvc") / "tmp" / "full-pipeline.lock"
    path.parent.mkdir(exist_ok=True)
    with open(path, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            get_run_logger().info("another run of full-pipeline is at work in this project; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@flow(name="full-pipeline")
def full_pipeline(workers: Annotated[int, Field(ge=1)] = 2) -> State[dict[str, str]]:
    """Bring the whole pipeline up to date, at most `workers` stages at a time.

    The result is the outcome of each stage. Raises UserError before anything runs when params.yaml is wrong,
    and StageFailed when a stage failed, naming what therefore did not run.
    """
    params.load()
    for line in repair.mend():
        get_run_logger().info("mended: %s", line)
    refuse_unknown_files(Path.cwd())
    graph = stage_graph()
    url = url_for("flow-run", obj_id=prefect.runtime.flow_run.id) or ""

    def submit(stage: str, needed: list[PrefectFuture[str]]) -> PrefectFuture[str]:
        return run_stage.with_options(name=stage).submit(stage, url, wait_for=needed)

    with _alone(), preloaded.offered():
        _stopping.clear()
        try:
            futures = run_in_order(graph, workers, submit, _first_finished)
        finally:
            stop_running()
    return _conclusion(graph, {stage: future.state for stage, future in futures.items()})


def _conclusion(graph: Mapping[str, Sequence[str]], states: Mapping[str, State[str]]) -> State[dict[str, str]]:
    outcomes = {stage: states[stage].name.lower() if stage in states else "not run" for stage in order_of(graph)}
    table = "\n".join(f"| `{stage}` | {outcome} |" for stage, outcome in outcomes.items())
    create_markdown_artifact(f"| stage | outcome |\n| --- | --- |\n{table}\n", key="full-pipeline")
    for stage, outcome in outcomes.items():
        get_run_logger().info("%s: %s", stage, outcome)
    failed = [stage for stage, state in states.items() if not state.is_completed()]
    missing = [stage for stage in graph if stage not in states]
    if failed or missing:
        raise StageFailed(f"failed: {', '.join(failed)}; not run: {', '.join(missing) or 'none'}")
    return Completed(message=counted(outcomes), data=outcomes)


def order_of(graph: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the stages so that each comes after what it waits for."""
    return list(TopologicalSorter(graph).static_order())


def counted(outcomes: Mapping[str, str]) -> str:
    """Return how many stages had which outcome, as in `2 ran, 13 unchanged`."""
    words = list(outcomes.values())
    return ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words)))
