"""What all kinds of archives share: how a member is told, how it is found again, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from depth_model.errors import BadInput

MAX_BYTES = 2**28
"""The most bytes of one member that are read, packed or unpacked: 256 MiB, more than any image of the paper has."""

LONGEST_NAME = 1024


class Member(NamedTuple):
    """One member of an archive: its name, the place that `read` finds it at, or the reason why it is refused.

    An empty name stands for the rest of an archive that cannot be listed to its end.
    """

    name: str
    place: str
    reason: str = ""


def told(name: str, place: str, size: int) -> Member:
    """Return the member `name` of `size` bytes: refused for an unsafe name and for more than MAX_BYTES."""
    if reason := _unsafe(name):
        return Member(name[:LONGEST_NAME], "", reason)
    if size > MAX_BYTES:
        return Member(name, "", f"a member of {size} bytes: at most {MAX_BYTES} are read")
    return Member(name.removeprefix("./"), place)


def _unsafe(name: str) -> str:
    if len(name) > LONGEST_NAME:
        return f"a name of {len(name)} characters: at most {LONGEST_NAME} are read"
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"):
        return "the name leads out of the archive"
    return ""


def cut_off(name: str, end: int) -> Member:
    """Return the refusal of a member whose content goes on to byte `end`, which the archive does not have."""
    return Member(name[:LONGEST_NAME], "", f"the archive is cut off: it ends before byte {end}, in this member")


def rest(offset: int, reason: str) -> Member:
    """Return the refusal of everything that an archive holds from byte `offset` on."""
    return Member("", "", f"the archive cannot be listed from byte {offset} on: {reason}")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file for ranged reads; raises BadInput for anything else, such as a pipe."""
    if not path.is_file():
        raise BadInput("not a file" if path.exists() else "there is no such file")
    with open(path, "rb", buffering=0) as handle:
        yield handle


def pread(handle: IO[bytes], offset: int, size: int) -> bytes:
    """Return up to `size` bytes from `offset` on; fewer only at the end of the file."""
    return os.pread(handle.fileno(), size, offset)


def exactly(handle: IO[bytes], offset: int, size: int) -> bytes:
    """Return `size` bytes from `offset` on; raises BadInput for more than MAX_BYTES or more than there are."""
    data = pread(handle, offset, size) if 0 <= size <= MAX_BYTES and offset >= 0 else b""
    if len(data) != size:
        raise BadInput(f"the archive changed or is cut off: {size} bytes at {offset} are not there")
    return data


def file_size(handle: IO[bytes]) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(handle.fileno()).st_size
