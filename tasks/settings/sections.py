"""The sections of params.yaml that configure the pipeline itself: sources, exports, the machine.

What configures a computation stands beside its code in depth_model; fine-tuning is in `tasks.settings.finetuning`. How
they make up the whole is `tasks.settings.params`.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import AfterValidator, ConfigDict, StringConstraints, TypeAdapter
from pydantic.dataclasses import dataclass as checked_dataclass

from depth_model import readers
from depth_model.evaluation import protocols
from depth_model.networks.variants import Version
from depth_model.reading.engines import NetworkMachine
from depth_model.reading.settings import CollectMachine, Labels
from depth_model.settings import NotNegative, Positive, PositiveNumber, Space, setting
from depth_model.shards.store import SCHEME, Bucket
from depth_model.training.settings import TrainingMachine
from depth_model.world import DOMAINS, export

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


def _source_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a source name may only hold small letters, digits and _")
    return name


Name = Annotated[str, AfterValidator(_source_name)]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of images: a reader, where its data lie, the reader's options, the fewest samples accepted."""

    reader: str
    root: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    minimum_count: NotNegative = 1

    def __post_init__(self) -> None:
        if self.reader not in readers.names():
            raise ValueError(f"reader {self.reader!r} is unknown{closest(self.reader, readers.names())}")
        if readers.get(self.reader).needs_root and self.root is None:
            raise ValueError(f"reader {self.reader!r} needs a 'root' (the folder of the data)")
        if (self.root or "").startswith(SCHEME):
            Bucket(self.root)
            if not readers.get(self.reader).loose_files:
                raise ValueError(f"reader {self.reader!r} reads folders, not object stores: copy the data first")

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


@dataclass(frozen=True, kw_only=True)
class EvaluationSource(Source):
    """A source that models are measured on: `protocol` as `<set>/<variant>`, or generic (see docs/evaluation.md)."""

    protocol: str = "generic"

    def __post_init__(self) -> None:
        super().__post_init__()
        if known_protocol(self.protocol).is_metric:
            raise ValueError(f"protocol {self.protocol!r} measures metric depth, the models of this role are relative")


@dataclass(frozen=True, kw_only=True)
class UnlabeledSource(Source):
    """A source for pseudo labels: its own depth is left out, its class labels too unless `class_labels`, which
    `class_map` needs where it takes them."""

    class_labels: bool = False

    @property
    def kept_labels(self) -> Labels:
        """What the collection keeps of its labels."""
        return "classes" if self.class_labels else False


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
    """Return a path as params.yaml gives it: from the project's folder, if relative, also inside an experiment; `~` is
    the user's home."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()) / Path(path).expanduser()


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The sources by role; the same data set may stand in several roles."""

    labeled: dict[Name, Source] = setting("images with depth, for teacher and student", factory=dict)
    unlabeled: dict[Name, UnlabeledSource] = setting("images for pseudo labels", factory=dict)
    evaluation: dict[Name, EvaluationSource] = setting("what models are measured on, zero-shot", factory=dict)
    metric: dict[Name, Source] = setting(
        "depth in meters, for fine-tuning; with the real sets only `root` changes", factory=dict
    )
    semantic: dict[Name, Source] = setting(
        "class labels, for segmentation; with the real sets only `root` changes", factory=dict
    )


@dataclass(frozen=True, kw_only=True)
class Export:
    """A part of the rendered world, written in the layout of a real data set to `data/exported/<name>`.

    `counts`: pictures by split of the layout.
    """

    layout: str
    domain: str
    counts: dict[str, NotNegative]
    seed: NotNegative
    height: Annotated[int, Ge(32)]
    width: Annotated[int, Ge(32)]

    def __post_init__(self) -> None:
        if self.layout not in export.names():
            raise ValueError(f"layout {self.layout!r} is unknown{closest(self.layout, export.names())}")
        if self.domain not in DOMAINS:
            raise ValueError(f"domain {self.domain!r} is unknown{closest(self.domain, list(DOMAINS))}")
        splits = export.get(self.layout).splits
        for split in self.counts:
            if split not in splits:
                raise ValueError(f"layout {self.layout!r} has no split {split!r}{closest(split, list(splits))}")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model from elsewhere: a file, a folder, `models:/NAME@ALIAS`, `ORG/NAME[@REVISION]` of the model hub, or an
    encoder: packaged, hub, none.

    What it may not say itself: its `license`, the `version` of a Depth Anything, the `maximum` in meters of a metric
    one, and of a folder of predictions their space (`predictions`) and the `unit` that they are divided by. With
    `sha256`, the digest of the file, or of model.safetensors in the folder, no other weights are taken.
    """

    source: str
    sha256: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    license: str | None = None
    version: Version | None = None
    maximum: PositiveNumber | None = None
    predictions: Space | None = None
    unit: PositiveNumber = 1.0


def _known_store(text: str) -> str:
    if text != "local":
        try:
            Bucket(text)
        except ValueError as error:
            raise ValueError("must be local or s3://BUCKET/PREFIX") from error
    return text


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where shards lie: `local`, in the folders beside their tables, or in an object store, `s3://bucket/prefix`."""

    store: Annotated[str, AfterValidator(_known_store)] = setting(
        "local | s3://bucket/prefix: where shards lie; docs/scale.md", "local"
    )

    @property
    def root(self) -> Bucket | None:
        """The object store, None for `local`."""
        return None if self.store == "local" else Bucket(self.store)


@dataclass(frozen=True, kw_only=True)
class EncoderWeights:
    """Where encoder weights come from."""

    weights: str = setting("packaged | hub | none | a path", "hub")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How models are evaluated."""

    short_side: Positive = setting("pixels, whole patches (paper: 518)", 518)
    minimum_images: Positive = setting("with fewer nothing is called better, and no model becomes champion", 20)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What fits the machine and changes no result beyond rounding; no stage depends on it."""

    collect: CollectMachine = setting("", CollectMachine())
    sky: NetworkMachine = setting("of the segmenter", NetworkMachine())
    training: TrainingMachine = setting("", TrainingMachine())
    pseudo_label: NetworkMachine = setting("of the teacher", NetworkMachine())


@dataclass(frozen=True, kw_only=True)
class Resume:
    """What happens to unfinished work whose code has changed since."""

    changed_code: Literal["stop", "accept", "restart"] = setting(
        "what to do with unfinished work of older code", "stop"
    )
