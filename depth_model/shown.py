"""What may be printed: names of files without their control characters, addresses without their passwords."""

from __future__ import annotations

import re

from depth_model.errors import UserError

_USER = re.compile(r"(?<=://)[^/\s]*@")


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
