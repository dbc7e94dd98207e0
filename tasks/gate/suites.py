"""What must hold of collected data before anything may learn from them: suites for Great Expectations, as data.

Users add their own in `expectations.yaml`. Each expectation is a sentence for people, the type and the arguments of
a Great Expectations expectation. Which table a suite is for, and how a failure is shown, is the business of
`tasks.gate.checks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from depth_model.errors import UserError
from depth_model.shards.rasters import CODECS
from depth_model.shards.sample import TARGET_KINDS

ADDED = Path("expectations.yaml")
STOOD_BEFORE = "stood_before"
"""A column that tables of samples get besides those of the manifest: whether the key stands earlier in its source."""


class Expectation(NamedTuple):
    """`says` ends the sentence "it is expected that ..."; `column` is what a failure shows."""

    says: str
    column: str
    type: str
    arguments: dict[str, Any]


def _between(column: str, says: str, **limits: Any) -> Expectation:
    return Expectation(says, column, "expect_column_values_to_be_between", {"column": column, **limits})


def _present(column: str) -> Expectation:
    return Expectation(f"{column} is given", column, "expect_column_values_to_not_be_null", {"column": column})


def _one_of(column: str, says: str, values: list[Any]) -> Expectation:
    arguments = {"column": column, "value_set": values}
    return Expectation(says, column, "expect_column_values_to_be_in_set", arguments)


def _at_least(column: str, other: str, says: str) -> Expectation:
    arguments = {"column_A": column, "column_B": other, "or_equal": True, "ignore_row_if": "either_value_is_missing"}
    return Expectation(says, column, "expect_column_pair_values_a_to_be_greater_than_b", arguments)


UNIQUE = _one_of(STOOD_BEFORE, "a key stands once in its source", [False])
IMAGES = [
    UNIQUE,
    _between("height", "the height is at least 1 pixel", min_value=1),
    _between("width", "the width is at least 1 pixel", min_value=1),
    _between("image_size", "the encoded image is not empty", min_value=1),
]
TARGETS = [
    _present("target_kind"),
    _one_of("target_kind", f"the target kind is one of {', '.join(TARGET_KINDS)}", list(TARGET_KINDS)),
    _one_of("codec", f"the codec is one of {', '.join(CODECS)}", list(CODECS)),
    _present("valid_fraction"),
    _between("valid_fraction", "the valid fraction lies in (0, 1]", min_value=0, strict_min=True, max_value=1),
    _present("minimum"),
    _at_least("maximum", "minimum", "the maximum of the target is not below its minimum"),
]
METRIC_TARGETS = [
    _one_of("target_kind", "the target is depth in meters (metric_depth)", ["metric_depth"]),
]
CLASSES = [
    _between("semantic_size", "every image has a map of classes", min_value=1),
]
SOURCES = [
    _at_least("samples", "minimum_count", "the source has at least minimum_count samples"),
    _between("damaged_shards", "every shard is there in the size that was written", max_value=0),
]
SIDECARS = [
    _one_of("keys_agree", "the keys are those of the annotated source, in the same order", [True]),
    _between("damaged_shards", "every shard is there in the size that was written", max_value=0),
]
SKY = [
    UNIQUE,
    _present("sky_fraction"),
    _between("sky_fraction", "the sky fraction lies in [0, 1]", min_value=0, max_value=1),
]
PSEUDO = [
    UNIQUE,
    _present("minimum"),
    _between("minimum", "disparity is not negative", min_value=0),
    _at_least("maximum", "minimum", "the maximum of the disparity is not below its minimum"),
]

SAMPLE_SUITES = {
    "labeled": IMAGES + TARGETS,
    "unlabeled": IMAGES,
    "evaluation": IMAGES + TARGETS,
    "metric": IMAGES + TARGETS + METRIC_TARGETS,
    "semantic": IMAGES + CLASSES,
    "sky": SKY,
    "pseudo": PSEUDO,
}
SOURCE_SUITES = {
    "labeled": SOURCES,
    "unlabeled": SOURCES,
    "evaluation": SOURCES,
    "metric": SOURCES,
    "semantic": SOURCES,
    "sky": SIDECARS,
    "pseudo": SIDECARS,
}
ANNOTATED = {"sky": "labeled", "pseudo": "unlabeled"}
"""Which role a sidecar annotates."""


class _Added(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    says: str
    type: str
    arguments: dict[str, Any]


def sample_suite(role: str) -> list[Expectation]:
    """Return what is expected of the samples of `role`: the built-in suite and what `expectations.yaml` adds to it.

    Raises UserError, with a line per fault, for an unknown role or a wrong entry in that file.
    """
    if not ADDED.exists():
        return SAMPLE_SUITES[role]
    try:
        content = yaml.safe_load(ADDED.read_text(encoding="utf-8")) or {}
        added = TypeAdapter(dict[str, list[_Added]]).validate_python(content)
    except yaml.YAMLError as error:
        raise UserError(f"{ADDED}: not valid YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        lines = [f"{ADDED}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise UserError("\n".join(lines)) from error
    unknown = sorted(added.keys() - SAMPLE_SUITES.keys())
    if unknown:
        raise UserError(f"{ADDED}: {', '.join(unknown)}: no such role (allowed: {', '.join(SAMPLE_SUITES)})")
    mine = [
        Expectation(one.says, one.arguments.get("column", ""), one.type, one.arguments) for one in added.get(role, [])
    ]
    return SAMPLE_SUITES[role] + mine
