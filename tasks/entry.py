"""The way into a stage: arguments in, one clear line instead of a traceback for what a user can mend."""

from __future__ import annotations

import sys
from collections.abc import Callable

from depth_model.errors import BadInput
from depth_model.memory import keep_freed_memory
from depth_model.shards.object_store import StoreError
from tasks.settings.params import ParamsError
from tasks.workspace.work import WorkError


class StageError(RuntimeError):
    """A stage cannot deliver; the message says what is wrong and what to do, one line per fault."""


def run(main: Callable[[], None]) -> None:
    """Call `main` and end the process with 1 and a line on stderr for a fault that a user can mend.

    A fault of the software itself keeps its traceback. Freed memory stays with the process (`keep_freed_memory`).
    """
    keep_freed_memory()
    try:
        main()
    except (ParamsError, WorkError, StageError, StoreError, BadInput, FileNotFoundError) as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        sys.exit(130)
