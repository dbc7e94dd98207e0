"""Stage `train_student`: the student, from labels and pseudo labels (paper 3.2 and 3.3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.settings import params
from tasks.training.stage import held_out, pool, train
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.training.loop import OnMetrics


def learn(settings: params.Params, key: str, scratch: Path, on_metrics: OnMetrics) -> Any:
    """Return the student and the history of its training."""
    from depth_model.training.settings import FeatureAlignment
    from depth_model.training.student import train_student

    return train_student(
        pool("labeled", "sky"),
        pool("unlabeled", "pseudo", settings.student.minimum_quality),
        settings.encoder.weights,
        settings.student,
        FeatureAlignment(alpha=settings.alpha, **vars(settings.feature_alignment)),
        settings.training,
        settings.seed,
        scratch,
        on_metrics,
        settings.machine.training,
        held_out(settings, "labeled"),
    )


def run(workplace: Workplace, settings: params.Params) -> None:
    """Train the student into models/student; continues after a kill."""
    train(workplace, settings, learn)
