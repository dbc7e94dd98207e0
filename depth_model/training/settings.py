"""The settings of teacher, student and of the loop that all trainings share. Defaults are the paper's where it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, Len

from depth_model.networks.variants import VARIANTS, OutIndices
from depth_model.settings import (
    NotNegative,
    NotNegativeNumber,
    Positive,
    PositiveNumber,
    Precision,
    Probability,
    Share,
    setting,
)

Size = Literal[tuple(VARIANTS)]
ENCODER = "encoder"
"""The start of the paper: a pre-trained encoder, and a decoder that is new."""
_INITIAL = "encoder, with a new decoder (paper) | data/models/NAME, a whole relative model; docs/own-model.md"


@dataclass(frozen=True, kw_only=True)
class TrainingMachine:
    """How a training is carried out on a machine; nothing here changes what is learned beyond rounding."""

    workers: NotNegative = setting("processes that make batches ahead; 0: none", 1)
    processes: Positive = setting("on this machine, one per GPU; more nodes: docs/training.md", 1)
    checkpoint_every: Positive = setting("steps", 1000)
    gradient_checkpointing: bool = setting("less memory, more time, the same result", False)
    deterministic: Literal["auto", "always", "never"] = setting(
        "the same bytes each time, at the cost of time on a GPU; auto: on a CPU", "auto"
    )
    tf32: bool = setting("on a GPU, products of what stays float32 with 10 bits of mantissa", True)
    compile: bool = setting("networks by torch.compile: minutes at the start, faster steps on a GPU", False)


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How every run is carried out: precision, parts of a batch, and what happens to a bad batch."""

    precision: Precision = setting("not published", "fp32")
    accumulation: Positive = setting("parts a process divides its share of a batch into, to need less memory", 1)
    bad_batch: Literal["stop", "skip"] = setting("what a loss or gradient that is not finite, or jumps, does", "stop")
    largest_skips: NotNegative = setting("bad batches skipped before the run stops all the same", 10)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(LoopSettings):
    """What teacher and student share beyond the loop."""

    crop: Positive = setting("pixels, whole patches (paper: 518)", 518)
    gradient_clip: PositiveNumber = setting("largest norm of the gradient; not published", 1.0)
    weight_decay: NotNegativeNumber = setting("not published", 0.01)
    gradient_matching: NotNegativeNumber = setting(
        "weight of the term on labels (paper: none; second Depth Anything: 2)", 0.0
    )
    out_indices: OutIndices = setting("blocks the decoder reads (paper: last; second Depth Anything: spread)", "last")
    warmup: NotNegativeNumber = setting("steps, or a fraction of them below 1 (paper: none)", 0.0)
    anchor: NotNegativeNumber = setting(
        "weight of the squared distance to the pre-trained weights, against forgetting (L2-SP; paper: none)", 0.0
    )


@dataclass(frozen=True, kw_only=True)
class ValidationSettings:
    """Which labeled images are held out of every training, when it is measured on them, and what follows from it."""

    fraction: Share = setting("of the scenes of each source that are held out of training; 0: none (paper)", 0.0)
    sources: tuple[str, ...] = setting("of sources.labeled, held out whole", ())
    seed: NotNegative = setting("of the choice of scenes, which another seed of training leaves as it is", 0)
    every: Positive = setting("steps from one measurement to the next", 500)
    keep: Literal["best", "last"] = setting("which weights become the model", "best")
    patience: NotNegative = setting("measurements in a row without a better one that end a training; 0: none", 0)


@dataclass(frozen=True)
class TeacherSettings:
    """The teacher: paper section 3.1."""

    encoder: Size = setting("size, with _reg at its end for registers, see docs/options.md (paper: vitl)", "vitl")
    epochs: Positive = setting("over the labeled images (paper: 20)", 20)
    batch: Positive = setting("images a step; not published, the second Depth Anything takes 64", 64)
    encoder_learning_rate: PositiveNumber = setting("paper: 5e-6", 5e-6)
    decoder_learning_rate: PositiveNumber = setting("paper: ten times the encoder's", 5e-5)
    initial: str = setting(_INITIAL, ENCODER)
    model: str = setting("'': train a teacher | data/models/NAME, which labels instead; docs/own-model.md", "")


@dataclass(frozen=True)
class Perturbation:
    """Strength of the strong perturbation (paper 3.2, not published).

    Color factors are drawn from [1 - x, 1 + x] (not below 0), the hue shift from [-hue, hue] turns, with
    `jitter_probability`; the standard deviation of the blur in pixels from `blur_sigma` with `blur_probability`.
    `cutmix_probability` is that of an image to be mixed with another.
    """

    brightness: Probability = setting("range of the factor to either side of 1; not published, as all of these", 0.5)
    contrast: Probability = setting("", 0.5)
    saturation: Probability = setting("", 0.5)
    hue: Annotated[float, Ge(0), Le(0.5)] = setting("turns", 0.25)
    jitter_probability: Probability = setting("", 0.8)
    blur_probability: Probability = setting("", 0.5)
    blur_sigma: Annotated[tuple[PositiveNumber, ...], Len(2, 2)] = setting("pixels", (0.1, 2.0))
    cutmix_probability: Probability = setting("paper: 0.5", 0.5)


@dataclass(frozen=True, kw_only=True)
class StudentSettings:
    """The student: paper sections 3.2 and 3.3."""

    encoder: Size = setting("vits, vitb and vitl are the paper's", "vitl")
    epochs: PositiveNumber = setting("over the unlabeled images (paper: 1, over 62 million)", 1.0)
    labeled_per_batch: Positive = setting("not published; 64 and 128 are the second Depth Anything's", 64)
    unlabeled_per_batch: Positive = setting("paper: twice the labeled ones", 128)
    encoder_learning_rate: PositiveNumber = setting("paper: 5e-6", 5e-6)
    decoder_learning_rate: PositiveNumber = setting("paper: ten times the encoder's", 5e-5)
    trim: Share = setting("share of the largest residuals left out on pseudo-labeled pixels", 0.1)
    pseudo_labels: bool = setting("false: learn from labels alone, as many steps of as many labels (Table 9)", True)
    minimum_quality: Probability = setting("pseudo labels with a lower score are left out (pseudo_label.quality)", 0.0)
    ema: Share = setting("decay of an average of the weights, which becomes the model; 0: none (paper)", 0.0)
    initial: str = setting(_INITIAL, ENCODER)
    auxiliary_semantics: NotNegativeNumber = setting(
        "weight of the loss on the classes of class_map, learned beside depth; 0: none (paper 3.3 rejects it)", 0.0
    )
    perturbation: Perturbation = setting("strong perturbation of the unlabeled images (paper 3.2)", Perturbation())


@dataclass(frozen=True, kw_only=True)
class AlignmentSettings:
    """Which tokens are held near the frozen encoder's, and the normalizer of equation 9."""

    block: NotNegative = setting("0-based; 9 for the packaged weights, the last block for genuine DINOv2", 23)
    normalizer: Literal["remaining", "all"] = setting("", "remaining")
    images: Literal["unlabeled", "labeled", "none"] = setting(
        "where it is applied (paper: unlabeled; Table 13)", "unlabeled"
    )


@dataclass(frozen=True, kw_only=True)
class FeatureAlignment(AlignmentSettings):
    """Feature alignment with its tolerance `alpha` (equation 9)."""

    alpha: float
