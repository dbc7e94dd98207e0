"""The runner of all stages, started as `python -m tasks STAGE[@KEY]`.

Under DVC a command in dvc.yaml names the stage alone and never changes; which source or set it is about, DVC says in
DVC_STAGE, so that no key of params.yaml reaches a shell. By hand the whole address is given, as DVC writes it. The
runner checks params.yaml, imports the module of the stage, gives it the folder it works in, and turns what a user can
mend into one line.

A stage is a module of this package with `run(workplace, settings)`. What it may have besides: `IN_PLACE = True`, when
it is light enough to write its outs in place; `learn(settings, key, scratch, on_metrics)`, when several processes run
it together; `conclude(workplace, settings)`, which comes after the outs are published, also when nothing had to be
built.
"""

from __future__ import annotations

import argparse
import os
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

from depth_model.errors import UserError
from depth_model.memory import keep_freed_memory
from depth_model.shown import run_command
from tasks.settings import params
from tasks.workspace import repair
from tasks.workspace.entry import Entry, resolve
from tasks.workspace.work import Workplace, produce

_ADDRESS = re.compile(r"[a-z_]+(@[a-z0-9][a-z0-9_]*)?")


def chosen_address(given: str) -> str:
    """Return the DVC address of the stage to run: `given`, with the key that DVC_STAGE has for it.

    Raises UserError for a key that is no name. DVC_STAGE is `../dvc.yaml:NAME@KEY` when DVC was started in a subfolder.
    """
    running = os.environ.get("DVC_STAGE", "").rpartition(":")[2]
    address = running if running.partition("@")[0] == given else given
    if not _ADDRESS.fullmatch(address):
        raise UserError(f"{address!r}: a stage is NAME or NAME@KEY, of small letters, digits and _")
    return address


def module_of(address: str) -> ModuleType:
    """Return the module of a stage: that of its name, or of the first part of it (`collect_labeled` is in `collect`).

    Raises UserError for a name without a module.
    """
    name, here = address.partition("@")[0], Path(__file__).parent
    for candidate in (name, name.partition("_")[0]):
        if (here / f"{candidate}.py").exists() or (here / candidate / "__init__.py").exists():
            module = import_module(f"tasks.{candidate}")
            if hasattr(module, "run"):
                return module
    raise UserError(f"{name}: there is no such stage; 'dvc stage list' names them")


def run_stage(address: str) -> None:
    """Bring the outs of one stage about; raises UserError for what a user can mend."""
    settings, module = params.load(), module_of(address)
    repair.keep()
    if hasattr(module, "learn"):
        _run_together(address, module, settings)
        return
    if getattr(module, "IN_PLACE", False):
        module.run(Workplace(Entry(address), "", Path()), settings)
        return
    _finish(address, module, settings)


def _finish(address: str, module: ModuleType, settings: params.Params) -> bool:
    entry = resolve(address)
    built = produce(entry, lambda workplace: module.run(workplace, settings))
    if hasattr(module, "conclude"):
        module.conclude(entry.key, settings)
    return built


def _run_together(address: str, module: ModuleType, settings: params.Params) -> None:
    """Run a stage that learns: in this process, in several that are started here, or as one of those."""
    from tasks.training import processes

    count = settings.machine.training.processes
    if processes.is_follower():
        key = address.partition("@")[2]
        processes.follow(lambda scratch, on_metrics: module.learn(settings, key, scratch, on_metrics))
    elif count > 1 and not processes.under_torchrun():
        processes.launch("tasks", address, processes=count)
    elif not _finish(address, module, settings):
        processes.lead(None)


def main() -> None:
    """Run the stage that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tasks", description="Run one stage of dvc.yaml.")
    parser.add_argument("stage", help="its name or address: validate_sky, collect_labeled@rooms")
    given = parser.parse_args().stage
    keep_freed_memory()
    run_command(lambda: run_stage(chosen_address(given)))
