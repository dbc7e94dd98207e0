"""`depth-anything inspect`: what a reader finds in your copy of a data set."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

from depth_model.errors import UserError
from tasks.commands.shared import checked_source, key_value, purpose, value_of

_SHOWN = 3


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("inspect", help="what a reader finds in a folder", description=purpose(inspect))
    one.add_argument("--reader", required=True, help="the layout of the data, as in params.yaml (docs/datasets.md)")
    one.add_argument("--root", help="the folder of the data")
    one.add_argument("--options", nargs="*", type=key_value, default=[], metavar="KEY=VALUE", help="of the reader")
    one.add_argument("--limit", type=int, help="open the first samples only; all are counted")
    one.set_defaults(run=inspect)


def inspect(given: argparse.Namespace) -> None:
    """Print how many samples a reader lists, their sizes, share of labeled pixels, range of labels and refusals.

    Raises UserError for a wrong reader or option and when nothing can be read, BadInput for a root that is missing or
    incomplete.
    """
    from depth_model import readers
    from depth_model.reading.inspection import inspected

    source = checked_source(given.reader, given.root, {key: value_of(value) for key, value in given.options})
    reader, root, options = readers.get(source.reader), Path(given.root or ""), source.chosen_options()
    keys = [item.key for item in islice(reader.listed(root, options), _SHOWN)]
    print(f"first keys     {', '.join(keys) or 'none'}")
    print(f"listed         {sum(1 for _ in reader.listed(root, options))}")
    found = inspected(reader, root, options, given.limit)
    print("\n".join(found.lines()))
    if not found.samples:
        raise UserError(f"{root}: nothing that {source.reader} reads; docs/datasets.md has its layout and options")
