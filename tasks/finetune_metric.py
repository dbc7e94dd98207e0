"""Stage `finetune_metric@<set>`: metric depth for one kind of scene (paper 4.3), from the encoder of `initial`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.settings import params
from tasks.training.stage import held_out, initial_weights, source_pool, train
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.training.loop import OnMetrics


def learn(settings: params.Params, key: str, scratch: Path, on_metrics: OnMetrics) -> Any:
    """Return the metric model of the set `key` and the history of its training."""
    from depth_model.metric.training.train import train_metric

    wanted = settings.section("finetune_metric", key)
    return train_metric(
        source_pool("metric", wanted.source),
        initial_weights(wanted.initial),
        settings.initial_encoder(wanted.initial),
        key,
        wanted,
        settings.training,
        settings.seed,
        scratch,
        on_metrics,
        settings.machine.training,
        held_out(settings, "metric", wanted.source),
    )


def run(workplace: Workplace, settings: params.Params) -> None:
    """Fine-tune to meters into models/metric/<set>; continues after a kill."""
    train(workplace, settings, learn)
