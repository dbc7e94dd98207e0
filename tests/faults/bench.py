"""A project of the tiny world in which every stage has run once, and what a moment of trouble makes of one of them.

A moment: the stage's results and its finished work are thrown away, the command is started, something happens to it,
and the same command is given until it ends well. What counts is then what one saw, what was made twice, and whether
the bytes are those of the undisturbed run.
"""

from __future__ import annotations

import copy
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tasks.workspace import preloaded
from tests.pipeline.conftest import Project, make_project
from tests.pipeline.kill_matrix import digests
from tests.processes import wait_for, working_in

STAGES = {
    "collect_unlabeled@hills": "data/unlabeled/hills",
    "pseudo_label@hills": "data/pseudo/hills",
    "train_teacher": "models/teacher",
}
"""A stage of each kind (shards from a source, shards from a network, a training) and its out."""
OFTEN = (3, 10, 3)
"""How often each is chosen: the cheap ones dominate."""
FINISHED = ("shard-*.parquet", "checkpoint-*.pt")
"""What of a stage's work is finished before the stage is."""
OURS = ["python", "-m", "tasks.commands.main"]
"""`depth-anything`, of the project's own code."""
STARTS = 4
"""How often a command is given at most before it counts as one that does not go on."""
PAUSE = 0.02
CHANGING = re.compile(r"\b([0-9a-f]{2}/[0-9a-f]{30}(\.dir)?|[0-9a-f]{16,64}|\d+)\b")
"""Numbers and digests: two lines that differ in them say the same."""


@dataclass(frozen=True)
class Moment:
    """What became of one moment of trouble.

    `line` is what one saw when the command ended, `finished` counts the shards and checkpoints that were there then,
    `lost` those of them that were made again, `starts` the commands until one ended well (0: none did).
    """

    line: str
    finished: int = 0
    lost: int = 0
    starts: int = 1
    equal: bool = True
    traceback: bool = False

    @property
    def well(self) -> bool:
        """Whether nothing is to be mended in the software."""
        return self.starts > 0 and self.equal and not self.lost and not self.traceback


class Cannot(Exception):
    """This machine cannot have the fault."""


class Started:
    """A command at the head of a process group of its own, and where its lines go."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self.log, self.folder = log, folder
        with open(log, "w") as said:
            self.process = subprocess.Popen(
                command, cwd=folder, env=dict(environment), stdout=said, stderr=said, start_new_session=True
            )

    def ended_within(self, seconds: float) -> bool:
        """Wait so long at most; return whether it has ended."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def said(self) -> str:
        """Return everything it printed."""
        return self.log.read_text(errors="replace")

    def line(self) -> str:
        """Return the last line it printed that says something, with numbers left out that differ."""
        lines = [one.strip() for one in re.split(r"[\r\n]+", self.said())]
        told = [
            one
            for one in lines
            if one
            and not re.search(r"\(\d+ %\)|\? left|View (run|experiment)|^(stage \d|Running stage|> |Stage ')", one)
        ]
        errors = [one for one in told if one.lower().startswith("error")]
        code = self.process.returncode
        if code < 0:
            return f"{signal.strsignal(-code)} (says the shell)"
        last = (errors or told or [f"nothing (exit status {code})" if code else "nothing"])[-1]
        return CHANGING.sub("N", last.replace(f"{self.folder}/", ""))


class Watch(threading.Thread):
    """Sees each finished part of a stage appear, by name and time of writing, while other processes make them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.seen, self.over = folder, {}, threading.Event()

    def look(self) -> dict[str, int]:
        """Return what is finished now, and remember it."""
        now: dict[str, int] = {}
        for pattern in FINISHED:
            with suppress(FileNotFoundError):  # published meanwhile: the next look sees the rest
                for path in self.folder.glob(f"*/scratch/**/{pattern}"):
                    now[path.name] = path.stat().st_mtime_ns
        for name, written in now.items():
            self.seen.setdefault(name, set()).add(written)
        return now

    def run(self) -> None:
        while not self.over.wait(PAUSE):
            self.look()

    def again(self, before: Mapping[str, int]) -> int:
        """Return how many of the parts finished `before` were written once more."""
        return sum(len(self.seen[name] - {written}) > 0 for name, written in before.items())


def offered(stack: ExitStack) -> str:
    """Start a preloaded process that ends with `stack`; return its socket, once it answers there."""
    path = stack.enter_context(preloaded.offered())
    del os.environ[preloaded.SOCKET]
    wait_for(Path(path).exists, 300, PAUSE)
    return path


class Bench:
    """The project, the seeded choice of moments, and how long each stage takes when nothing disturbs it."""

    def __init__(self, folder: Path, repository: Path, stack: ExitStack) -> None:
        """Make the project in `folder` and run its pipeline, or take the one that is there."""
        self.folder, self.root, self.logs = folder, folder / "project", folder
        self.choose, self.usual, self.count = random.Random(0), {}, 0
        self.servants: set[int] = set()  # process groups that stay in the project
        self.started: list[Started] = []
        stack.callback(self.end)
        done = folder / "ran"
        if not done.exists():
            shutil.rmtree(self.root, ignore_errors=True)
            self.root.mkdir(parents=True)
            project = make_project(self.root, repository)
            for command in (["depth-anything", "repro"], ["git", "add", "-A"], ["git", "commit", "-q", "-m", "Run"]):
                project.run(*command)
            done.touch()
        self.wait_alone()  # what a killed run of these tests has left ends by itself
        self.environment = Project(self.root).environment
        Project(self.root).run("dvc", "checkout", "--quiet", "--force")  # an earlier run may have ended in a moment
        self.results = {address: digests(self.root / out) for address, out in STAGES.items()}
        self.environment[preloaded.SOCKET] = offered(stack)

    def copied(self, folder: Path) -> Bench:
        """Return a bench that is a copy of this one in another folder, with a record of runs of its own.

        What its commands print stays beside this one's: the other folder may have no room.
        """
        found = copy.copy(self)
        found.folder, found.root, found.usual = folder, folder / "project", {}
        shutil.rmtree(found.root, ignore_errors=True)
        shutil.copytree(self.root, found.root, symlinks=True, ignore=shutil.ignore_patterns("mlflow.db*"))
        return found

    def start(self, *command: str, **variables: str) -> Started:
        """Start a command in the project."""
        self.count += 1
        log = self.logs / f"{self.folder.name}-{self.count}.log"
        self.started.append(Started(list(command), self.root, self.environment | variables, log))
        return self.started[-1]

    def end(self) -> None:
        """Kill what still runs: these tests were ended in the middle of a moment."""
        for one in self.started:
            if one.process.poll() is None:
                os.killpg(one.process.pid, signal.SIGKILL)

    def stage(self) -> str:
        """Choose one of the stages."""
        return self.choose.choices(list(STAGES), OFTEN)[0]

    def forget(self, address: str) -> None:
        """Throw away what a stage made, and its finished work."""
        shutil.rmtree(self.work(address), ignore_errors=True)
        shutil.rmtree(self.root / STAGES[address], ignore_errors=True)

    def work(self, address: str) -> Path:
        """Return the folder in which a stage works."""
        return self.root / ".work" / address.replace("@", "-")

    def within(self, address: str, command: list[str], **variables: str) -> float:
        """Return a random time, in seconds, at which the undisturbed command would be at work on the stage."""
        key = (address, *command[:4], *variables)
        if key not in self.usual:
            self.forget(address)
            begun = time.monotonic()
            started = self.start(*command, **variables)
            assert started.process.wait(600) == 0, started.said()
            self.usual[key] = time.monotonic() - begun
        return self.choose.uniform(0, self.usual[key])

    def wait_alone(self) -> None:
        """Return when no process works in the project any more: one may outlive a killed command for a moment."""
        wait_for(lambda: not any(self._disturbs(one) for one in working_in(self.root)), 120, PAUSE)

    def _disturbs(self, process: int) -> bool:
        with suppress(ProcessLookupError):
            return os.getpgid(process) not in self.servants
        return False

    def know(self, address: str) -> None:
        """Take what a stage has made now for the undisturbed result."""
        self.results = self.results | {address: digests(self.root / STAGES[address])}

    def equal(self, address: str) -> bool:
        """Return whether the out of a stage has the bytes of the undisturbed run."""
        return digests(self.root / STAGES[address]) == self.results[address]


@contextmanager
def _watching(bench: Bench, address: str) -> Iterator[Watch]:
    watch = Watch(bench.work(address))
    watch.start()
    try:
        yield watch
    finally:
        watch.over.set()
        watch.join()


def by_hand(address: str) -> list[str]:
    """Return the command that runs one stage by hand."""
    return ["python", "-m", "tasks", address]


def moment(
    bench: Bench,
    address: str,
    command: list[str],
    disturb: Callable[[Started], bool],
    relieve: Callable[[], object] = lambda: None,
    equal: Callable[[], bool] | None = None,
    **variables: str,
) -> Moment | None:
    """Run `command`, which makes the stage `address`, disturbed; return what became of it.

    `disturb(started)` returns whether it struck (None is returned otherwise); `relieve` takes away a cause that stays.
    The same command is then given until it ends well. `equal()` compares more than the stage's out.
    """
    with _watching(bench, address) as watch:
        first = bench.start(*command, **variables)
        struck = disturb(first)
        first.process.wait(600)
        bench.wait_alone()
        kept, line, said = watch.look(), first.line(), first.said()
        relieve()
        starts, started = 1, first
        while (failed := started.process.returncode != 0) and starts < STARTS:
            started = bench.start(*command, **variables)
            starts += 1
            started.process.wait(600)
            said += started.said()
        same = equal() if equal else bench.equal(address)
        lost = watch.again(kept)
    return Moment(line, len(kept), lost, 0 if failed else starts, same, "Traceback (most" in said) if struck else None
