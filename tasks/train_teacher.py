"""Stage `train_teacher`: the teacher, from the labeled catalog and its sky masks (paper 3.1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.settings import params
from tasks.training.stage import held_out, pool, train
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.training.loop import OnMetrics


def learn(settings: params.Params, key: str, scratch: Path, on_metrics: OnMetrics) -> Any:
    """Return the teacher and the history of its training."""
    from depth_model.training.teacher import train_teacher

    return train_teacher(
        pool("labeled", "sky"),
        settings.encoder.weights,
        settings.teacher,
        settings.training,
        settings.seed,
        scratch,
        on_metrics,
        settings.machine.training,
        held_out(settings, "labeled"),
    )


def run(workplace: Workplace, settings: params.Params) -> None:
    """Train the teacher into models/teacher; continues after a kill."""
    train(workplace, settings, learn)
