"""The kill matrix (docs/measurements/training.md): every way to start a stage, killed at every bad moment, then again.

    python -m tests.pipeline.kill_matrix           # in a temporary copy with the tiny world; prints the table
    python -m tests.pipeline.kill_matrix train     # only rows whose stage or start has the word in it

Where a kill hits is exact: a `sitecustomize` that the stage's python finds first sends it SIGKILL at the n-th file
of a name, while it is half written, before it gets its name, or right after. It strikes once.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.pipeline.conftest import Project, make_project

MOMENTS = ("half written", "before its name", "after its name")
HOOK = """
import fnmatch, os, signal
_real, _seen = os.replace, [0]

def _die(marker):
    open(marker, "w").close()
    os.kill(os.getpid(), signal.SIGKILL)

def _replace(source, target, **options):
    moment, pattern, count, marker = os.environ["KILL_AT"].split("|")
    if fnmatch.fnmatch(os.fsdecode(target), pattern) and not os.path.exists(marker):
        _seen[0] += 1
        if _seen[0] == int(count):
            if moment == "half written":
                os.truncate(source, os.path.getsize(source) // 2)
            if moment == "after its name":
                _real(source, target, **options)
            _die(marker)
    return _real(source, target, **options)

if "KILL_AT" in os.environ:
    os.replace = _replace
"""
PREFECT = (
    "import sys; from flows.full_pipeline import full_pipeline; "
    "from flows.stages import run_stage; run_stage.retry_delay_seconds = 1; "
    "sys.exit(not full_pipeline(return_state=True).is_completed())"
)

TEMPORARY_SERVER = {"PREFECT_API_URL": "", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true"}


@dataclass(frozen=True)
class Kill:
    """A row: the stage by its DVC address, its `out`, how it is started, and at which file it is killed."""

    stage: str
    out: str
    start: str
    pattern: str
    count: int
    moment: str


def rows() -> Iterator[Kill]:
    """Yield the rows of the matrix."""
    shards = {"collect_unlabeled@hills": "data/unlabeled/hills", "pseudo_label@hills": "data/pseudo/hills"}
    trainings = {
        "train_teacher": "models/teacher",
        "train_student": "models/student",
        "finetune_metric@nyu": "models/metric/nyu",
        "finetune_semantic@cityscapes": "models/semantic/cityscapes",
    }
    for stage, out in shards.items():
        for moment in MOMENTS:
            yield Kill(stage, out, "dvc repro", "*.tar", 2, moment)
    for stage, out in trainings.items():
        count = 2 if stage.startswith("train") else 1  # the tiny fine-tunings write one
        for moment in MOMENTS:
            yield Kill(stage, out, "dvc repro", "*/checkpoint-*.pt", count, moment)
    for stage in ("train_teacher", "train_student"):
        yield Kill(stage, trainings[stage], "dvc repro", "*/done.json", 1, "before its name")
        yield Kill(stage, trainings[stage], "dvc repro", f"*{trainings[stage]}", 1, "before its name")
    for start in STARTS:
        if start != "dvc repro":
            yield Kill("train_student", "models/student", start, "*/checkpoint-*.pt", 2, "half written")


def _repro(project: Project, kill: Kill, name: str) -> list[str]:
    return ["dvc", "repro", "--force", "--single-item", "--no-run-cache", kill.stage]


def _experiment(*options: str) -> Callable[[Project, Kill, str], list[str]]:
    def command(project: Project, kill: Kill, name: str) -> list[str]:
        return ["dvc", "exp", "run", *options, "--force", "--single-item", "-n", name, kill.stage]

    return command


def _prefect(project: Project, kill: Kill, name: str) -> list[str]:
    return [sys.executable, "-c", PREFECT]


STARTS = {
    "dvc repro": _repro,
    "dvc exp run": _experiment(),
    "dvc exp run --temp": _experiment("--temp"),
    "dvc exp run --queue, dvc queue start": _experiment("--queue"),
    "a Prefect flow, which tries again itself": _prefect,
}


def digests(folder: Path) -> dict[str, str]:
    """Return the content hash of every file that makes a result, by its relative path; histories hold timings."""
    from depth_model import files

    kept = {".tar", ".safetensors", ".parquet"}
    return {
        one.relative_to(folder).as_posix(): files.sha256(one) for one in sorted(folder.rglob("*")) if one.suffix in kept
    }


def forget_outcome(project: Path, stage: str) -> None:
    """Let DVC know no result of a stage, so that it runs again where nobody forces it."""
    shutil.rmtree(project / ".dvc" / "cache" / "runs", ignore_errors=True)
    content = yaml.safe_load((project / "dvc.lock").read_text())
    content["stages"].pop(stage, None)
    (project / "dvc.lock").write_text(yaml.safe_dump(content))


class Matrix:
    """One project with the tiny world, in which every stage ran once undisturbed."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.hook = folder / "hook"
        self.hook.mkdir()
        (self.hook / "sitecustomize.py").write_text(HOOK)
        (folder / "project").mkdir()
        self.project = make_project(folder / "project", repository)
        self.project.environment |= TEMPORARY_SERVER | {"PREFECT_HOME": str(folder / "prefect")}
        self.project.run("dvc", "repro")
        self.project.run("git", "add", "-A")
        self.project.run("git", "commit", "-q", "-m", "Run")

    def struck(self, kill: Kill) -> tuple[bool, bool]:
        """Kill and start again; return whether the kill struck, and whether the bytes are those of before."""
        marker, name = self.hook / "struck", "killed"
        marker.unlink(missing_ok=True)
        out = self.project.folder / kill.out
        before = digests(out)
        assert before, kill
        self._forget(kill)
        environment = {"KILL_AT": f"{kill.moment}|{kill.pattern}|{kill.count}|{marker}", "PYTHONPATH": str(self.hook)}
        self.project.environment |= environment
        try:
            said = self._start(kill, f"{name}-1")
            struck = marker.exists()
            if kill.start != "a Prefect flow, which tries again itself":
                said = self._start(kill, f"{name}-2")
        finally:
            for one in environment:
                del self.project.environment[one]
        after = self._result(kill, f"{name}-2", out, said)
        self.project.run("dvc", "exp", "remove", "--all-commits", "--queue")
        return struck, before == after

    def _start(self, kill: Kill, name: str) -> str:
        process = self.project.start(*STARTS[kill.start](self.project, kill, name))
        said, _ = process.communicate(timeout=800)
        return said + (self._drain() if "--queue" in kill.start else "")

    def _drain(self) -> str:
        """Run what is queued and return how it ended."""
        worker = self.project.start("dvc", "queue", "start")
        worker.communicate(timeout=100)
        while "Running" in (status := self.project.run("dvc", "queue", "status")) or "Queued" in status:
            time.sleep(1)
        return status

    def _forget(self, kill: Kill) -> None:
        """Throw away finished work, and for Prefect, which forces nothing, the out and what the run cache knows."""
        shutil.rmtree(self.project.folder / ".work" / kill.stage.replace("@", "-"), ignore_errors=True)
        if "Prefect" in kill.start:
            forget_outcome(self.project.folder, kill.stage)

    def _result(self, kill: Kill, name: str, out: Path, said: str) -> dict[str, str]:
        """Return what the second start, which `said` this, left: in the workspace, or in the experiment it recorded."""
        if "--temp" not in kill.start and "--queue" not in kill.start:
            return digests(out)
        listed = json.loads(self.project.run("dvc", "exp", "show", "--json"))
        assert name in json.dumps(listed), said
        self.project.run("dvc", "exp", "apply", name)
        found = digests(out)
        self.project.run("git", "checkout", "-q", ".")
        self.project.run("dvc", "checkout", "-q")
        return found


def table(found: list[tuple[Kill, bool, bool]]) -> str:
    """Return the outcome as Markdown."""
    lines = ["| started by | stage | killed at file | moment | struck | bytes equal |", "| --- " * 6 + "|"]
    for kill, struck, equal in found:
        where = f"{kill.pattern.removeprefix('*/')} no. {kill.count}"
        words = ["yes" if struck else "NO", "yes" if equal else "NO"]
        lines.append(f"| {kill.start} | {kill.stage} | `{where}` | {kill.moment} | {' | '.join(words)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the rows that the command line asks for; ends with 1 when one failed."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [one for one in rows() if word in one.stage or word in one.start]
    with tempfile.TemporaryDirectory() as folder:
        matrix = Matrix(Path(folder), Path(__file__).parents[2])
        found = []
        for one in chosen:
            found.append((one, *matrix.struck(one)))
            print(table(found[-1:]).splitlines()[-1], flush=True)
    print("\n" + table(found))
    sys.exit(not all(struck and equal for _, struck, equal in found))


if __name__ == "__main__":
    os.environ.setdefault("DO_NOT_TRACK", "true")
    main()
