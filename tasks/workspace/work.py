"""Where a stage works, so that nothing finished is ever lost.

DVC wipes the outs of a stage before it runs. A stage therefore works in `.work/<stage>/<fingerprint>/`, beside
the outs: `scratch` holds finished shards and checkpoints and survives kills, `result` the finished outs, which
are hard-linked to where DVC expects them. The fingerprint covers the parameters and the inputs, so that a
changed parameter never meets stale state; the hash of the code is stored beside it. A lock per fingerprint lets
a second start of the same work wait for the first and use its result.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from depth_model import files
from depth_model.errors import UserError
from tasks.workspace.entry import Entry

RUN_ID = "mlflow_run_id"
CODE = "code.sha256"
DONE = "done.json"


@dataclass(frozen=True)
class Workplace:
    """The folder of one stage execution: `scratch` survives kills, `result` takes the finished outs."""

    entry: Entry
    fingerprint: str
    folder: Path

    @property
    def stage(self) -> str:
        """The DVC address of the stage."""
        return self.entry.address

    @property
    def key(self) -> str:
        """The source or the set that the stage is about; empty for a stage that there is once."""
        return self.entry.key

    @property
    def scratch(self) -> Path:
        """Partial state: finished shards, checkpoints. Removed when the stage is finished."""
        return self.folder / "scratch"

    @property
    def result(self) -> Path:
        """Finished outs, below it at the paths of dvc.yaml."""
        return self.folder / "result"

    def out(self, path: Path | None = None) -> Path:
        """Return where to leave the out `path` of dvc.yaml, or the only one there is; its folder exists."""
        (named,) = self.entry.outs if path is None else [str(path)]
        found = self.result / named
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    def earlier(self) -> list[Path]:
        """Return the folders of the same stage's work on other inputs by the same code, finished or not.

        Another process may be at work there or remove them at any time.
        """
        code = (self.folder / CODE).read_text()
        others = sorted(self.folder.parent.glob(f"*/{CODE}"))
        return [one.parent for one in others if one.parent != self.folder and one.read_text() == code]


def work_root() -> Path:
    """Return `.work` of the project: DVC_ROOT names it also when an experiment runs in a temporary copy."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()) / ".work"


def seconds_taken() -> dict[str, float]:
    """Return how long each stage took when it was last built here, since the last kill, by its DVC address."""
    markers = sorted(work_root().glob(f"*/*/{DONE}"), key=lambda marker: marker.stat().st_mtime)
    return {marker.parts[-3].replace("-", "@"): files.read_json(marker)["seconds"] for marker in markers}


def finished_run(address: str) -> str:
    """Return the id of the MLflow run of what a stage has finished here last, "" if it has none."""
    markers = work_root().glob(f"{address.replace('@', '-')}/*/{DONE}")
    last = max(markers, key=lambda marker: marker.stat().st_mtime, default=None)
    return files.read_json(last).get("mlflow_run", "") if last else ""


def produce(entry: Entry, build: Callable[[Workplace], None]) -> bool:
    """Make the outs of a stage, from finished or unfinished earlier work where there is some; True when it was built.

    `build(workplace)` is called only when no finished result of the same inputs and code exists; it finds its own
    earlier state in `workplace.scratch` and must leave every out at `workplace.out(...)`.
    Raises UserError when unfinished work of older code lies there and `resume.changed_code` says stop.
    """
    fingerprint = entry.fingerprint()
    workplace = Workplace(entry, fingerprint, work_root() / entry.address.replace("@", "-") / fingerprint[:16])
    with _lock(workplace):
        finished = _finished(workplace)
        if not finished:
            _build(workplace, build)
        for out in entry.outs:
            _publish(workplace.result / out, Path(out))
    _prune(workplace)
    return not finished


def _build(workplace: Workplace, build: Callable[[Workplace], None]) -> None:
    shutil.rmtree(workplace.result, ignore_errors=True)
    workplace.result.mkdir(parents=True)
    workplace.scratch.mkdir(exist_ok=True)
    begun = time.monotonic()
    build(workplace)
    seconds = time.monotonic() - begun
    missing = [out for out in workplace.entry.outs if not (workplace.result / out).exists()]
    if missing:
        raise RuntimeError(f"{workplace.stage} finished without {', '.join(missing)}")
    done = {"outs": sorted(workplace.entry.outs), "seconds": round(seconds, 1)}
    run = workplace.scratch / RUN_ID
    files.write_json(workplace.folder / DONE, done | ({"mlflow_run": run.read_text()} if run.exists() else {}))
    shutil.rmtree(workplace.scratch)


def _finished(workplace: Workplace) -> bool:
    """Settle what earlier work is good for; True when its result can be used as it is."""
    code, stored = files.sha256_of_json(dict(workplace.entry.code)), workplace.folder / CODE
    done = (workplace.folder / DONE).exists()
    if stored.exists() and stored.read_text() != code:
        if done or not _holds_work(workplace) or _decision() == "restart":
            shutil.rmtree(workplace.folder)
            done = False
        elif _decision() == "stop":
            raise UserError(
                f"{workplace.stage}: unfinished work of older code lies in {_shown(workplace.folder)}; "
                "set resume.changed_code in params.yaml to 'accept' (go on from it) or 'restart' (throw it away)"
            )
    files.write_text(stored, code)
    return done


def _holds_work(workplace: Workplace) -> bool:
    return workplace.scratch.is_dir() and any(entry.name != RUN_ID for entry in workplace.scratch.iterdir())


def _decision() -> str:
    from tasks.settings import params

    return params.load().resume.changed_code


def _shown(path: Path) -> str:
    return os.path.relpath(path)


@contextmanager
def _lock(workplace: Workplace) -> Iterator[None]:
    workplace.folder.parent.mkdir(parents=True, exist_ok=True)
    with open(_lock_path(workplace.folder), "a+") as handle:
        if not _try_lock(handle):
            print(
                f"{workplace.stage}: process {_holder(handle)} is at the same work; waiting for it to use its result",
                file=sys.stderr,
                flush=True,
            )
            fcntl.flock(handle, fcntl.LOCK_EX)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _try_lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(handle: IO[str]) -> str:
    handle.seek(0)
    return handle.read() or "unknown"


def _publish(result: Path, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in out.parent.glob(f".{out.name}.*.tmp"):  # by a process that was killed right here
        _remove(left)
    temporary = files.temporary_name(out)
    if result.is_dir():
        shutil.copytree(result, temporary, copy_function=_link)
        _remove(out)
    else:
        _link(result, temporary)
    os.replace(temporary, out)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _prune(workplace: Workplace) -> None:
    """Remove finished work of the same stage with other inputs, unless a process is at it."""
    for marker in workplace.folder.parent.glob(f"*/{DONE}"):
        if marker.parent == workplace.folder:
            continue
        with open(_lock_path(marker.parent), "a+") as handle:
            if _try_lock(handle):
                shutil.rmtree(marker.parent)
