"""The teacher (paper 3.1): a depth model learned from labeled images alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from depth_model.networks import DepthAnything
from depth_model.shards.pool import SamplePool
from depth_model.training.batches import Batch, labeled_batch, network_input
from depth_model.training.collapse import check_learned, health_terms, unhealthy
from depth_model.training.history import History
from depth_model.training.loop import OnMetrics, Run, train
from depth_model.training.optimizers import adamw, linear_decay
from depth_model.training.relative_validation import relative_validation
from depth_model.training.sampling import steps_of
from depth_model.training.settings import TeacherSettings, TrainingMachine, TrainingSettings
from depth_model.training.start import Seen, anchor_terms, check_shares, initial_model, label_terms, unusable_term
from depth_model.training.terms import Term
from depth_model.training.validation import HeldOut


def train_teacher(
    pool: SamplePool,
    weights: str,
    settings: TeacherSettings,
    training: TrainingSettings,
    seed: int,
    scratch: Path,
    on_metrics: OnMetrics,
    machine: TrainingMachine = TrainingMachine(),
    held_out: HeldOut | None = None,
) -> tuple[DepthAnything, History]:
    """Learn the teacher from the labeled samples of `pool`, starting from encoder `weights` (paper 3.1), or from the
    model `settings.initial`.

    It is measured on `held_out` samples, if given. Continues from the checkpoints in `scratch`. Raises UserError when
    the result is no better than a constant, and what `depth_model.training.loop.train` and `initial_model` raise.
    """
    check_shares("teacher.batch", settings.batch, training.accumulation)
    model = initial_model("teacher", settings, weights, seed, training, machine)
    rates = settings.encoder_learning_rate, settings.decoder_learning_rate
    run = Run(
        name="teacher",
        model=model,
        optimizer=adamw(model, *rates, training.weight_decay),
        schedule=partial(linear_decay, training.warmup),
        steps=steps_of(settings.epochs, len(pool), settings.batch),
        images_per_step=settings.batch,
        make_batch=partial(labeled_batch, pool, seed, settings.batch, training.crop),
        forward=partial(teacher_output, model),
        terms=[*teacher_terms(training), *anchor_terms(model, settings.initial, training.anchor, image_count)],
        gradient_clip=training.gradient_clip,
        unhealthy=unhealthy,
        validation=relative_validation(held_out, training.crop, model.encoder.patch),
    )
    history = train(run, training, scratch, on_metrics, machine)
    check_learned("teacher", history)
    return model, history


def teacher_output(model: DepthAnything, batch: Batch) -> Seen:
    """Return the network's disparity of a batch, beside its labels."""
    disparity = model(network_input(batch["images"]))
    return Seen(disparity, disparity, batch)


def teacher_terms(training: TrainingSettings) -> list[Term]:
    """Return the losses on labels (see `label_terms`), and what is watched of labels and predictions."""
    return [
        *label_terms(lambda batch: batch, training),
        unusable_term(),
        *health_terms(image_count),
    ]


def image_count(batch: Batch) -> int:
    """Return how many images a batch has."""
    return len(batch["images"])
