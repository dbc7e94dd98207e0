"""The flow `data-engine`: what is new in watched sources is collected, checked, audited and labeled, night by night.

Teacher and student stay as they are until enough images are new; then the rest of the pipeline trains a challenger,
which `summarise` compares with the champion. What a night costs is about the share that is new: finished shards and
labels are taken over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from pydantic import Field

from depth_model import files
from flows import experiment
from flows.notify import HOOKS
from flows.running import Workers, alone, check_project, finished
from tasks.gate import statistics
from tasks.settings import params
from tasks.workspace.entry import recorded
from tasks.workspace.paths import AUDITED, TEACHER, catalog_path, statistics_path
from tasks.workspace.repro import stages

STAGES = (
    "export",
    "inventory",
    *(f"collect_{role}" for role in params.ROLES),
    "validate",
    "audit",
    "sky_mask",
    "validate_sky",
    "pseudo_label",
    "validate_pseudo",
)
LABELING = STAGES[-2:]
"""What needs a teacher: left out of the first night, which has none yet."""


class Growth(NamedTuple):
    """How many images a model has learned from, and how many are new since: 0 or more of each."""

    learned: int
    new: int

    def reaches(self, share: float) -> bool:
        """Return whether the new images are at least this share of those learned from; so are any when none were."""
        return self.new > 0 and self.new >= share * self.learned


@flow(name="data-engine", **HOOKS)
def data_engine(workers: Workers = 2, train_at: Annotated[float, Field(ge=0)] | None = 0.1) -> State[dict[str, str]]:
    """Bring the data up to date, at most `workers` stages at a time, and report what is new and what has drifted.

    When new images are `train_at` of those that the student learned from (None: never), the whole pipeline follows.
    Returns and raises as full-pipeline does.
    """
    with alone(), experiment.parameters(None, (), None) as keep:
        check_project()
        described = stages()
        known = STAGES if TEACHER.exists() else STAGES[: -len(LABELING)]
        chosen = {stage for stage in described if stage.partition("@")[0] in known}
        state = finished("data-engine", described, chosen, workers, keep)
        found = growth(*(_samples(role) for role in AUDITED))
        news = [f"{found.new} images are new since the student learned from {found.learned}", *drifted()]
        create_markdown_artifact("\n".join(f"- {line}" for line in news), key="data-engine-news")
        for line in news:
            get_run_logger().info("%s", line)
        if train_at is None or not found.reaches(train_at):
            return state
        return finished("challenger", described, described, workers, keep)


Samples = tuple[Mapping[str, Any], Mapping[str, Any]]


def _samples(role: str) -> Samples:
    """Return the catalog of `role` that the student learned from and the one that there is now."""
    before = recorded("train_student", str(catalog_path(role)))
    return json.loads(before) if before else {}, files.read_json(catalog_path(role))


def growth(*catalogs: Samples) -> Growth:
    """Return what is new between pairs of catalogs, source by source; what was removed does not count."""
    learned = sum(one["samples"] for before, _ in catalogs for one in before.values())
    new = sum(
        max(one["samples"] - before.get(name, {"samples": 0})["samples"], 0)
        for before, now in catalogs
        for name, one in now.items()
    )
    return Growth(learned, new)


def drifted() -> list[str]:
    """Return a sentence for everything that has moved beyond `drift.tolerance` since it was accepted: of the inputs,
    and of what the teacher says of them."""
    tolerance = params.load().drift.tolerance
    found = [(role, path) for role in statistics.DESCRIBED if (path := Path(statistics_path(role))).exists()]
    return [f"{role}: {line}" for role, path in found for line in statistics.beyond(files.read_json(path), tolerance)]
