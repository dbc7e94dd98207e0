"""The command `depth-anything`: depth of your own pictures with a model of the pipeline."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress

from depth_model.shown import run_command
from tasks.commands import (
    accept,
    app,
    calibrate,
    changes,
    controlnet,
    convert,
    data_docs,
    evaluate,
    export_labels,
    export_world,
    figure,
    inspect,
    outputs,
    params,
    plan,
    predict,
    register,
    repair,
    repro,
    rollback,
    runs,
    segment,
    serve,
    summary,
    synthesize,
    tables,
    train,
)
from tasks.workspace import repair as mending

USE = (
    train,
    predict,
    app,
    segment,
    evaluate,
    figure,
    tables,
    plan,
    calibrate,
    convert,
    inspect,
    export_world,
    export_labels,
    controlnet,
    synthesize,
)
PROJECT = (repro, params, summary, changes, accept, register, rollback, serve, data_docs, repair, runs)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="depth-anything", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for command in (*USE, *PROJECT):
        command.add(commands)
    return top


def main() -> None:
    """Run the command."""
    given = parser().parse_args([at_home(one) for one in sys.argv[1:]])
    if given.command != "repair":
        with suppress(OSError):  # a project of others, in which there is nothing to mend for us
            mending.announce()
    run_command(lambda: _guarded_run(given))


def at_home(argument: str) -> str:
    """Return an argument with the `~` expanded that a shell leaves alone, as in `--root=~/data`."""
    name, equals, value = argument.rpartition("=") if "=~" in argument else ("", "", argument)
    return name + equals + os.path.expanduser(value)


def _guarded_run(given: argparse.Namespace) -> None:
    with outputs.guarded(given, is_file=_writes_a_file(given)):
        given.run(given)


def _writes_a_file(given: argparse.Namespace) -> bool:
    return given.command in ("params", "train", "figure") or (given.command == "convert" and given.to != "folder")


if __name__ == "__main__":
    main()
