"""The command `depth-anything`: depth of your own pictures with a model of the pipeline."""

from __future__ import annotations

import argparse

from tasks import entry
from tasks.commands import (
    accept,
    convert,
    data_docs,
    evaluate,
    export_labels,
    export_world,
    inspect,
    params,
    plan,
    predict,
    register,
    segment,
    summary,
    tables,
)

USE = (predict, segment, evaluate, tables, plan, convert, inspect, export_world, export_labels)
PROJECT = (params, summary, accept, register, data_docs)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="depth-anything", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for command in (*USE, *PROJECT):
        command.add(commands)
    return top


def main() -> None:
    """Run the command."""
    given = parser().parse_args()
    entry.run(lambda: given.run(given))


if __name__ == "__main__":
    main()
