"""The flow `full-pipeline`: every stage of dvc.yaml as one Prefect task, in the order of DVC's own graph.

Prefect adds what DVC lacks: parallel branches, retries, logs and states per stage, schedules.
"""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow
from prefect.client.schemas.objects import State

from flows import experiment as experiments
from flows import order
from flows.notify import HOOKS
from flows.running import Workers, alone, check_project, finished
from tasks.workspace.repro import stages


@flow(name="full-pipeline", **HOOKS)
def full_pipeline(
    workers: Workers = 2,
    preset: str | None = None,
    overrides: Sequence[str] = (),
    from_stage: str | None = None,
    to_stage: str | None = None,
    experiment: str | None = None,
) -> State[dict[str, str]]:
    """Bring the pipeline up to date, at most `workers` stages at a time: the whole, or from and to a stage.

    `preset` and `overrides` (as `alpha=0.85`) count for this run alone, whose results DVC keeps as `experiment`.
    The result is the outcome of each stage. Raises UserError before anything runs when params.yaml is wrong,
    and StageFailed when a stage failed, naming what therefore did not run.
    """
    with alone(), experiments.parameters(preset, overrides, experiment) as keep:
        check_project()
        described = stages()
        chosen = order.between({stage: one.needs for stage, one in described.items()}, from_stage, to_stage)
        return finished("full-pipeline", described, chosen, workers, keep)
