"""`depth-anything export-world`: the rendered world on disk, in the layout of a real data set."""

from __future__ import annotations

import argparse

from depth_model.errors import UserError
from depth_model.world import DOMAINS, export
from tasks.commands.outputs import RECORD, add_out
from tasks.commands.shared import purpose


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser(
        "export-world", help="a rendered data set in an official layout", description=purpose(export_world)
    )
    one.add_argument("--layout", required=True, choices=export.names(), help="whose layout")
    one.add_argument("--domain", required=True, choices=DOMAINS, help="what is rendered")
    one.add_argument("--count", type=_count, default=8, help="pictures for training (default: 8)")
    one.add_argument("--held-out", type=_count, default=4, help="pictures of the second split (default: 4)")
    one.add_argument("--seed", type=_count, default=0, help="of the pictures (default: 0)")
    one.add_argument("--height", type=_side, default=192, help="pixels (default: 192)")
    one.add_argument("--width", type=_side, default=256, help="pixels (default: 256)")
    add_out(one, "folder for the data set")
    one.set_defaults(run=export_world)


def export_world(given: argparse.Namespace) -> None:
    """Write pictures of the rendered world with their labels in the official layout of a data set.

    Every reader, protocol and fine-tuning can be tried on it without a download. Raises UserError when the output
    folder holds anything already, which would be mixed up with what is written.
    """
    from depth_model.progress import progress_bar

    if given.out.exists() and any(one.name != RECORD for one in given.out.iterdir()):
        raise UserError(f"-o {given.out}: is not empty; name a folder of its own")
    layout = export.get(given.layout)
    counts = dict(zip(layout.splits, (given.count, given.held_out)))
    with progress_bar(f"export {layout.name}", sum(counts.values()), "images") as bar:
        size = given.height, given.width
        export.export_world(layout, given.domain, counts, given.seed, size, given.out, bar.update)
    print(f"{given.out}: " + ", ".join(f"{count} {split}" for split, count in counts.items()))


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text}: must not be negative")
    return value


def _side(text: str) -> int:
    value = int(text)
    if value < 32:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 32 pixels")
    return value
