"""One stage through DVC's own API: what became of it comes back as data, so that nobody reads DVC's English.

`python -m tasks.workspace.one_stage STAGE DESCRIPTOR` brings a stage up to date and touches no other, as `dvc repro
--single-item` does; `unchanged` says without running anything what DVC would leave alone. What to do about an outcome
is the caller's business.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypedDict

from depth_model.errors import CAN_PASS
from tasks.workspace import lock_file

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

_STATUS = re.compile(r"exited with (-?\d+)\Z")


class Outcome(TypedDict):
    """What became of a stage: `ran`, `restored`, `unchanged`, `busy` or `failed`.

    `status` is the exit status of a command that failed (negative or above 128: killed by a signal), 0 otherwise;
    `outs` maps what was made to its hash, by which DVC knows that version of the data.
    """

    outcome: str
    status: int
    outs: dict[str, str]


def unchanged(addresses: Collection[str]) -> set[str]:
    """Return which of the stages of the current folder DVC would leave alone, at one reading of the graph.

    Waits for other DVC processes that read or write the graph. A stage whose files another process works on is not
    unchanged. Raises DvcException as DVC does.
    """
    with _repository() as repository, repository.lock:
        return {one.addressing for one in repository.index.stages if one.addressing in addresses and _rests(one)}


def _rests(stage: Stage) -> bool:
    from dvc.lock import LockError

    try:
        return not stage.changed()
    except LockError:
        return False


def bring(address: str) -> Outcome:
    """Bring a stage of the current folder up to date; DVC's own lines, and the stage's, go to stdout and stderr."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.log import logger

    with _repository() as repository:
        restored = _restored(repository)
        try:
            done = repository.reproduce(address, single_item=True)
        except DvcException as error:
            cause = error.__cause__ or error
            logger.exception("")  # as DVC's own command does: it shows what an error holds for people
            if isinstance(cause, LockError):
                return {"outcome": "busy", "status": 0, "outs": {}}
            found = _STATUS.search(str(cause))  # of the command; the exception has it in no other way
            return {"outcome": "failed", "status": int(found[1]) if found else 1, "outs": {}}
        outs = {out.def_path: str(out.hash_info.value) for stage in done for out in stage.outs}
    return {"outcome": "unchanged" if not done else "restored" if restored else "ran", "status": 0, "outs": outs}


def can_pass(status: int) -> bool:
    """Return whether a command that ended with `status` may end otherwise when it is started again: it was killed, by
    the kernel for memory as a rule, or says so itself."""
    return status in (-9, 137, CAN_PASS)


def _repository() -> Repo:
    from dvc.repo import Repo

    return Repo(os.curdir, _wait_for_lock=True)


def _restored(repository: Repo) -> list[Any]:
    """Return a list that gets every stage which DVC takes from its cache from now on."""
    restore, found = repository.stage_cache.restore, []

    def told(stage: Stage, **options: Any) -> None:
        restore(stage, **options)
        found.append(stage)

    repository.stage_cache.restore = told
    return found


def main() -> None:
    """Bring the stage of the command line up to date; the outcome goes as JSON to the given descriptor."""
    address, descriptor = sys.argv[1], int(sys.argv[2])
    lock_file.install()
    outcome = bring(address)
    with os.fdopen(descriptor, "w") as told:
        json.dump(outcome, told)


if __name__ == "__main__":
    main()
