"""`depth-anything export-labels`: targets and pseudo labels as files that people and programs open."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from depth_model.errors import UserError
from tasks.commands.outputs import add_out
from tasks.commands.shared import purpose


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser(
        "export-labels", help="labels of the pipeline as PNG or .npy files", description=purpose(export_labels)
    )
    one.add_argument("folder", type=Path, help="data/labeled/NAME, data/pseudo/NAME or another folder of shards")
    one.add_argument(
        "--format",
        choices=["png", "npy"],
        default="png",
        help="png: 16 bits from the least to the largest value of each label, 0 = no label (default); "
        "npy: float32 as stored, NaN = no label",
    )
    add_out(one, "folder for the files", "folder")
    one.set_defaults(run=export_labels)


def export_labels(given: argparse.Namespace) -> None:
    """Write every target or pseudo label of a folder of shards to a file of its own, and labels.csv with the least and
    the largest value of each. The same command goes on where a killed one ended.

    Raises BadInput for a folder without labels and an output folder that holds anything else, UserError at the end for
    labels that could not be read.
    """
    from depth_model.interchange import label_files
    from depth_model.progress import progress_bar

    labels = label_files.open_labels(given.folder)
    label_files.claim_folder(given.out, labels, given.format)
    with progress_bar("export-labels", len(labels.table), "labels") as bar:
        refused = label_files.export_labels(labels, given.out, given.format, bar.update)
    if refused:
        raise UserError("\n".join(refused))
    without = f"; {labels.without} samples have none" if labels.without else ""
    print(f"{len(labels.table)} labels: {os.path.relpath(given.out)}{without}")
