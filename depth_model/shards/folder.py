"""A folder as the place of a source: its files, and for everything else in it the reason why it is not read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import Any

from depth_model.errors import BadInput


class LinkedRoot(PosixPath):
    """The root of a source whose links may lead out of it."""


@dataclass(frozen=True)
class Folder:
    """A folder as the place of a source; what leads out of it, by `..` or a link, is refused as BadInput.

    Links may lead out where `root` is a LinkedRoot.
    """

    root: Path

    def path(self, relative: str) -> Path:
        """Return the real path of `relative` (POSIX path)."""
        if isinstance(self.root, LinkedRoot) and ".." not in relative.split("/") and not os.path.isabs(relative):
            return Path(self.root, relative)
        base, path = os.path.realpath(self.root), os.path.realpath(os.path.join(self.root, relative))
        if os.path.commonpath((base, path)) != base:
            raise BadInput("a link leads out of the root of the source: the option follow_links: true allows it")
        return Path(path)

    def read(self, relative: str) -> bytes:
        """Return the content of a file; raises OSError as the file system does."""
        return self.path(relative).read_bytes()

    def state(self, relative: str) -> tuple[int, int] | None:
        """Return (size in bytes, modification time in ns) of a file, None when no such file can be seen."""
        try:
            status = os.stat(f"{self.root}/{relative}")  # os.path.join costs more than asking the file system
        except OSError:  # not there, a circle of links, or in a folder that may not be looked into
            return None
        return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None

    def listed(self) -> Iterator[dict[str, Any]]:
        """Yield path (relative, POSIX), size in bytes and modification time in ns of every file.

        Folder by folder in sorted order; hidden files are left out, and what else is not read has the reason `left_out`
        instead.
        """
        for path, entry, reason in self.everything():
            if reason:
                yield {"path": path, "left_out": reason}
            else:
                status = entry.stat()
                yield {"path": path, "size": status.st_size, "modified": status.st_mtime_ns}

    def paths(self, within: str = "") -> Iterator[str]:
        """Yield the paths of the files, or of those in the folder `within`; one that is not there holds nothing.

        Asks the file system for names only: the size of a file costs as much again as finding it.
        """
        if not within or (self.root / within).is_dir():
            yield from (path for path, _, reason in self.everything(within) if not reason)

    def everything(self, within: str = "") -> Iterator[tuple[str, os.DirEntry[str] | None, str]]:
        """Yield (path, entry, "" or the reason why it is not read) of all that is no folder, in the order of `listed`.

        Only what lies in the folder `within`, when that is given. Names with a leading dot do not count, as everywhere.
        A link to a folder is followed only below a LinkedRoot, only out of the root, and no folder twice.
        """
        pending, seen = [f"{within}/" if within else ""], {os.path.realpath(self.root)}
        while pending:
            folder = pending.pop()
            try:
                entries = sorted(os.scandir(self.root / folder), key=lambda entry: entry.name)
            except PermissionError as error:
                if folder.strip("/") == within:
                    raise
                yield folder.rstrip("/"), None, f"a folder that cannot be read: {error.strerror}"
                continue
            below = []
            for entry in entries:
                path = folder + entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below.append(f"{path}/")
                elif not (reason := _left_out(self.root, entry, seen)) and entry.is_dir():
                    below.append(f"{path}/")
                else:
                    yield path, entry, reason
            pending.extend(reversed(below))


def _left_out(root: Path, entry: os.DirEntry[str], seen: set[str]) -> str:
    """Return why `entry`, no folder itself, is not read, "" when it is; a folder to be followed is noted in `seen`."""
    if entry.is_file():
        return ""
    if not entry.is_symlink():
        return "" if entry.is_dir() else "neither a file nor a folder (a pipe, a socket or a device)"
    if not os.path.exists(entry.path):
        return "a dangling link: what it names is not there (fetch it: dvc pull, git annex get)"
    if not entry.is_dir():
        return "a link to neither a file nor a folder"
    target, base = os.path.realpath(entry.path), os.path.realpath(root)
    if target in seen or os.path.commonpath((target, base)) in (target, base):
        return "a link to a folder that is read elsewhere, or that holds this one"
    if not isinstance(root, LinkedRoot):
        return "a link to a folder out of the root of the source: the option follow_links: true follows it"
    seen.add(target)
    return ""
