"""What the evaluations of the command line share: models and their titles, changed protocols, chosen images."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model.errors import UserError, named
from depth_model.shown import shown
from tasks.commands.shared import value_of
from tasks.settings import params

if TYPE_CHECKING:
    import pandas as pd

    from depth_model.comparison.compare import Plan
    from depth_model.comparison.reader_cases import ReadCases
    from depth_model.evaluation.protocols import Protocol

TOLD = 10


def tell(plan: Plan, summary: Mapping[str, Any], table: pd.DataFrame) -> None:
    """Say on stderr what could not be evaluated, and when the images are not as many as the published ones."""
    failed = table[table["failure"] != ""]
    reasons = [f"{one['key']}: {one['reason']}" for one in summary["skipped"]]
    reasons += [f"{key}: {model}: {why}" for key, model, why in zip(failed["key"], failed["model"], failed["failure"])]
    for line in reasons[:TOLD]:
        print(shown(f"not measured: {line}"), file=sys.stderr)
    if len(reasons) > TOLD:
        print(f"not measured: {len(reasons) - TOLD} more, see {plan.folder}", file=sys.stderr)
    if plan.protocol.images not in (None, summary["images"]):
        name, published = plan.protocol.name, plan.protocol.images
        print(f"note: {name} is about {published} images, these are {summary['images']}", file=sys.stderr)


def titles(models: Sequence[str]) -> dict[str, str]:
    """Return title -> model: the last part of each name, or what stands before `=`.

    Raises UserError for two of one title, and for the title of the constant.
    """
    from depth_model.evaluation.harness import CONSTANT

    named: dict[str, str] = {}
    for model in models:
        title, separator, path = model.partition("=")
        title, path = (title, path) if separator else (Path(model).name, model)
        title = re.sub(r"[^A-Za-z0-9_.-]", "-", title).strip(".") or "model"
        if title in named or title == CONSTANT:
            raise UserError(f"--model {model}: another model is called {title!r}; name it: --model NAME={path}")
        named[title] = path
    return named


def changed(protocol: Protocol, changes: Sequence[tuple[str, str]]) -> Protocol:
    """Return `protocol` with `changes` (key, value as YAML); raises UserError for a key or a value that is wrong."""
    known = [field.name for field in fields(protocol) if field.name not in ("name", "note", "reader", "options")]
    for key, text in changes:
        if key not in known:
            raise UserError(f"--change {key}: a protocol has no such key; there are: {', '.join(known)}")
        value = value_of(text)
        value = tuple(value) if isinstance(value, list) else value
        default = getattr(protocol, key)
        if isinstance(default, bool) != isinstance(value, bool) or isinstance(default, str) != isinstance(value, str):
            raise UserError(f"--change {key}={text}: is now {default!r}; give the same kind of value")
        with named(f"--change {key}={text}", ValueError, TypeError):
            protocol = replace(protocol, **{key: value}, name=f"{protocol.name}+{key}={text}")
    return protocol


def chosen_cases(source: params.Source, listed: Path | None) -> ReadCases:
    """Return the cases of `source`, or those that the list file names.

    A reader with an option `list` reads the list in its own way; of another, a line, or its first word, is a key or a
    path below the root. Raises UserError.
    """
    from depth_model.comparison.reader_cases import read_cases
    from depth_model.reading.split_lists import plain_path, text_lines

    options = source.chosen_options()
    root = Path(source.root or "")
    if listed is not None and not listed.is_file():
        raise UserError(f"--list {listed}: there is no such file")
    names = None
    if listed is not None:
        if "list" in {field.name for field in fields(options)}:
            options = replace(options, list=str(listed.resolve()))
        else:
            with named("--list"):
                names = [plain_path(line) for line in text_lines(listed)]
    with named(f"--root {source.root}", OSError):
        return read_cases(source.reader, root, options, names)
