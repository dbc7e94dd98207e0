"""`dvc repro` as commands of ours start it: the stages that there are, what DVC says of each, and how it is ended.

Knows nothing of what stages do. The flow, which runs each stage as a task of its own, shares graph and outcomes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from depth_model import files
from depth_model.errors import UserError
from depth_model.shown import printable
from tasks.workspace import preloaded
from tasks.workspace.entry import is_code

OUTCOMES = {
    "ran": "Running stage '{stage}':",
    "restored": "Stage '{stage}' is cached - skipping run",
    "unchanged": "Stage '{stage}' didn't change, skipping",
}
GRACE_SECONDS = 20.0
_UNTOLD = (
    "> ",
    "Updating lock file",
    "Generating lock file",
    "To track the changes",
    "To enable auto",
    "Use `dvc push`",
    "git add",
    "dvc config core.autostage",
)
"""How lines of DVC begin that say nothing of a stage: the command, its own files, advice."""


class Described(NamedTuple):
    """A stage as dvc.yaml has it: the stages it `needs`, the paths of data it `reads` and `makes`, and whether DVC
    runs it every time (`always`)."""

    needs: list[str]
    reads: list[str]
    makes: list[str]
    always: bool


def stages() -> dict[str, Described]:
    """Return every stage of dvc.yaml in the current folder by its DVC address.

    Data tracked by `.dvc` files have no command and are left out.
    """
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo

    with Repo() as repository:
        graph = repository.index.graph
        return {
            stage.addressing: Described(
                sorted(needed.addressing for needed in graph.successors(stage) if needed.cmd),
                [d.def_path for d in stage.deps if not isinstance(d, ParamsDependency) and not is_code(d.def_path)],
                [out.def_path for out in stage.outs],
                stage.always_changed,
            )
            for stage in sorted(graph.nodes, key=lambda stage: stage.addressing)
            if stage.cmd
        }


def stage_graph() -> dict[str, list[str]]:
    """Return every stage of dvc.yaml in the current folder with the stages it waits for, by their DVC addresses."""
    return {address: one.needs for address, one in stages().items()}


def environment() -> dict[str, str]:
    """Return the environment of stages: this interpreter first on PATH, lines as they come."""
    path = str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", os.defpath)
    return {"PYTHONUNBUFFERED": "1"} | os.environ | {"PATH": path}


def repro(say: Callable[[str], None]) -> None:
    """Bring the whole graph in the current folder up to date; `say` gets a line for each stage and what it prints.

    Bars of progress and errors stay on stderr. Raises UserError when a stage fails. On Ctrl-C stages end first, and
    what they have finished is kept.
    """
    progress = _Progress(list(stage_graph()))
    command = [sys.executable, "-m", "tasks.workspace.lock_file", "--wait-for-lock", "repro"]
    with preloaded.offered(), _started(command, environment()) as process:
        for line in process.stdout:
            text = printable(line.rstrip())
            if told := progress.begins(text):
                say(told)
            elif text and not text.lstrip().startswith(_UNTOLD):
                say(f"  {text}")
        if process.wait():
            raise UserError(f"dvc repro ended with {process.returncode}; the lines above say why")
    progress.ends()


class _Progress:
    """Which of the `stages` runs, and how long the rest takes at most: as long as when each last ran (in seconds)."""

    def __init__(self, stages: Sequence[str]) -> None:
        self.waiting = list(stages)
        self.count, self.started = len(stages), time.monotonic()
        self.begun = {says.format(stage=one): (one, outcome) for one in stages for outcome, says in OUTCOMES.items()}
        self.path = Path(".work") / "seconds.json"
        self.seconds = files.read_json(self.path) if self.path.exists() else {}
        self.running, self.since = "", self.started

    def begins(self, line: str) -> str:
        """Return what to say when `line` of DVC is about the next stage, "" when it is not."""
        stage, outcome = next((one for start, one in self.begun.items() if line.startswith(start)), ("", ""))
        if stage not in self.waiting:
            return ""
        self.ends()
        left = sum(self.seconds[one] for one in self.waiting) if self.seconds.keys() >= {*self.waiting} else None
        self.waiting.remove(stage)
        number = f"stage {self.count - len(self.waiting)} of {self.count}: {stage}"
        if outcome != "ran":
            return f"{number} ({outcome})"
        self.running, self.since = stage, time.monotonic()
        rest = "" if left is None else f", at most {tqdm.format_interval(left)} left"
        return f"{number} ({tqdm.format_interval(self.since - self.started)} so far{rest})"

    def ends(self) -> None:
        """Keep how long the running stage took, if one runs."""
        if self.running:
            self.seconds[self.running] = round(time.monotonic() - self.since, 1)
            files.write_json(self.path, self.seconds)
        self.running = ""


@contextmanager
def _started(command: list[str], variables: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Start a command at the head of its own process group, and end the group when the block is left early, also by
    SIGTERM."""
    process = subprocess.Popen(
        command, env=dict(variables), stdout=subprocess.PIPE, text=True, errors="replace", start_new_session=True
    )
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield process
    except BaseException:
        end_groups([process])
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def end_groups(processes: Sequence[subprocess.Popen[str]], grace: float = GRACE_SECONDS) -> None:
    """End processes with the whole of the process groups that they head: SIGTERM, after `grace` seconds SIGKILL."""
    for process in processes:
        preloaded.signal_group(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while any(_group_lives(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in processes:
        preloaded.signal_group(process.pid, signal.SIGKILL)


def _group_lives(process: subprocess.Popen[str]) -> bool:
    process.poll()  # reaps DVC itself, whose dead entry would keep the group alive
    return preloaded.signal_group(process.pid, 0)
