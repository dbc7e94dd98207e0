"""The flow `finetune`: models of metric depth and of segmentation, from the student that is there.

It collects what the fine-tunings need, tunes and evaluates; teacher, pseudo labels and student stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow
from prefect.client.schemas.objects import State

from depth_model.errors import UserError
from flows import experiment as experiments
from flows import order
from flows.notify import HOOKS
from flows.running import Workers, alone, check_project, finished
from tasks.workspace.repro import stages

TUNING = ("finetune_metric", "finetune_semantic", "evaluate_metric", "evaluate_semantic")
LEARNED = ("train_teacher", "train_student")


@flow(name="finetune", **HOOKS)
def finetune(
    workers: Workers = 2,
    sets: Sequence[str] = (),
    overrides: Sequence[str] = (),
    experiment: str | None = None,
) -> State[dict[str, str]]:
    """Bring the fine-tunings on `sets` (keys of `finetune_...` and `evaluate_...` in params.yaml) up to date; all of
    them without. `overrides` and `experiment` as those of full-pipeline; raises as that does."""
    with alone(), experiments.parameters(None, overrides, experiment) as keep:
        check_project()
        described = stages()
        chosen = tuning_of({stage: one.needs for stage, one in described.items()}, sets)
        return finished("finetune", described, chosen, workers, keep)


def tuning_of(graph: order.Graph, sets: Sequence[str]) -> set[str]:
    """Return the stages that tune and evaluate on `sets` and what they need, without what teacher and student need.

    Raises UserError for a set that has no such stage.
    """
    found = {stage for stage in graph if stage.partition("@")[0] in TUNING}
    keys = {stage.partition("@")[2] for stage in found}
    if unknown := sorted(set(sets) - keys):
        raise UserError(f"sets: {', '.join(unknown)} is no set to tune to; params.yaml has {', '.join(sorted(keys))}")
    wanted = {stage for stage in found if not sets or stage.partition("@")[2] in sets}
    aside = {*LEARNED, *found} - wanted
    return wanted | order.before(
        {stage: [n for n in needs if n not in aside] for stage, needs in graph.items()}, wanted
    )
