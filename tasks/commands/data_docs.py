"""`depth-anything data-docs`: what is expected of the collection and what was found, as pages."""

from __future__ import annotations

import argparse

from tasks.commands.shared import purpose


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("data-docs", help="pages on the gate of the data", description=purpose(data_docs))
    one.add_argument("role", nargs="*", help="labeled, sky ... (default: all that are collected)")
    one.set_defaults(run=data_docs)


def data_docs(given: argparse.Namespace) -> None:
    """Write reports/data_docs/index.html and a page for the sources and one for the samples of each role."""
    from tasks.gate.data_docs import FOLDER, write_data_docs

    print(f"{FOLDER / 'index.html'}: {write_data_docs(given.role)} pages")
