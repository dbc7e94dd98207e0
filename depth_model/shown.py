"""What may be printed: names without control characters, addresses without passwords, a line instead of a traceback."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable

from depth_model.errors import CAN_PASS, CanPass, UserError

_USER = re.compile(r"(?<=://)[^/\s]*@")
_MENDABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
_MENDABLE |= {errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
"""Errors of a file system that say all there is to say, with the name of the file."""


def shown(text: object) -> str:
    """Return `text` with everything that a terminal would obey, or not show, escaped (`\\x1b`, `\\n`, `\\u202e`).

    Names of files are hostile input: an escape sequence in one can rewrite what a terminal shows.
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(text))


def redacted(text: str) -> str:
    """Return `text` with user and password of every address in it replaced by stars."""
    return _USER.sub("***@", text)


def printable(text: str) -> str:
    """Return one line of other programs, or of an error, for a terminal or a log."""
    return shown(redacted(text).replace("\t", "    "))


def without_password(setting: str, uri: str, remedy: str) -> str:
    """Return `uri`; raises UserError that names the `setting` and the `remedy` when a password stands in it.

    What stands in an address ends in logs, tables and error messages.
    """
    found = re.match(r"[^/]*://([^/\s]*)@", uri)
    if found and (":" in found.group(1) or uri.lower().startswith("http")):
        raise UserError(f"{setting}: {redacted(uri)} holds a user and a password; {remedy}")
    return uri


def run_command(main: Callable[[], None]) -> None:
    """Call `main` and end the process with 1 and a line on stderr for a fault that a user can mend.

    It ends with CAN_PASS for one that may pass by itself. A fault of the software itself keeps its traceback.
    """
    try:
        main()
    except (UserError, FileNotFoundError) as error:
        for line in str(error).split("\n"):
            print(f"error: {printable(line)}", file=sys.stderr)
        sys.exit(CAN_PASS if isinstance(error, CanPass) else 1)
    except OSError as error:
        if error.errno not in _MENDABLE or error.filename is None:
            raise
        print(f"error: {shown(error.filename)}: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        sys.exit(130)
