"""DVC with a dvc.lock of which only the stage that ran is written anew.

After each stage DVC parses all of dvc.lock and prints it again, for comments that it has not got: in a project of 57
stages two seconds of each. The text of the other stages is left alone here, and the file is replaced at once, so that a
kill leaves the old one or the new one. What is in it is DVC's, byte for byte; a file of another shape is left to DVC.

`python -m tasks.workspace.lock_file ARGUMENTS…` is `dvc ARGUMENTS…` with it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files

if TYPE_CHECKING:
    from dvc.dvcfile import Lockfile
    from dvc.stage import PipelineStage

_HEAD, _STAGES = "schema: '2.0'\n", "stages:\n"
_OTHER_KEY = re.compile(r"^\S", re.MULTILINE)
_BLOCK = re.compile(r"^(?=  \S)", re.MULTILINE)


def install() -> None:
    """Have DVC, in this process, write dvc.lock so."""
    from dvc.dvcfile import Lockfile

    by_dvc = Lockfile.dump_stages

    def dump_stages(lock: Lockfile, stages: Sequence[PipelineStage], **options: Any) -> None:
        path = Path(lock.path)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        body = text.removeprefix(_HEAD + _STAGES)
        if body == text or _OTHER_KEY.search(body) or not body.endswith("\n"):
            by_dvc(lock, stages, **options)
            return
        written = _HEAD + _STAGES + _with(body, stages, **options)
        if written != text:
            files.write_text(path, written)
            lock.repo.scm_context.track_file(lock.relpath)

    Lockfile.dump_stages = dump_stages


def _with(body: str, stages: Sequence[PipelineStage], **options: Any) -> str:
    from dvc.stage.serialize import to_lockfile
    from dvc.utils.serialize import dumps_yaml

    new = [dumps_yaml({"stages": to_lockfile(stage, **options)}).removeprefix(_STAGES) for stage in stages]
    # By first line, the stage's name: a new block takes the place of the old one, or the last place.
    return "".join({block.partition("\n")[0]: block for block in [*_BLOCK.split(body), *new]}.values())


if __name__ == "__main__":
    from dvc.cli import main

    install()
    sys.exit(main(sys.argv[1:]))
