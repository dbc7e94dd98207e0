"""What all flows share: one at a time in a project, a part of DVC's graph brought up to date, the table at the end.

The graph is read from DVC at run time, so it exists once, and DVC is the only cache. A process is started only for a
stage that DVC would not leave alone.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Annotated, Any

import prefect.runtime
from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed
from prefect.utilities.urls import url_for
from pydantic import Field

from flows import order, stages
from tasks.settings import params
from tasks.workspace import one_stage, preloaded, repair
from tasks.workspace.outs import refuse_unknown_files
from tasks.workspace.repro import Described
from tasks.workspace.work import finished_run

REPORT = Path("reports/index.html")
Workers = Annotated[int, Field(ge=1)]
"""How many stages run at once."""


def finished(
    name: str, described: Mapping[str, Described], chosen: Collection[str], workers: int, keep: Callable[[str], None]
) -> State[dict[str, str]]:
    """Bring the stages `chosen` up to date and keep the results; return the last state of the flow `name`.

    Raises StageFailed when a stage failed.
    """
    graph, states = brought(described, chosen, workers)
    state = conclusion(name, graph, states)
    keep(order_of(graph)[-1])
    return state


def check_project() -> None:
    """Mend what a kill broke; raises UserError for wrong parameters and for files that DVC would delete."""
    params.load()
    for line in repair.mend():
        get_run_logger().info("mended: %s", line)
    refuse_unknown_files(Path.cwd())


def brought(
    described: Mapping[str, Described], chosen: Collection[str], workers: int
) -> tuple[dict[str, list[str]], dict[str, State[str]]]:
    """Bring the stages `chosen` up to date; return their graph and the state of each that was started or left."""
    graph = order.restricted({stage: one.needs for stage, one in described.items()}, chosen)
    url = url_for("flow-run", obj_id=prefect.runtime.flow_run.id) or ""
    with ExitStack() as stack:
        offer = _once(lambda: stack.enter_context(preloaded.offered()))

        def submit(stage: str, needed: list[Any]) -> PrefectFuture[str]:
            if not described[stage].always:  # else a flow with nothing to do would import torch for an inventory
                offer()
            return stages.running_task(stage, described[stage]).submit(stage, url, wait_for=needed)

        def leave(stage: str, needed: list[Any]) -> State[str]:
            return stages.leave_stage.with_options(name=stage)(stage, wait_for=needed, return_state=True)

        stages.start_again()
        always = [stage for stage in graph if described[stage].always]
        do = order.Execution(submit, leave, _first_finished, one_stage.unchanged)
        try:
            ended = order.run_in_order(graph, workers, always, do)
        finally:
            stages.stop_running()
    return graph, {stage: one if isinstance(one, State) else one.state for stage, one in ended.items()}


def _once(do: Callable[[], Any]) -> Callable[[], None]:
    left = [do]
    return lambda: left and left.pop()()


def _first_finished(waiting: list[PrefectFuture[str]]) -> PrefectFuture[str]:
    future = next(as_completed(waiting))
    future.wait()  # until then Prefect asks the server for the state, which may lag behind
    return future


@contextmanager
def alone() -> Iterator[None]:
    """Let one flow run at a time work in this project; a second waits for the first."""
    path = Path(".dvc") / "tmp" / "full-pipeline.lock"
    path.parent.mkdir(exist_ok=True)
    with open(path, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            get_run_logger().info("another flow run is at work in this project; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def conclusion(
    name: str, graph: Mapping[str, Sequence[str]], states: Mapping[str, State[str]]
) -> State[dict[str, str]]:
    """Return the last state of a flow and leave its table as an artifact; raises StageFailed when a stage failed."""
    outcomes = {stage: states[stage].name.lower() if stage in states else "not run" for stage in order_of(graph)}
    create_markdown_artifact(_table(outcomes), key=name)
    failed = [stage for stage, state in states.items() if not state.is_completed()]
    missing = [stage for stage in graph if stage not in states]
    if failed or missing:
        raise stages.StageFailed(f"failed: {', '.join(failed)}; not run: {', '.join(missing) or 'none'}")
    return Completed(message=counted(outcomes), data=outcomes)


def _table(outcomes: Mapping[str, str]) -> str:
    """Return the stages with their outcome and MLflow run as Markdown, and where the report lies."""
    runs = {stage: finished_run(stage) for stage, outcome in outcomes.items() if outcome == "ran"}
    rows = [f"| `{stage}` | {outcome} | {runs.get(stage, '')} |" for stage, outcome in outcomes.items()]
    report = REPORT.resolve()
    link = f"\n[Report]({report.as_uri()}): {report}\n" if report.exists() else ""
    return "\n".join(["| stage | outcome | MLflow run |", "| --- | --- | --- |", *rows, link])


def order_of(graph: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the stages so that each comes after what it waits for."""
    return list(TopologicalSorter(graph).static_order())


def counted(outcomes: Mapping[str, str]) -> str:
    """Return how many stages had which outcome, as in `2 ran, 13 unchanged`."""
    words = list(outcomes.values())
    return ", ".join(f"{words.count(word)} {word}" for word in sorted(set(words)))
