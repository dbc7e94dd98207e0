"""What a kill can break of DVC itself, noticed and mended: `dvc.lock` and `.dvc/tmp/rwlock`.

DVC writes both in place, so a kill there leaves half a file, and every later DVC command stops at it. Stages run while
`dvc.lock` is whole, so each keeps a copy of it (`keep`); every entry of ours mends before it starts DVC (`mend`). An
entry of `dvc.lock` only says which outs belong to which inputs, and DVC compares the inputs again: taking an older
entry never yields wrong results, at worst a stage runs once more. Nothing shows that the list of what to push was cut
short, so it is made anew when somebody asks (`collect_anew`). All else of DVC is renamed into place or is SQLite.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from depth_model import files

LOCK, COPY, DAMAGED = Path("dvc.lock"), Path(".dvc/tmp/dvc.lock.whole"), Path(".dvc/tmp/dvc.lock.damaged")
WAIT_SECONDS = 1.0
"""How long DVC is given to end what it writes: it holds its lock then, and lets go while a stage runs."""
_LAGGING = 2  # stages that may have ended since the copy was made: DVC writes the file after each
_HEAD = re.compile(r"\Aschema: '2\.0'\nstages:\n")
_STAGE = re.compile(r"^  (?=\S)", re.MULTILINE)
_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?\Z")

Blocks = dict[str, str]
"""The entries of a dvc.lock as text, by the line that names the stage, in the order of the file."""


def project_root() -> Path | None:
    """Return the nearest folder upwards from the current one that is a DVC project, None if there is none."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), None)


def mend(root: Path | None = None) -> list[str]:
    """Mend what a kill broke in the DVC project at `root` (default: that of the current folder).

    Returns a line for every file mended. Does nothing while another DVC process holds the project: what it writes then
    is not broken. Raises OSError as the file system does.
    """
    root = root or project_root()
    if root is None:
        return []
    said = []
    with _held(root / ".dvc/tmp/rwlock.lock") as free:
        said += _mend_rwlock(root / ".dvc/tmp/rwlock") if free else []
    with _held(root / ".dvc/tmp/lock") as free:
        said += _mend_lock(root) if free else []
    return said


def collect_anew(root: Path) -> None:
    """Let DVC collect anew what there is to push and to fetch.

    Killed while it collects, it takes the part for the whole from then on: `dvc push` leaves the rest behind and says
    nothing. Does nothing while another DVC process holds the project.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with _held(root / ".dvc/tmp/lock") as free, suppress(DvcException):  # one that DVC cannot open, as without git
        if free:
            with Repo(os.fspath(root)) as repository:
                repository.drop_data_index()


def announce() -> None:
    """Mend the project of the current folder and say on stderr what was mended."""
    for line in mend():
        print(f"mended: {line}", file=sys.stderr, flush=True)


def keep(root: Path | None = None) -> None:
    """Keep a copy of a whole dvc.lock; a stage calls this, and so does every entry that has mended.

    Without a dvc.lock the copy goes too: somebody removed the file on purpose.
    """
    root = root or project_root()
    if root is None:
        return
    with _held(root / ".dvc/tmp/lock", 0) as free:
        if free:
            _keep(root)


def _keep(root: Path) -> None:
    lock, copy = root / LOCK, root / COPY
    if not lock.exists():
        copy.unlink(missing_ok=True)
        return
    data = lock.read_bytes()
    if (not copy.exists() or copy.read_bytes() != data) and whole(_text(data)):
        files.write_bytes(copy, data)


def _mend_rwlock(path: Path) -> list[str]:
    if not path.exists() or _is_rwlock(path.read_bytes()):
        return []
    path.unlink()
    return [f"{_shown(path)} was cut short by a kill and is removed; DVC makes it anew"]


def _is_rwlock(data: bytes) -> bool:
    try:
        content = json.loads(data)
    except ValueError:
        return False
    return isinstance(content, dict) and all(isinstance(content.get(key, {}), dict) for key in ("read", "write"))


def _mend_lock(root: Path) -> list[str]:
    lock, copy = root / LOCK, root / COPY
    if not lock.exists():
        return []
    data = lock.read_bytes()
    text, good = _text(data), _text(copy.read_bytes()) if copy.exists() else ""
    is_whole, good = whole(text), good if whole(good) else ""
    if "\n<<<<<<< " in text or (is_whole and not _ends_early(text, good)):
        _keep(root)
        return []
    files.write_bytes(root / DAMAGED, data)
    mended = _joined(text, good, is_whole)
    if not mended:
        lock.unlink()
        return [f"{LOCK} was cut short by a kill and held nothing whole: removed, DVC makes it anew from its cache"]
    files.write_text(lock, mended)
    _keep(root)
    return [f"{LOCK} was cut short by a kill: {len(_blocks(mended))} stages are known again (was: {_shown(DAMAGED)})"]


def whole(text: str) -> bool:
    """Return whether `text` is a dvc.lock that DVC reads, to its last line."""
    if not text.endswith("\n"):
        return False
    try:
        content = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return False
    if not isinstance(content, dict) or content.get("schema") != "2.0":
        return False
    stages = content.get("stages", {})
    return isinstance(stages, dict) and all(map(_is_entry, stages.values()))


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or "cmd" not in entry:
        return False
    kinds = [entry.get(kind, []) for kind in ("deps", "outs")]
    return all(isinstance(items, list) and all(map(_is_item, items)) for items in kinds)


def _is_item(item: Any) -> bool:
    if not isinstance(item, dict) or "path" not in item or len(item) == 1 or item.get("hash", "path") not in item:
        return False
    return "md5" not in item or _HASH.match(str(item["md5"])) is not None


def _ends_early(text: str, good: str) -> bool:
    """Whether a file that reads well was cut between two lines or stages: it is the beginning of the copy."""
    if good.startswith(text) and text != good:
        return True
    now, before = _blocks(text), _blocks(good)
    if not list(before)[: len(now)] == list(now) or len(now) == len(before):
        return False
    return sum(now[name] != before[name] for name in list(now)[:-1]) <= _LAGGING


def _joined(text: str, good: str, is_whole: bool) -> str:
    """Return the copy with what is newer in the damaged text; its last entry is not trusted, it may be cut."""
    found = list(_blocks(text).items())
    newer = dict(found if is_whole else found[:-1])
    newer = {name: block for name, block in newer.items() if whole(_file({name: block}))}
    blocks = {**_blocks(good), **newer}
    return _file(blocks) if blocks else ""


def _blocks(text: str) -> Blocks:
    head = _HEAD.match(text)
    parts = _STAGE.split(text[head.end() :])[1:] if head else []
    return {part.partition("\n")[0]: f"  {part}" for part in parts}


def _file(blocks: Blocks) -> str:
    return "schema: '2.0'\nstages:\n" + "".join(blocks.values())


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _shown(path: Path) -> str:
    return "/".join(path.parts[path.parts.index(".dvc") :])


@contextmanager
def _held(path: Path, seconds: float = WAIT_SECONDS) -> Iterator[bool]:
    """Yield whether DVC's lock at `path` could be taken within `seconds`: nobody writes what it guards then."""
    if not path.parent.is_dir():  # DVC never ran here
        yield False
        return
    deadline = time.monotonic() + seconds
    with open(path, "a+") as handle:
        while not (taken := _taken(handle.fileno())) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield taken


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
