"""docs/datasets.md, written from the readers themselves: `python -m depth_model.reading.documentation`.

Nothing is said on that page that is not said in a reader; a test compares the two.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path

from depth_model import files, readers
from depth_model.reading.reader import Reader

PAGE = Path("docs") / "datasets.md"

_HEAD = """# Data sets

Written by `python -m depth_model.reading.documentation` from the readers in `depth_model/readers`; do not
edit it by hand. A reader is named in `params.yaml` (see [own-data.md](own-data.md)), and a new one is
[one file](adding-a-data-set.md). Depth comes out planar and in meters (or of unknown scale), NaN where there is no
label, whatever the files say. Licenses are as stated by the authors of each set: read theirs before you publish
anything. `depth-anything inspect --reader NAME --root FOLDER` says what a reader finds in your copy.
"""


def page() -> str:
    """Return the whole page as Markdown: a table of all readers, then a section for each, by name."""
    every = [readers.get(name) for name in readers.names()]
    return "\n".join([_HEAD, *_table(every), *(line for one in every for line in _section(one))])


def _table(every: list[Reader]) -> Iterator[str]:
    yield "| reader | images | stored unit | no label | in the paper |"
    yield "| --- | --- | --- | --- | --- |"
    for one in every:
        cells = (one.images, one.unit or "no labels", one.invalid or "–", one.paper)
        yield f"| [{one.name}](#{one.name}) | " + " | ".join(_line(cell).replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _section(one: Reader) -> Iterator[str]:
    yield f"## {one.name}\n\n{_line(one.description)}\n"
    yield f"```\n{inspect.cleandoc(one.layout)}\n```\n"
    facts = {
        "stored unit": one.unit,
        "no label": one.invalid,
        "sky": "" if one.sky_label is None else f"known: class {one.sky_label} of the class labels",
        "images": one.images,
        "license": one.license,
        "where": one.where,
        "in the paper": one.paper,
    }
    yield "\n".join(f"- {name}: {_line(text)}" for name, text in facts.items() if text) + "\n"
    yield f"Options: {_line(inspect.getdoc(one.options) or '')}\n"
    if defaults := ", ".join(_default(field) for field in fields(one.options)):
        yield f"Defaults: {defaults}.\n"


def _default(field: object) -> str:
    return f"`{field.name}` " + ("must be given" if field.default is MISSING else f"`{field.default!r}`")


def _line(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    """Write the page into the docs of the checkout; run it in its root."""
    files.write_text(PAGE, page())


if __name__ == "__main__":
    main()
