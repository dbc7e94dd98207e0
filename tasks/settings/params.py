"""params.yaml, checked: every key, type and range, before anything runs.

The settings of a computation are dataclasses beside its code; those of the pipeline are in `sections` and `finetuning`
beside this. `load` refuses an unknown key, a wrong type or a value out of range with the path of the key, the value and
what is allowed. Imports neither torch nor pandas, so that `inventory` starts at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt, Le
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from depth_model import readers
from depth_model.audit.settings import AuditRules, DriftSettings
from depth_model.errors import UserError
from depth_model.networks.variants import VARIANTS
from depth_model.pseudo_label.settings import LabelSettings
from depth_model.reading.settings import CollectSettings
from depth_model.settings import NotNegative, setting
from depth_model.sky.settings import LABELS, SkySettings
from depth_model.training.settings import (
    ENCODER,
    AlignmentSettings,
    StudentSettings,
    TeacherSettings,
    TrainingSettings,
    ValidationSettings,
)
from tasks.settings.finetuning import EvaluateMetric, EvaluateSemantic, FinetuneMetric, FinetuneSemantic
from tasks.settings.sections import (
    CLASSES,
    EXPORTED,
    ROLES,
    Data,
    EncoderWeights,
    Evaluation,
    Export,
    Machine,
    Model,
    Name,
    Resume,
    Source,
    Sources,
    closest,
    project_path,
    source_root,
)
from tasks.settings.structure import completed, keys_at, missing
from tasks.workspace.paths import MODELS

__all__ = [
    "EXPORTED",
    "ROLES",
    "EvaluateMetric",
    "EvaluateSemantic",
    "Export",
    "FinetuneMetric",
    "FinetuneSemantic",
    "Model",
    "Params",
    "Source",
    "check",
    "load",
    "project_path",
    "read",
    "root",
    "source_root",
]

_LARGEST = 1_000_000
"""Values in a file of parameters, each as often as it is referred to."""


@checked_dataclass(config=ConfigDict(extra="forbid", strict=True), frozen=True, kw_only=True)
class Params:
    """The whole of params.yaml."""

    seed: NotNegative = setting("of every random number", 7)
    alpha: Annotated[float, Gt(0), Le(1)] = setting("tolerance of feature alignment (paper: 0.85)", 0.85)
    export: dict[Name, Export] = setting("parts of the rendered world in the layouts of real data sets", factory=dict)
    models: dict[Name, Model] = setting(
        "from elsewhere, by name: {source: FILE, FOLDER, ORG/NAME, models:/NAME@ALIAS or packaged | hub | none}, "
        "docs/own-model.md",
        factory=dict,
    )
    sources: Sources = setting("", Sources())
    data: Data = setting("", Data())
    collect: CollectSettings = setting("", CollectSettings())
    audit: AuditRules = setting("which images count as the same picture; docs/audit.md", AuditRules())
    drift: DriftSettings = setting("against accepted.json; docs/collection.md", DriftSettings())
    sky: SkySettings = setting("", SkySettings())
    class_map: dict[Name, str] = setting(
        "for student.auxiliary_semantics, by unlabeled source: labels (of the data set) | a folder of maps | a "
        "transformers segmentation model (folder or hub id)",
        factory=dict,
    )
    encoder: EncoderWeights = setting("", EncoderWeights())
    training: TrainingSettings = setting("of teacher and student; fine-tuning takes the loop's", TrainingSettings())
    validation: ValidationSettings = setting("inside every training; docs/training.md", ValidationSettings())
    teacher: TeacherSettings = setting("", TeacherSettings())
    pseudo_label: LabelSettings = setting("", LabelSettings())
    student: StudentSettings = setting("", StudentSettings())
    feature_alignment: AlignmentSettings = setting("", AlignmentSettings())
    evaluation: Evaluation = setting("", Evaluation())
    finetune_metric: dict[Name, FinetuneMetric] = setting("", factory=dict)
    evaluate_metric: dict[Name, EvaluateMetric] = setting(
        "every metric model on each of these; protocols: docs/evaluation.md", factory=dict
    )
    finetune_semantic: dict[Name, FinetuneSemantic] = setting("", factory=dict)
    evaluate_semantic: dict[Name, EvaluateSemantic] = setting(
        "on each of these, every model with its classes", factory=dict
    )
    machine: Machine = setting("fits the machine, changes no result beyond rounding", Machine())
    resume: Resume = setting("", Resume())

    def __post_init__(self) -> None:
        self._check_parts_agree()
        self._check_shares()
        self._check_initials()
        self._check_sides()
        self._check_sources()
        self._check_classes()

    def _check_parts_agree(self) -> None:
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
        bare = {getattr(self, role).encoder for role in MODELS if self._starts_bare(role)}
        if self.encoder.weights == "packaged" and bare - {"vits"}:
            raise ValueError(
                "encoder.weights = 'packaged' is a ViT-S: teacher.encoder and student.encoder must be 'vits'"
            )

    def _starts_bare(self, role: str) -> bool:
        return not self.starts_whole(role) and not (role == "teacher" and self.teacher.model)

    def starts_whole(self, role: str) -> bool:
        """Return whether the training of `role`, teacher or student, starts from a whole model."""
        return getattr(self, role).initial != ENCODER and not (role == "teacher" and self.teacher.model)

    def _check_sides(self) -> None:
        teacher = () if self.teacher.model else (self.teacher.encoder,)
        student = (self.student.encoder,)
        sides = [
            ("training.crop", self.training.crop, teacher + student),
            ("pseudo_label.short_side", self.pseudo_label.short_side, teacher),
            ("evaluation.short_side", self.evaluation.short_side, teacher + student),
        ]
        for section, keys in (("finetune_metric", ("height", "width")), ("finetune_semantic", ("crop",))):
            for name, one in getattr(self, section).items():
                encoders = (self.initial_encoder(one.initial),)
                sides += [(f"{section}.{name}.{key}", getattr(one, key), encoders) for key in keys]
        learned = [self.initial_encoder(one.initial) for one in self.finetune_semantic.values()]
        for name, one in self.evaluate_semantic.items():
            sides.append((f"evaluate_semantic.{name}.short_side", one.short_side, learned))
        for key, side, encoders in sides:
            for encoder in encoders:
                if side % (patch := VARIANTS[encoder].patch):
                    raise ValueError(f"{key} = {side}: encoder {encoder!r} needs a multiple of {patch}")

    def _check_initials(self) -> None:
        brought = [f"data/models/{name}" for name in self.models]
        trained = [f"models/{name}" for name in MODELS]
        asked = [(f"{role}.initial", getattr(self, role).initial, [ENCODER, *brought]) for role in MODELS]
        asked.append(("teacher.model", self.teacher.model, ["", *brought]))
        for section in ("finetune_metric", "finetune_semantic"):
            for name, one in getattr(self, section).items():
                asked.append((f"{section}.{name}.initial", one.initial, [*trained, *brought]))
        for key, model, known in asked:
            if model not in known:
                if model in trained:
                    copy = f"bring a copy, models: {{NAME: {{source: {model}}}}}, and name data/models/NAME"
                    raise ValueError(f"{key} = {model!r}: what a run trains cannot be its start; {copy}")
                raise ValueError(
                    f"{key} = {model!r}: no such model{closest(model, [one or repr(one) for one in known])}"
                )

    def initial_encoder(self, initial: str) -> str:
        """Return the size of the encoder that fine-tuning from `initial` has: the teacher's, or else the student's."""
        return self.teacher.encoder if initial == "models/teacher" else self.student.encoder

    def _check_shares(self) -> None:
        parts = self.machine.training.processes * self.training.accumulation
        for key, images in (
            ("teacher.batch", self.teacher.batch),
            ("student.unlabeled_per_batch", self.student.unlabeled_per_batch),
        ):
            if images < parts:
                product = f"machine.training.processes x training.accumulation = {parts}"
                raise ValueError(f"{key} = {images}: {product} is more")

    def _check_classes(self) -> None:
        unlabeled = list(self.sources.unlabeled)
        for name, segmenter in self.class_map.items():
            if name not in unlabeled:
                raise ValueError(f"class_map.{name}: no unlabeled source{closest(name, unlabeled)}")
            if segmenter == LABELS and not self.sources.unlabeled[name].class_labels:
                raise ValueError(f"class_map.{name} = {LABELS!r}: set sources.unlabeled.{name}.class_labels: true")
        weight = f"student.auxiliary_semantics = {self.student.auxiliary_semantics:g}"
        if self.student.auxiliary_semantics and not self.class_map:
            raise ValueError(f"{weight}: class_map names no source to learn classes from")
        if self.student.auxiliary_semantics and not self.student.pseudo_labels:
            raise ValueError(f"{weight}: student.pseudo_labels = false: no step takes unlabeled images")

    def _check_sources(self) -> None:
        labeled, held_out = list(self.sources.labeled), self.validation.sources
        for name in held_out:
            if name not in labeled:
                raise ValueError(f"validation.sources = {name!r}: no labeled source{closest(name, labeled)}")
        if held_out and set(held_out) == set(labeled):
            raise ValueError("validation.sources: holds out every labeled source; leave one to learn from")
        for role in ("metric", "semantic"):
            known = getattr(self.sources, role)
            for section in (f"finetune_{role}", f"evaluate_{role}"):
                for name, one in getattr(self, section).items():
                    where = f"{section}.{name}.source = {one.source!r}"
                    if one.source not in known:
                        raise ValueError(f"{where}: no {role} source{closest(one.source, list(known))}")
                    if role == "semantic" and (reader := known[one.source].reader) not in CLASSES:
                        hint = closest(reader, list(CLASSES))
                        raise ValueError(f"{where}: reader {reader!r} has no list of classes{hint}")

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


def _sentence(error: Mapping[str, Any]) -> str:
    location = [part for part in error["loc"] if part != "[key]"]
    where = ".".join(map(str, location))
    if error["type"] == "unexpected_keyword_argument":
        return f"{where}: unknown key{closest(str(location[-1]), keys_at(Params, tuple(location[:-1])))}"
    if error["type"] == "missing":
        return f"{where}: missing key"
    message = error["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(error["input"], dict) else f" = {error['input']!r:.200}"
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
        raise UserError(f"{name}: must hold keys and values; 'depth-anything params demo -o params.yaml' writes one")
    faults = [f"{path}: missing key" for path in missing(content, completed(Params, content))]
    try:
        # As JSON, because there pydantic takes mappings for dataclasses and still converts nothing else.
        params = TypeAdapter(Params).validate_json(json.dumps(content, default=str))
        faults += _option_faults(params)
    except ValidationError as error:
        faults += [_sentence(one) for one in error.errors()]
    except TypeError as error:  # a key that is a list or a mapping
        raise UserError(f"{name}: {error}") from None
    if faults:
        raise UserError("\n".join(f"{name}: {fault}" for fault in faults))
    return params


def load(path: Path | None = None) -> Params:
    """Read and check params.yaml of the current folder, or `path`.

    Raises UserError (one line per fault: key path, value, what is allowed) for a missing or wrong file.
    """
    path = path or root() / "params.yaml"
    return check(read(path), path.name)


def read(path: Path) -> Any:
    """Return the content of a file of parameters, as DVC reads it (YAML 1.2); raises UserError as `load` does.

    Aliases are refused that make the file many times larger, or part of itself.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        if (size := _values(content, {})) > _LARGEST:
            raise UserError(f"{path.name}: its aliases (*) make {size} values of it; {_LARGEST} are read")
        return content
    except FileNotFoundError:
        raise UserError(
            f"{path.name}: not found in this folder; run from the project root, or write one with"
            " 'depth-anything params demo -o params.yaml'"
        ) from None
    except RecursionError:
        raise UserError(f"{path.name}: nested too deeply, or an alias (*) makes a value part of itself") from None
    except (YAMLError, ValueError, TypeError) as error:  # what a wrong number, date or key is to the parser
        raise UserError(f"{path.name}: not valid YAML: {' '.join(str(error).split()):.500}") from None


def _values(content: Any, known: dict[int, int]) -> int:
    """Return how many values there are in `content`; what is `known`, by identity, is not walked through again."""
    if not isinstance(content, dict | list):
        return 1
    if id(content) not in known:
        below = content.values() if isinstance(content, dict) else content
        known[id(content)] = 1 + sum(_values(one, known) for one in below)
    return known[id(content)]


def root() -> Path:
    """Return the folder a stage works in: DVC starts every stage at the root of its checkout."""
    return Path.cwd()
