"""One stage of dvc.yaml as a Prefect task: a process group of its own, its log, its outcome, retries.

Which stages there are, and in which order they run, is not said here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import Task, get_run_logger, task
from prefect.assets import add_asset_metadata, materialize
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed
from prefect.tasks import exponential_backoff

from depth_model import files
from depth_model.errors import UserError
from depth_model.shown import printable
from flows import access, notify
from tasks.tracking.mlflow_runs import FLOW_RUN_URL
from tasks.workspace import one_stage, repair
from tasks.workspace.repro import GRACE_SECONDS, Described, end_groups, environment
from tasks.workspace.work import finished_run

SECRETS = (access.SERVER, access.CLIENT, notify.WEBHOOK)
"""What a flow knows from its environment and no stage needs."""
_BUSY_SECONDS = 30.0
_TAIL_LINES = 30

_running: set[subprocess.Popen[str]] = set()
_stopping = threading.Event()


class StageFailed(UserError):
    """DVC ended a stage with an error; `can_pass` tells whether the same may succeed when it is done again."""

    def __init__(self, message: str, can_pass: bool = False) -> None:
        super().__init__(message)
        self.can_pass = can_pass


def stage_command(stage: str, descriptor: int) -> list[str]:
    """Return the command that brings one stage up to date, touches no other, and tells `descriptor` the outcome."""
    return [sys.executable, "-m", one_stage.__name__, stage, str(descriptor)]


def stage_environment(flow_run_url: str) -> dict[str, str]:
    """Return the environment of a stage: that of every stage, fewer bars of progress, the flow run's page."""
    given = {name: value for name, value in environment().items() if name not in SECRETS}
    return {"TQDM_MININTERVAL": "30"} | given | {FLOW_RUN_URL: flow_run_url}


def execute(stage: str, flow_run_url: str, log: Callable[[str], None]) -> one_stage.Outcome:
    """Bring one stage up to date, each line of output to `log`; return what became of it.

    Waits as long as another DVC process works on the same files, such as one that outlived a killed flow run.
    Raises StageFailed with the last lines of output when DVC ends with an error.
    """
    while not _stopping.is_set():
        for line in repair.mend():
            log(f"mended: {line}")
        told, output = _attempt(stage, stage_environment(flow_run_url), log)
        if told["outcome"] == "failed":
            message = f"{stage}: ended with {told['status']}\n{output}"
            raise StageFailed(message, one_stage.can_pass(told["status"]))
        if told["outcome"] != "busy":
            return told
        log(f"{stage}: waiting for the process named above")
        _stopping.wait(_BUSY_SECONDS)
    raise StageFailed(f"{stage}: the flow is being stopped")


def _attempt(stage: str, variables: Mapping[str, str], log: Callable[[str], None]) -> tuple[one_stage.Outcome, str]:
    """Return what became of the stage and the last lines of output."""
    reader, writer = os.pipe()
    with open(reader, "rb") as answer:
        try:
            code, output = streamed(stage_command(stage, writer), variables, log, [writer])
        finally:
            os.close(writer)
        told = answer.read()
    return files.parsed_json(told) if told else {"outcome": "failed", "status": code, "outs": {}}, output


def streamed(
    command: Sequence[str], variables: Mapping[str, str], log: Callable[[str], None], descriptors: Sequence[int] = ()
) -> tuple[int, str]:
    """Run a command at the head of its own process group, which `stop_running` ends; return its exit code and its last
    lines. Every line goes to `log`, and `descriptors` stay open in it."""
    process = subprocess.Popen(
        command,
        env=dict(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        pass_fds=descriptors,
    )
    _running.add(process)
    tail = deque[str](maxlen=_TAIL_LINES)
    try:
        for line in process.stdout:
            if text := printable(line.rstrip()):
                log(text)
                tail.append(text)
        return process.wait(), "\n".join(tail)
    finally:
        _running.discard(process)


def stop_running(grace: float = GRACE_SECONDS) -> None:
    """End every running stage with the whole of its process group: SIGTERM, after `grace` seconds SIGKILL."""
    _stopping.set()
    end_groups(list(_running), grace)


def start_again() -> None:
    """Let stages run again after `stop_running`."""
    _stopping.clear()


def worth_another_try(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether a stage failed by what can pass, and nobody wants it to stop."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageFailed) and error.can_pass and not _stopping.is_set()


def asset(path: str) -> str:
    """Return the key of the asset that an out of the project in the current folder is."""
    return f"dvc://{Path.cwd().name}/{path}"


@materialize(
    "dvc://none",  # each stage has its own, by with_options
    by="dvc",
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=exponential_backoff(30),
    retry_condition_fn=worth_another_try,
)
def run_stage(stage: str, flow_run_url: str) -> State[str]:
    """Run one stage; the state is called Ran, Restored or Unchanged and its result is that word.

    What it makes are assets, with the version of the data and the MLflow run that it comes from.
    """
    told = execute(stage, flow_run_url, get_run_logger().info)
    run = finished_run(stage) if told["outcome"] == "ran" else ""
    for path, digest in told["outs"].items():
        add_asset_metadata(asset(path), {"md5": digest, "stage": stage} | ({"mlflow_run": run} if run else {}))
    return _ended(stage, told["outcome"])


def running_task(stage: str, described: Described) -> Task[..., State[str]]:
    """Return `run_stage` under the name of a stage, with the data that it reads and makes as assets."""
    made, read = map(asset, described.makes), map(asset, described.reads)
    return run_stage.with_options(name=stage, assets=list(made), asset_deps=list(read))


@task(cache_policy=NO_CACHE)
def leave_stage(stage: str) -> State[str]:
    """Say that a stage is unchanged."""
    return _ended(stage, "unchanged")


def _ended(stage: str, outcome: str) -> State[str]:
    return Completed(name=outcome.capitalize(), message=f"{stage}: {outcome}", data=outcome)
