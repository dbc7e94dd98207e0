"""params.yaml, checked: every key, type and range, before anything runs.

Its sections are in `sections` and `finetuning` beside it; `load` refuses an unknown key, a wrong type
or a value out of range with the path of the key, the value and what is allowed. Imports neither torch nor pandas, so
that `inventory` starts at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from depth_model import readers
from depth_model.errors import UserError
from depth_model.networks.variants import VARIANTS
from depth_model.shards.store import Bucket
from tasks.settings.finetuning import EvaluateMetric, EvaluateSemantic, FinetuneMetric, FinetuneSemantic
from tasks.settings.sections import (
    CLASSES,
    EXPORTED,
    ROLES,
    Audit,
    Collect,
    Drift,
    EncoderWeights,
    Evaluation,
    EvaluationSource,
    Export,
    FeatureAlignment,
    Model,
    Name,
    NotNegative,
    PseudoLabel,
    Resume,
    Section,
    Sky,
    Source,
    Sources,
    Student,
    Teacher,
    Training,
    closest,
    project_path,
    source_root,
)
from tasks.workspace.paths import MODELS

__all__ = [
    "EXPORTED",
    "ROLES",
    "Drift",
    "EvaluateMetric",
    "EvaluateSemantic",
    "Export",
    "FinetuneMetric",
    "FinetuneSemantic",
    "Params",
    "PseudoLabel",
    "Source",
    "check",
    "load",
    "project_path",
    "root",
    "source_root",
]


def _known_store(text: str) -> str:
    if text != "local":
        try:
            Bucket(text)
        except ValueError as error:
            raise ValueError("must be local or s3://BUCKET/PREFIX") from error
    return text


class Data(Section):
    """Where shards lie: `local`, in the folders beside their tables, or in an object store, `s3://bucket/prefix`."""

    store: Annotated[str, AfterValidator(_known_store)]

    @property
    def root(self) -> Bucket | None:
        """The object store, None for `local`."""
        return None if self.store == "local" else Bucket(self.store)


class Params(Section):
    """The whole of params.yaml."""

    seed: NotNegative
    alpha: Annotated[float, Field(gt=0, le=1)]
    export: dict[Name, Export]
    models: dict[Name, Model]
    sources: Sources
    data: Data
    collect: Collect
    audit: Audit
    drift: Drift
    sky: Sky
    encoder: EncoderWeights
    training: Training
    teacher: Teacher
    pseudo_label: PseudoLabel
    student: Student
    feature_alignment: FeatureAlignment
    evaluation: Evaluation
    finetune_metric: dict[Name, FinetuneMetric]
    evaluate_metric: dict[Name, EvaluateMetric]
    finetune_semantic: dict[Name, FinetuneSemantic]
    evaluate_semantic: dict[Name, EvaluateSemantic]
    resume: Resume

    @model_validator(mode="after")
    def _parts_agree(self) -> Params:
        blocks = VARIANTS[self.student.encoder].depth
        if self.feature_alignment.block >= blocks:
            raise ValueError(
                f"feature_alignment.block = {self.feature_alignment.block}: "
                f"the student's encoder {self.student.encoder!r} has blocks 0 to {blocks - 1}"
            )
        if not self.student.pseudo_labels and self.feature_alignment.images == "unlabeled":
            raise ValueError(
                "student.pseudo_labels = false: no step takes unlabeled images; set feature_alignment.images to "
                "'labeled' or 'none'"
            )
        if self.student.minimum_quality and self.pseudo_label.quality == "none":
            raise ValueError(
                f"student.minimum_quality = {self.student.minimum_quality}: "
                "pseudo_label.quality = 'none' gives no scores"
            )
        self._check_shares()
        if self.encoder.weights == "packaged" and {self.teacher.encoder, self.student.encoder} - {"vits"}:
            raise ValueError(
                "encoder.weights = 'packaged' is a ViT-S: teacher.encoder and student.encoder must be 'vits'"
            )
        return self

    @model_validator(mode="after")
    def _sides_are_of_whole_patches(self) -> Params:
        teacher, student = (one.encoder for one in (self.teacher, self.student))
        sides = [
            ("training.crop", self.training.crop, (teacher, student)),
            ("pseudo_label.short_side", self.pseudo_label.short_side, (teacher,)),
            ("evaluation.short_side", self.evaluation.short_side, (teacher, student)),
        ]
        for section, keys in (("finetune_metric", ("height", "width")), ("finetune_semantic", ("crop",))):
            for name, one in getattr(self, section).items():
                encoders = (self.initial_encoder(one.initial),)
                sides += [(f"{section}.{name}.{key}", getattr(one, key), encoders) for key in keys]
        for key, side, encoders in sides:
            for encoder in encoders:
                if side % (patch := VARIANTS[encoder].patch):
                    raise ValueError(f"{key} = {side}: encoder {encoder!r} wants a multiple of {patch}")
        return self

    @model_validator(mode="after")
    def _initials_are_folders(self) -> Params:
        known = [f"models/{name}" for name in MODELS] + [f"data/models/{name}" for name in self.models]
        for section in ("finetune_metric", "finetune_semantic"):
            for name, one in getattr(self, section).items():
                if one.initial not in known:
                    hint = closest(one.initial, known)
                    raise ValueError(f"{section}.{name}.initial = {one.initial!r}: no such model{hint}")
        return self

    def initial_encoder(self, initial: str) -> str:
        """Return the size of the encoder that fine-tuning from `initial` has: the teacher's, or else the student's."""
        return self.teacher.encoder if initial == "models/teacher" else self.student.encoder

    def _check_shares(self) -> None:
        parts = self.training.processes * self.training.accumulation
        for key, images in (
            ("teacher.batch", self.teacher.batch),
            ("student.unlabeled_per_batch", self.student.unlabeled_per_batch),
        ):
            if images < parts:
                raise ValueError(f"{key} = {images}: training.processes x training.accumulation = {parts} is more")

    @model_validator(mode="after")
    def _metric_sources_exist(self) -> Params:
        for section in ("finetune_metric", "evaluate_metric"):
            for name, one in getattr(self, section).items():
                if one.source not in self.sources.metric:
                    hint = closest(one.source, list(self.sources.metric))
                    raise ValueError(f"{section}.{name}.source = {one.source!r}: no metric source{hint}")
        return self

    @model_validator(mode="after")
    def _semantic_sources_exist(self) -> Params:
        for section in ("finetune_semantic", "evaluate_semantic"):
            for name, one in getattr(self, section).items():
                if one.source not in self.sources.semantic:
                    hint = closest(one.source, list(self.sources.semantic))
                    raise ValueError(f"{section}.{name}.source = {one.source!r}: no semantic source{hint}")
                reader = self.sources.semantic[one.source].reader
                if reader not in CLASSES:
                    raise ValueError(
                        f"{section}.{name}.source = {one.source!r}: reader {reader!r} has no list of classes"
                        f"{closest(reader, list(CLASSES))}"
                    )
        return self

    def source(self, role: str, name: str) -> Source:
        """Return the source `name` of `role`; raises UserError that lists the names there are."""
        named: dict[str, Source] = getattr(self.sources, role)
        if name not in named:
            raise UserError(f"params.yaml: no sources.{role}.{name}; there are: {', '.join(named) or 'none'}")
        return named[name]

    def section(self, section: str, name: str) -> Any:
        """Return the entry `name` of a section that has one per set; raises UserError that lists the names."""
        named: dict[str, Any] = getattr(self, section)
        if name not in named:
            raise UserError(f"params.yaml: no {section}.{name}; there are: {', '.join(named) or 'none'}")
        return named[name]


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    model: Any = Params
    for part in location:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        model = field.annotation if field is not None else _source_model(location)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _source_model(location: tuple[Any, ...]) -> type[Source]:
    return EvaluationSource if "evaluation" in location else Source


def _sentence(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key{closest(str(error['loc'][-1]), _keys_at(error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"{where}: missing key"
    message = error["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(error["input"], (dict, BaseModel)) else f" = {error['input']!r}"
    return f"{where}{shown}: {message}" if where else message


def _option_faults(params: Params) -> list[str]:
    faults = []
    for role in ROLES:
        for name, source in getattr(params.sources, role).items():
            faults += _faults_of_one(f"sources.{role}.{name}.options", source)
    return faults


def _faults_of_one(where: str, source: Source) -> list[str]:
    allowed = [field.name for field in fields(readers.get(source.reader).options)]
    unknown = [key for key in source.options if key not in allowed]
    if unknown:
        return [f"{where}.{key}: unknown key{closest(key, allowed)}" for key in unknown]
    try:
        source.chosen_options()
    except ValidationError as error:
        return [f"{where}.{_sentence(one)}" for one in error.errors()]
    except ValueError as error:
        return [f"{where}: {error}"]
    return []


def check(content: Any, name: str = "params.yaml") -> Params:
    """Return `content` (parsed YAML) as Params; raises UserError with one line per fault, led by `name`."""
    if not isinstance(content, dict):
        raise UserError(f"{name}: must hold keys and values; start from presets/demo.yaml")
    try:
        params = Params.model_validate(content)
        faults = _option_faults(params)
    except ValidationError as error:
        faults = [_sentence(one) for one in error.errors()]
    if faults:
        raise UserError("\n".join(f"{name}: {fault}" for fault in faults))
    return params


def load(path: Path | None = None) -> Params:
    """Read and check params.yaml of the current folder, or `path`.

    Raises UserError (one line per fault: key path, value, what is allowed) for a missing or wrong file.
    """
    path = path or root() / "params.yaml"
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_numbers_with_exponents())
    except FileNotFoundError:
        raise UserError(
            f"{path.name}: not found in this folder; run from the project root, or copy presets/demo.yaml"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name}: not valid YAML: {' '.join(str(error).split())}") from None
    return check(content, path.name)


def _numbers_with_exponents() -> type[yaml.SafeLoader]:
    # YAML 1.1 reads 5e-6 as a string where DVC (YAML 1.2) reads a number; both must see the same value.
    loader = type("Loader", (yaml.SafeLoader,), {})
    number = re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")
    loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    return loader


def root() -> Path:
    """Return the folder a stage works in: DVC starts every stage at the root of its checkout."""
    return Path.cwd()
