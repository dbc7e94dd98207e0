"""params.yaml of a training on somebody's own images: what `depth-anything train` decides, and whose file it is.

Decides nothing that needs the images or the machine: `depth_model.planning.fitting` does, and the command looks at the
folders. What is left to defaults is that of the settings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml.comments import CommentedMap

from depth_model.errors import UserError
from depth_model.networks.variants import VARIANTS
from depth_model.planning.fitting import Fit, whole
from tasks.settings import params, presets

LABELS, IMAGES, METRIC = "labels", "images", "own"
"""What the sources, and the fine-tuning to meters, are called."""
NEW_DECODER = {"encoder_learning_rate": 2e-5, "decoder_learning_rate": 2e-4}
WHOLE_MODEL = {"encoder_learning_rate": 5e-6, "decoder_learning_rate": 5e-5}
_BY = "# Written by 'depth-anything "
_REST = "# Unedited while the SHA-256 of the lines below begins with "


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What was asked for and found: `root` and `options` of the sources (`labels` None without any); which fraction of
    the labeled images to hold out, and how many unlabeled ones there are; models from elsewhere by name, of which
    `start` and `teacher` name one or none; the `size` of the student and the blocks that its decoder reads; the largest
    depth in meters to fine-tune to; whether sky is looked for; what fits; and `told`, what the file says of some values
    by path of the key."""

    images: Mapping[str, Any]
    labels: Mapping[str, Any] | None = None
    held_out: float = 0.0
    unlabeled: int
    models: Mapping[str, str] = field(default_factory=dict)
    start: str = ""
    teacher: str = ""
    size: str = "vits"
    out_indices: str = "last"
    metric: float | None = None
    precision: str = "fp32"
    sky: bool = False
    told: Mapping[str, str] = field(default_factory=dict)
    fit: Fit


def text(chosen: Choices, command: str) -> str:
    """Return the whole params.yaml, with the `command` that wrote it; raises UserError where settings do not agree."""
    given = _given(chosen)
    params.check(presets.completed(params.Params, given))
    below = presets.text_of(given, [f"# {presets.CHECKED} Edit what you like: 'dvc repro' goes on from it."])
    return f"{_BY}{command}'.\n{_REST}{_digest(below)}\n{below}"


def _digest(below: str) -> str:
    return hashlib.sha256(below.encode()).hexdigest()[:16]


def is_unedited(content: str) -> bool:
    """Return whether a params.yaml is as it was written, by this module or from a preset."""
    head, _, rest = content.partition("\n")
    mark, _, below = rest.partition("\n")
    if head.startswith(_BY) and mark.startswith(_REST):
        return mark == _REST + _digest(below)
    return any(presets.written(path) == content for path in sorted(presets.FOLDER.glob("*.yaml")))


def is_of(content: str, command: str) -> bool:
    """Return whether `command` wrote a params.yaml, edited since or not."""
    return content.partition("\n")[0] == f"{_BY}{command}'."


def _given(chosen: Choices) -> CommentedMap:
    """Return what differs from the defaults, with a comment where a value was worked out."""
    found = chosen.fit
    rates = WHOLE_MODEL if chosen.start else NEW_DECODER
    initial = {"initial": f"data/models/{chosen.start}"} if chosen.start else {}
    given = _commented(
        {
            "models": {name: {"source": source} for name, source in chosen.models.items()},
            "sources": _sources(chosen),
            "sky": {"segmenter": "packaged_probe" if chosen.sky else "none"},
            "encoder": {"weights": _weights(chosen.size)},
            "training": {"precision": chosen.precision, "crop": found.crop, "out_indices": chosen.out_indices},
            "validation": _validation(chosen),
            "teacher": {"encoder": chosen.size, "epochs": max(1, found.teacher_epochs), "batch": found.teacher_batch}
            | rates
            | ({"model": f"data/models/{chosen.teacher}"} if chosen.teacher else initial),
            "pseudo_label": {"short_side": found.crop, "precision": chosen.precision},
            "student": {"encoder": chosen.size, "epochs": found.student_epochs}
            | {"labeled_per_batch": found.labeled_per_batch, "unlabeled_per_batch": found.unlabeled_per_batch}
            | rates
            | initial,
            "feature_alignment": _alignment(chosen.size),
            "evaluation": {"short_side": found.crop},  # as it is trained and validated: small networks lose at others
            "finetune_metric": _finetune(chosen),
            "machine": {"training": {"checkpoint_every": _checkpoint_every(chosen)}},
        }
    )
    for place, note in chosen.told.items():
        *parents, last = place.split(".")
        at = given
        for one in parents:
            at = at[one]
        at.yaml_add_eol_comment(note, last)
    return given


def _commented(value: Any) -> Any:
    """Return mappings, at any depth, as those that carry comments."""
    if not isinstance(value, Mapping):
        return value
    return CommentedMap((key, _commented(one)) for key, one in value.items())


def _sources(chosen: Choices) -> dict[str, Any]:
    images = {IMAGES: {"reader": "image_folder", **chosen.images}}
    if chosen.labels is None:
        return {"unlabeled": images}
    labels = {LABELS: {"reader": "rgbd_folder", **chosen.labels}}
    return {"labeled": labels, "unlabeled": images} | ({"metric": labels} if chosen.metric else {})


def _weights(size: str) -> str:
    """Return where the encoder's weights are from: packaged for its size, none for a size without any, else the hub."""
    return "packaged" if size == "vits" else "hub" if VARIANTS[size].timm else "none"


def _alignment(size: str) -> dict[str, Any]:
    weights = _weights(size)
    block = 9 if weights == "packaged" else VARIANTS[size].depth - 1
    return {"block": block} | ({"images": "none"} if weights == "none" else {})


def _validation(chosen: Choices) -> dict[str, Any]:
    """Hold out what tells enough, and measure eight times in the training of the student."""
    if not chosen.held_out:
        return {}
    return {"fraction": chosen.held_out, "every": max(5, round(_steps(chosen) / 8))}


def _steps(chosen: Choices) -> float:
    return chosen.fit.student_epochs * chosen.unlabeled / chosen.fit.unlabeled_per_batch


def _checkpoint_every(chosen: Choices) -> int:
    """Return after how many steps about a minute's work of the student is lost to a kill, 5 to 1000."""
    seconds = chosen.fit.seconds["train student"] / _steps(chosen)
    return int(min(1000, max(5, 60 / max(seconds, 0.01))))


def _finetune(chosen: Choices) -> dict[str, Any]:
    if not chosen.metric:
        return {}
    if chosen.labels is None:
        raise UserError("--metric: needs images with depth in meters: --color and --depth")
    fit = chosen.fit
    width = whole(round(fit.crop * 4 / 3), chosen.size)
    shape = {"height": fit.crop, "width": width, "maximum": chosen.metric}
    return {METRIC: shape | {"epochs": fit.metric_epochs, "batch": fit.teacher_batch, "source": LABELS}}
