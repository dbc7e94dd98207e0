"""The order of stages: which run now, how many at once, and which DVC would leave alone.

Knows neither Prefect nor DVC: what submits a stage, and what asks whether one is unchanged, is given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from depth_model.errors import UserError

Graph = Mapping[str, Sequence[str]]
"""The stages that each stage waits for."""


@dataclass(frozen=True)
class Execution:
    """What is done with a stage: `submit` starts one and `leave` says that one is unchanged, both given what the stages
    waited for returned; `first_finished` waits for one of the started; `unchanged` says which of many rest."""

    submit: Callable[[str, list[Any]], Any]
    leave: Callable[[str, list[Any]], Any]
    first_finished: Callable[[list[Any]], Any]
    unchanged: Callable[[Collection[str]], set[str]]


def run_in_order(graph: Graph, workers: int, always: Collection[str], do: Execution) -> dict[str, Any]:
    """Submit every stage once all it waits for are completed, `workers` at a time; return what was given for each.

    Prefect's own `wait_for` would let waiting tasks fill the places of those that could run. When a stage
    fails, what depends on it is not started, and independent branches go on. Stages in `always` are never left alone.
    """
    order = TopologicalSorter(graph)
    order.prepare()
    ready, running, ended = deque[str](), {}, {}
    rests = _Rests(graph, do.unchanged, {one: False for one in always})
    while order.is_active():
        found = sorted(order.get_ready())
        left = [stage for stage in found if rests.told(stage, running.values())]
        for stage in left:
            ended[stage] = do.leave(stage, [ended[needed] for needed in graph[stage]])
            order.done(stage)
        ready.extend(stage for stage in found if stage not in left)
        if left:
            continue
        while ready and len(running) < workers:
            stage = ready.popleft()
            ended[stage] = do.submit(stage, [ended[needed] for needed in graph[stage]])
            running[ended[stage]] = stage
        if not running:
            break
        finished = do.first_finished(list(running))
        stage = running.pop(finished)
        rests.forget_behind(stage)
        if finished.state.is_completed():
            order.done(stage)
    return ended


@dataclass
class _Rests:
    """Which stages are unchanged: asked for many at once, since DVC reads the whole graph for each question.

    An answer counts until a stage before it runs. What stands behind a stage that will run is not asked for.
    """

    graph: Graph
    ask: Callable[[Collection[str]], set[str]]
    known: dict[str, bool]
    settled: set[str] = field(default_factory=set)

    def told(self, stage: str, running: Iterable[str]) -> bool:
        if stage not in self.known:
            moving = {*running, *(one for one, rests in self.known.items() if not rests)} - self.settled
            open_ones = self.graph.keys() - self.known.keys() - self.settled - behind(self.graph, moving)
            rest = self.ask(open_ones)
            self.known |= {one: one in rest for one in open_ones}
        if self.known[stage]:
            self.settled.add(stage)
        return self.known[stage]

    def forget_behind(self, stage: str) -> None:
        self.settled.add(stage)
        for one in behind(self.graph, [stage]) - self.settled:
            self.known.pop(one, None)


def behind(graph: Graph, stages: Iterable[str]) -> set[str]:
    """Return all that waits for one of `stages`, directly or not; without those themselves."""
    found = set[str]()
    given = set(stages)
    for stage in TopologicalSorter(graph).static_order():
        if not (found | given).isdisjoint(graph.get(stage, ())):
            found.add(stage)
    return found - given


def before(graph: Graph, stages: Iterable[str]) -> set[str]:
    """Return all that `stages` wait for, directly or not; without those themselves."""
    given = set(stages)
    found, open_ones = set[str](), deque(given)
    while open_ones:
        new = set(graph.get(open_ones.popleft(), ())) - found
        found |= new
        open_ones.extend(new)
    return found - given


def restricted(graph: Graph, chosen: Collection[str]) -> dict[str, list[str]]:
    """Return the graph of the stages `chosen` alone; each waits for the nearest of them on every way to it."""
    return {stage: sorted(_nearest(graph, stage, chosen)) for stage in graph if stage in chosen}


def _nearest(graph: Graph, stage: str, chosen: Collection[str]) -> set[str]:
    seen, open_ones = set[str](), deque(graph[stage])
    while open_ones:
        one = open_ones.popleft()
        if one not in seen:
            seen.add(one)
            open_ones.extend(() if one in chosen else graph[one])
    return seen & set(chosen)


def between(graph: Graph, first: str | None, last: str | None) -> set[str]:
    """Return the stages from `first` to `last`, each a stage or a name that stands before `@`; None is no bound.

    Raises UserError for a stage that is not there, and when nothing lies between.
    """
    chosen = set(graph)
    if first:
        chosen &= (start := named(graph, first)) | behind(graph, start)
    if last:
        chosen &= (end := named(graph, last)) | before(graph, end)
    if not chosen:
        raise UserError(f"from {first} to {last}: no stage lies between; 'dvc dag' shows the order")
    return chosen


def named(graph: Graph, name: str) -> set[str]:
    """Return the stages called `name`, with any key where it has none; raises UserError when there is none."""
    found = {stage for stage in graph if name in (stage, stage.partition("@")[0])}
    if not found:
        raise UserError(f"{name}: there is no such stage; 'dvc stage list' names them")
    return found
