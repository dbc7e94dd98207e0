"""Stage `finetune_semantic@<set>`: segmentation (paper 4.4), from the encoder of `initial`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.settings import params
from tasks.training.stage import held_out, initial_weights, source_pool, train
from tasks.workspace.paths import known_sources
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.training.loop import OnMetrics


def learn(settings: params.Params, key: str, scratch: Path, on_metrics: OnMetrics) -> Any:
    """Return the segmentation model of the set `key`, with the classes of its source, and its history."""
    from depth_model.semantic.classes import class_lists
    from depth_model.semantic.training.train import train_semantic

    wanted = settings.section("finetune_semantic", key)
    return train_semantic(
        source_pool("semantic", wanted.source),
        initial_weights(wanted.initial),
        settings.initial_encoder(wanted.initial),
        class_lists()[known_sources("semantic")[wanted.source]["reader"]],
        wanted,
        settings.training,
        settings.seed,
        scratch,
        on_metrics,
        settings.machine.training,
        held_out(settings, "semantic", wanted.source),
    )


def run(workplace: Workplace, settings: params.Params) -> None:
    """Fine-tune to segmentation into models/semantic/<set>; continues after a kill."""
    train(workplace, settings, learn)
