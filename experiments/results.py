"""The rows of the paper's ablations as changes of parameters, and the file of what was measured; starts nothing."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.comparison.ablations import RESULTS

_UNPERTURBED = tuple(f"student.perturbation.{name}_probability=0.0" for name in ("jitter", "blur", "cutmix"))
_UNALIGNED = ("feature_alignment.images=none",)
_NO_CLASSES = "student.auxiliary_semantics=0.0"
_LABELS_ALONE = ("student.pseudo_labels=false", *_UNALIGNED)


@dataclass(frozen=True)
class Row:
    """One row: the label it has in the paper, what it changes in params.yaml, and the model that it measures."""

    label: str
    changes: tuple[str, ...]
    model: str = "student"


def rows_of(table: str, labeled: Sequence[str]) -> list[Row]:
    """Return the rows of `table`, a key of TABLES; Table 6 has one for each of the `labeled` sources, and for all."""
    if table != "table-6":
        return list(TABLES[table])
    one = [
        Row(name, tuple(f"~sources.labeled.{other}" for other in labeled if other != name), "teacher")
        for name in labeled
    ]
    return [*one, Row("all", (), "teacher")]


TABLES: dict[str, tuple[Row, ...]] = {
    "table-6": (),
    "table-9": (
        Row("labeled", _LABELS_ALONE),
        Row("labeled + unlabeled", (*_UNPERTURBED, *_UNALIGNED)),
        Row("labeled + unlabeled + perturbation", _UNALIGNED),
        Row("labeled + unlabeled + perturbation + feature alignment", ()),
    ),
    "table-12": tuple(Row(f"alpha = {alpha}", (f"alpha={alpha}",)) for alpha in ("1.00", "0.85", "0.70")),
    "auxiliary": (
        Row("neither", (_NO_CLASSES, *_UNALIGNED)),
        Row("auxiliary segmentation", ("student.auxiliary_semantics=1.0", *_UNALIGNED)),
        Row("feature alignment", (_NO_CLASSES,)),
    ),
    "table-13": (
        Row("nowhere", _UNALIGNED),
        Row("unlabeled images", ("feature_alignment.images=unlabeled",)),
        Row("labeled images", ("feature_alignment.images=labeled",)),
    ),
}


def add_result(result: Mapping[str, Any], path: Path = RESULTS) -> None:
    """Add a line to the results file, whole or not at all; lines that stand there stay as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        files.write_text(path, before + json.dumps(result, sort_keys=True) + "\n")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with open(path.with_name(f".{path.name}.lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
