"""The order of stages, without Prefect and DVC."""

from __future__ import annotations

import pytest
from prefect.states import Completed, Failed

from depth_model.errors import UserError
from flows.order import Execution, before, behind, between, restricted, run_in_order

GRAPH = {
    "collect@rooms": ["inventory"],
    "collect@streets": ["inventory"],
    "inventory": [],
    "train": ["collect@rooms", "collect@streets"],
}


class Future:
    def __init__(self, stage, state):
        self.stage, self.state = stage, state


class Stages:
    """Stand in for Prefect and DVC: remember what ran beside what and end in the order of submission."""

    def __init__(self, failing=(), resting=()):
        self.failing, self.resting = failing, set(resting)
        self.submitted, self.left, self.most_at_once, self.needs, self.asked = [], [], 0, {}, []

    def submit(self, stage, needed):
        self.submitted.append(stage)
        self.needs[stage] = [future.stage for future in needed]
        return Future(stage, Failed() if stage in self.failing else Completed())

    def leave(self, stage, needed):
        self.left.append(stage)
        return Future(stage, Completed())

    def first_finished(self, waiting):
        self.most_at_once = max(self.most_at_once, len(waiting))
        return waiting[0]

    def unchanged(self, asked):
        self.asked.append(set(asked))
        return self.resting & set(asked)


def run(graph, workers, failing=(), resting=(), always=()):
    stages = Stages(failing, resting)
    do = Execution(stages.submit, stages.leave, stages.first_finished, stages.unchanged)
    return run_in_order(graph, workers, always, do), stages


def test_every_stage_follows_what_it_waits_for():
    futures, stages = run(GRAPH, workers=1)
    assert stages.submitted == ["inventory", "collect@rooms", "collect@streets", "train"]
    assert stages.needs["train"] == ["collect@rooms", "collect@streets"]
    assert stages.most_at_once == 1
    assert set(futures) == set(GRAPH)


@pytest.mark.parametrize(("workers", "at_once"), [(2, 2), (5, 5), (50, 8)])
def test_branches_run_at_once_up_to_the_bound(workers, at_once):
    graph = {"first": [], **{f"branch{i}": ["first"] for i in range(8)}}
    assert run(graph, workers)[1].most_at_once == at_once


def test_after_a_failure_only_independent_stages_go_on():
    graph = GRAPH | {"report": ["train"], "other": ["collect@streets"]}
    futures, stages = run(graph, 2, failing={"collect@rooms"})
    assert set(stages.submitted) == {"inventory", "collect@rooms", "collect@streets", "other"}
    assert "train" not in futures


def test_what_is_unchanged_is_asked_once_and_starts_nothing():
    rest = {*GRAPH} - {"inventory"}
    _, stages = run(GRAPH, 2, resting=rest, always=["inventory"])
    assert stages.submitted == ["inventory"]
    assert stages.left == ["collect@rooms", "collect@streets", "train"]
    assert stages.asked == [rest]  # and not before the inventory, which may change all of them


class Grown(Stages):
    """An inventory that has found something new in one source."""

    def submit(self, stage, needed):
        self.resting = {"collect@streets", "train"} if stage == "inventory" else set()
        return super().submit(stage, needed)


def test_an_answer_counts_until_a_stage_before_it_runs():
    stages = Grown()
    do = Execution(stages.submit, stages.leave, stages.first_finished, stages.unchanged)
    run_in_order(GRAPH, 2, ["inventory"], do)
    assert stages.submitted == ["inventory", "collect@rooms", "train"]
    assert stages.left == ["collect@streets"]
    assert stages.asked == [{"collect@rooms", "collect@streets", "train"}, {"train"}]


def test_parts_of_the_graph():
    chain = {"a": [], "b": ["a"], "c@x": ["b"], "c@y": ["b"], "d": ["c@x", "c@y"]}
    assert behind(chain, ["b"]) == {"c@x", "c@y", "d"}
    assert before(chain, ["c@x"]) == {"a", "b"}
    assert between(chain, "b", "c") == {"b", "c@x", "c@y"}
    assert between(chain, None, "c@y") == {"a", "b", "c@y"}
    assert between(chain, None, None) == set(chain)
    assert restricted(chain, {"a", "c@x", "d"}) == {"a": [], "c@x": ["a"], "d": ["a", "c@x"]}
    for first, last, says in (("e", None, "no such stage"), ("d", "a", "no stage lies between")):
        with pytest.raises(UserError, match=says):
            between(chain, first, last)
