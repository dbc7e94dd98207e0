"""The way into every command: one line instead of a traceback for what a user can mend."""

from __future__ import annotations

import sys
from collections.abc import Callable

from depth_model.errors import UserError


def run(main: Callable[[], None]) -> None:
    """Call `main` and end the process with 1 and a line on stderr for a fault that a user can mend.

    A fault of the software itself keeps its traceback.
    """
    try:
        main()
    except (UserError, FileNotFoundError) as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        sys.exit(130)
