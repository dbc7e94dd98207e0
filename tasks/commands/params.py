"""`depth-anything params`: a whole params.yaml from a preset."""

from __future__ import annotations

import argparse
from pathlib import Path

from depth_model import files
from tasks.commands.shared import purpose
from tasks.settings import presets


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("params", help="a whole params.yaml from a preset", description=purpose(write))
    one.add_argument("preset", help="a file of presets/ without .yaml, or any file of such parameters")
    one.add_argument("-o", "--out", type=Path, help="the file to write (default: print it)")
    one.add_argument("--force", action="store_true", help="replace a file that this command did not make, too")
    one.set_defaults(run=write, reads=("preset",))


def write(given: argparse.Namespace) -> None:
    """Write every parameter that a preset stands for, each with its meaning, as params.yaml.

    Raises UserError for a preset that is not there or wrong.
    """
    path = presets.path_of(given.preset)
    presets.load(path)
    if given.out is None:
        print(presets.written(path), end="")
    else:
        files.write_text(given.out, presets.written(path))
