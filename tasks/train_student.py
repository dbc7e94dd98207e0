"""Stage `train_student`: the student, from labels and pseudo labels (paper 3.2 and 3.3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.settings import params
from tasks.training.stage import pool, train, training_settings
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.training.loop import OnMetrics


def learn(settings: params.Params, key: str, scratch: Path, on_metrics: OnMetrics) -> Any:
    """Return the student and the history of its training."""
    from depth_model.training.augmentation import Perturbation
    from depth_model.training.student import FeatureAlignment, StudentSettings, train_student

    perturbation = settings.student.perturbation.model_dump()
    perturbation["blur_sigma"] = tuple(perturbation["blur_sigma"])
    chosen = settings.student
    given = chosen.model_dump(exclude={"minimum_quality"}) | {"perturbation": Perturbation(**perturbation)}
    return train_student(
        pool("labeled", "sky"),
        pool("unlabeled", "pseudo", chosen.minimum_quality),
        settings.encoder.weights,
        StudentSettings(**given),
        FeatureAlignment(alpha=settings.alpha, **settings.feature_alignment.model_dump()),
        training_settings(settings),
        settings.seed,
        scratch,
        on_metrics,
    )


def run(place: Workplace, settings: params.Params) -> None:
    """Train the student into models/student; continues after a kill."""
    train(place, settings, learn)
