"""The way into every command: one line instead of a traceback for what a user can mend."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

from depth_model.errors import UserError
from depth_model.shown import printable, shown

MENDABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
MENDABLE |= {errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
"""Errors of a file system that say all there is to say, with the name of the file."""


def run(main: Callable[[], None]) -> None:
    """Call `main` and end the process with 1 and a line on stderr for a fault that a user can mend.

    A fault of the software itself keeps its traceback.
    """
    try:
        main()
    except (UserError, FileNotFoundError) as error:
        for line in str(error).split("\n"):
            print(f"error: {printable(line)}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.errno not in MENDABLE or error.filename is None:
            raise
        print(f"error: {shown(error.filename)}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        sys.exit(130)
