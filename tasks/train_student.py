"""Stage `train_student`: the student, from labels and pseudo labels (paper 3.2 and 3.3), or from the latter alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from tasks.settings import params
from tasks.training.stage import held_out, pool, train
from tasks.workspace.paths import catalog_path
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.training.loop import OnMetrics


def learn(settings: params.Params, key: str, scratch: Path, on_metrics: OnMetrics) -> Any:
    """Return the student and the history of its training."""
    from depth_model.training.settings import FeatureAlignment
    from depth_model.training.student import train_student

    labels = bool(files.read_json(catalog_path("labeled")))
    mapped = list(settings.class_map) if settings.student.auxiliary_semantics else ()
    return train_student(
        pool("labeled", "sky") if labels else None,
        pool("unlabeled", "pseudo", settings.student.minimum_quality, mapped),
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
    if not files.read_json(catalog_path("labeled")):
        print(
            "train_student: sources.labeled is empty: it learns from pseudo labels alone, and labeled_per_batch counts"
            " as 0",
            file=sys.stderr,
        )
    train(workplace, settings, learn)
