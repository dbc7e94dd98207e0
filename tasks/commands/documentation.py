"""The pages of docs/reference that the code itself writes: parameters, commands, protocols, claims.

`python -m tasks.commands.documentation` in the root of the checkout writes them; a test compares. The page of the data
sets is `depth_model.reading.documentation`'s.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin
from unittest.mock import patch

from annotated_types import Ge, Gt, Le, Len, Lt

from depth_model import files
from depth_model.comparison import claims
from depth_model.evaluation import protocols
from depth_model.settings import DOC
from tasks.commands import main as command_line
from tasks.settings.params import Params
from tasks.settings.structure import entry_of, hints, section_of

FOLDER = Path("docs/reference")
WRITTEN_BY = "Written by `python -m tasks.commands.documentation`; do not edit by hand."
_SIGNS = {Ge: ("ge", "≥"), Gt: ("gt", ">"), Le: ("le", "≤"), Lt: ("lt", "<")}


def parameters() -> str:
    """Return the page of params.yaml: every key with its type and range, its default and what it means."""
    lines = ["# Parameters", "", WRITTEN_BY, "", "`params.yaml` holds every one of these keys, checked before a run."]
    lines += ["`NAME` stands for a name that you choose. A preset may leave out what has a default.", ""]
    for title, rows in groupby(_rows(Params, ""), key=lambda row: row[0].strip("`").partition(".")[0]):
        lines += [f"## {title}", "", *_table(("key", "type and range", "default", "meaning"), rows), ""]
    return "\n".join(lines)


def _rows(section: type, above: str) -> Iterator[tuple[str, ...]]:
    for one in fields(section):
        hint, key = hints(section)[one.name], f"{above}{one.name}"
        below = entry_of(hint) or section_of(hint)
        if below is None:
            yield f"`{key}`", _kind(hint), _default(one), one.metadata.get(DOC, "")
        else:
            yield from _rows(below, f"{key}.NAME." if entry_of(hint) else f"{key}.")


def _kind(hint: Any) -> str:
    """Return a type as a reader of params.yaml knows it, with its range: `number > 0`, `fp32 or bf16`."""
    if get_origin(hint) is Annotated:
        base, *limits = get_args(hint)
        return " ".join([_kind(base), ", ".join(filter(None, map(_limit, limits)))]).strip()
    parts = [one for one in get_args(hint) if one is not type(None)]
    if parts and get_origin(hint) in (list, tuple, dict):
        return {list: "list of ", tuple: "list of ", dict: "mapping of "}[get_origin(hint)] + _kind(parts[0])
    names = {float: "number", int: "whole number", str: "text", bool: "true or false", Any: "any"}
    return " or ".join(_kind(one) for one in parts) if parts else names.get(hint, f"`{hint}`")


def _limit(one: Any) -> str:
    if isinstance(one, Len):
        return f"of {one.min_length}"
    name, sign = _SIGNS.get(type(one), ("", ""))
    bound = getattr(one, name, math.inf)
    return "" if bound == math.inf else f"{sign} {bound:g}"


def _default(one: Field) -> str:
    value = one.default if one.default_factory is MISSING else one.default_factory()
    return "must be given" if value is MISSING else f"`{json.dumps(value)}`"


def commands() -> str:
    """Return the page of the command `depth-anything`: the help of each of its commands."""
    with patch.dict(os.environ, {"COLUMNS": "100"}):
        top = command_line.parser()
        (below,) = (one for one in top._actions if isinstance(one, argparse._SubParsersAction))
        helps = {name: one.format_help() for name, one in below.choices.items()}
    lines = ["# The command depth-anything", "", WRITTEN_BY, ""]
    for name, text in helps.items():
        lines += [f"## {name}", "", "```text", text.strip(), "```", ""]
    return "\n".join(lines)


def protocol_page() -> str:
    """Return the page of the evaluation protocols: the variants of each set and what differs from the defaults."""
    lines = ["# Protocols", "", WRITTEN_BY, "", "The fields are explained in `depth_model/evaluation/protocols.py`."]
    for dataset in protocols.set_names():
        rows = ((f"`{name}`", _differences(one), one.note) for name, one in protocols.variants(dataset).items())
        lines += ["", f"## {dataset}", "", *_table(("variant", "what is measured", "note"), rows)]
    return "\n".join(lines) + "\n"


def _differences(one: protocols.Protocol) -> str:
    said = {key: value for key, value in protocols.described(one).items() if key not in ("name", "note")}
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in said.items())


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield "| " + " | ".join(cell if cell == "---" else cell.replace("|", "\\|") for cell in row) + " |"


def claim_page() -> str:
    """Return the page of the numbers of the paper that a released model can be held to."""
    return "\n".join(["# Claims", "", WRITTEN_BY, "", claims.page()])


PAGES = {"parameters.md": parameters, "commands.md": commands, "protocols.md": protocol_page, "claims.md": claim_page}


if __name__ == "__main__":
    for name, page in PAGES.items():
        files.write_text(FOLDER / name, page())
