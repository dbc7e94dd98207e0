"""The sections of params.yaml: every key, its type and its range, in the order of the file.

Those of fine-tuning are in `tasks.settings.finetuning`. How they make up the whole, and how a fault is told, is
`tasks.settings.params`.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from depth_model import readers
from depth_model.evaluation import protocols
from depth_model.shards import decoding
from depth_model.shards.store import SCHEME, Bucket
from depth_model.world import DOMAINS, export

PATCH, DINOV3_PATCH = 14, 16
"""Sides in pixels of a patch: of DINOv2's encoders, and of DINOv3's."""
CLASSES = ("ade20k", "cityscapes")
"""Readers whose classes `depth_model.semantic.classes` lists."""
ROLES = ("labeled", "unlabeled", "evaluation", "metric", "semantic")
EXPORTED = Path("data/exported")
"""Where `export` writes, relative to the root of the project."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")


def closest(word: str, allowed: list[str]) -> str:
    """Return, for a message, what is `allowed` instead of `word`, and which of it comes nearest."""
    near = difflib.get_close_matches(word, allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f" (allowed: {', '.join(allowed)}){hint}"


def _multiple_of_patch(value: int) -> int:
    if value % PATCH and value % DINOV3_PATCH:
        raise ValueError(f"must be a multiple of {PATCH}, the patch of the encoder ({DINOV3_PATCH} for DINOv3)")
    return value


Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
PositiveNumber = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(gt=0), AfterValidator(_multiple_of_patch)]
Size = Literal[
    "tiny",
    "vits",
    "vitb",
    "vitl",
    "tiny_reg",
    "vits_reg",
    "vitb_reg",
    "vitl_reg",
    "dinov3_tiny16",
    "dinov3_vits16",
    "dinov3_vitb16",
    "dinov3_vitl16",
]


def block_count(size: str) -> int:
    """Return how many blocks the encoder of `size` has."""
    return {"tiny": 4, "vits": 12, "vitb": 12, "vitl": 24}[size.removesuffix("_reg").removeprefix("dinov3_")[:4]]


def patch_side(size: str) -> int:
    """Return the side in pixels of a patch of the encoder of `size`."""
    return DINOV3_PATCH if size.startswith("dinov3_") else PATCH


class Section(BaseModel):
    """A part of params.yaml: no unknown key, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Source(Section):
    """One source of images: a reader, where its data lie, the reader's options, the fewest samples accepted."""

    reader: str
    root: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    minimum_count: NotNegative = 1

    @model_validator(mode="after")
    def _known_reader(self) -> Source:
        if self.reader not in readers.names():
            raise ValueError(f"reader {self.reader!r} is unknown{closest(self.reader, readers.names())}")
        if readers.get(self.reader).needs_root and self.root is None:
            raise ValueError(f"reader {self.reader!r} needs a 'root' (the folder of the data)")
        if (self.root or "").startswith(SCHEME):
            Bucket(self.root)
            if not readers.get(self.reader).loose_files:
                raise ValueError(f"reader {self.reader!r} reads folders, not object stores: copy the data first")
        return self

    def chosen_options(self) -> Any:
        """Return the reader's options as its own dataclass; raises ValidationError for a wrong one."""
        checked = checked_dataclass(readers.get(self.reader).options, config=ConfigDict(extra="forbid"), frozen=True)
        return TypeAdapter(checked).validate_python(self.options)


def known_protocol(name: str) -> protocols.Protocol:
    """Return the protocol `name`; raises ValueError that names those there are."""
    try:
        return protocols.get(name)
    except KeyError as error:
        raise ValueError(f"protocol {name!r}: {error.args[0]}") from error


class EvaluationSource(Source):
    """A source that models are measured on: `protocol` as `<set>/<variant>`, or generic (see docs/evaluation.md)."""

    protocol: str = "generic"

    @model_validator(mode="after")
    def _known_protocol(self) -> EvaluationSource:
        if known_protocol(self.protocol).is_metric:
            raise ValueError(f"protocol {self.protocol!r} measures metric depth, the models of this role are relative")
        return self


def source_root(source: Source) -> Path | Bucket:
    """Return the folder of a source's data: `root` as given, from the project's folder if relative, or the store.

    DVC_ROOT names the project also when an experiment runs in a temporary copy, which lacks what git ignores. What the
    pipeline itself exports is an out of that copy, and is looked for there.
    """
    if (source.root or "").startswith(SCHEME):
        return Bucket(source.root)
    if EXPORTED in Path(source.root or "").parents:
        return Path.cwd() / source.root
    return project_path(source.root or "")


def project_path(path: str) -> Path:
    """Return a path as params.yaml gives it: from the project's folder, if relative, also inside an experiment."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()) / path


def _source_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a source name may only hold small letters, digits and _")
    return name


Name = Annotated[str, AfterValidator(_source_name)]
Named = dict[Name, Source]


class Sources(Section):
    """The sources by role; the same data set may stand in several roles."""

    labeled: Named
    unlabeled: Named
    evaluation: dict[Name, EvaluationSource]
    metric: Named
    semantic: Named


class Export(Section):
    """A part of the rendered world, written in the layout of a real data set to `data/exported/<name>`.

    `counts`: pictures by split of the layout.
    """

    layout: str
    domain: str
    counts: dict[str, NotNegative]
    seed: NotNegative
    height: Annotated[int, Field(ge=32)]
    width: Annotated[int, Field(ge=32)]

    @model_validator(mode="after")
    def _known_names(self) -> Export:
        if self.layout not in export.names():
            raise ValueError(f"layout {self.layout!r} is unknown{closest(self.layout, export.names())}")
        if self.domain not in DOMAINS:
            raise ValueError(f"domain {self.domain!r} is unknown{closest(self.domain, list(DOMAINS))}")
        splits = export.get(self.layout).splits
        for split in self.counts:
            if split not in splits:
                raise ValueError(f"layout {self.layout!r} has no split {split!r}{closest(split, list(splits))}")
        return self


class Model(Section):
    """A model from elsewhere: a file, a folder, `models:/NAME@ALIAS`, or an encoder: packaged, hub, none."""

    source: str


class Collect(Section):
    """How sources become shards. `decode_budget`: bytes, or with a unit (`1 GB`), that one file may decode to."""

    max_side: Positive
    minimum_side: Positive
    decode_budget: Annotated[int, BeforeValidator(decoding.bytes_of), Field(gt=0)] = decoding.DEFAULT_BUDGET
    samples_per_shard: Positive
    workers: Positive
    engine: Literal["local", "ray"]


class Audit(Section):
    """When two images count as the same picture: fingerprint distance in bits of 128, likeness of the pixels."""

    leak_distance: Annotated[int, Field(ge=0, le=15)]
    leak_likeness: Probability
    duplicate_distance: Annotated[int, Field(ge=0, le=6)]
    duplicate_likeness: Probability


class Drift(Section):
    """From which distance to the accepted collection on there is a warning, or no catalog (docs/collection.md)."""

    tolerance: PositiveNumber
    action: Literal["warn", "stop"]


class Sky(Section):
    """Which model finds the sky of labeled images, and from which probability on."""

    segmenter: str
    threshold: Probability


class EncoderWeights(Section):
    """Where encoder weights come from: `packaged`, `hub`, `none` or a path."""

    weights: str


class Training(Section):
    """What teacher and student training share."""

    crop: Side
    workers: NotNegative
    checkpoint_every: Positive
    precision: Literal["fp32", "bf16"]
    gradient_clip: PositiveNumber
    weight_decay: Annotated[float, Field(ge=0)]
    gradient_matching: Annotated[float, Field(ge=0)]
    taps: Literal["last", "spread"]
    gradient_checkpointing: bool
    accumulation: Positive
    warmup: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    bad_batch: Literal["stop", "skip"]
    largest_skips: NotNegative
    processes: Positive


class Teacher(Section):
    """The teacher: paper section 3.1."""

    encoder: Size
    epochs: Positive
    batch: Positive
    encoder_learning_rate: PositiveNumber
    decoder_learning_rate: PositiveNumber


class PseudoLabel(Section):
    """How the teacher labels the unlabeled images."""

    short_side: Side
    bits: Annotated[int, Field(ge=8, le=16)]
    batch: Positive
    precision: Literal["fp32", "bf16"]
    quality: Literal["none", "flip"]
    teachers: list[str]
    engine: Literal["local", "ray"]
    processes: Positive
    threads: NotNegative
    device: Literal["auto", "cpu", "gpu"]


class Perturbation(Section):
    """Strong perturbation of the student's unlabeled images: paper section 3.2."""

    brightness: Probability
    contrast: Probability
    saturation: Probability
    hue: Annotated[float, Field(ge=0, le=0.5)]
    jitter_probability: Probability
    blur_probability: Probability
    blur_sigma: Annotated[list[PositiveNumber], Field(min_length=2, max_length=2)]
    cutmix_probability: Probability


class Student(Section):
    """The student: paper sections 3.2 and 3.3."""

    encoder: Size
    sweeps: PositiveNumber
    labeled_per_batch: Positive
    unlabeled_per_batch: Positive
    encoder_learning_rate: PositiveNumber
    decoder_learning_rate: PositiveNumber
    trim: Annotated[float, Field(ge=0, lt=1)]
    ema: Annotated[float, Field(ge=0, lt=1)]
    minimum_quality: Probability
    pseudo_labels: bool
    perturbation: Perturbation


class FeatureAlignment(Section):
    """Which block is held near the frozen encoder's, and the normaliser of equation 9."""

    block: NotNegative
    normaliser: Literal["remaining", "all"]
    images: Literal["unlabeled", "labeled", "none"]


class Evaluation(Section):
    """How models are evaluated."""

    short_side: Side


class Resume(Section):
    """What happens to unfinished work whose code has changed since."""

    changed_code: Literal["stop", "accept", "restart"]
