"""Files that are either whole or absent: atomic writes and checksums.

Everything the project leaves on disk goes through `atomic_path`, so that killing a process at any moment
leaves the old content or the new one, never half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

guards: list[Callable[[Path, Path | None], None]] = []
"""What is asked before a file is written: called with (path, None) first, and with (path, the finished temporary file)
before it gets its name. An exception stops the writing."""


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_name(path: Path) -> Path:
    """Return a hidden name beside `path` that nobody can guess, and so nobody can have planted a link under."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def ask_guards(path: Path, finished: Path | None = None) -> None:
    """Raise what a guard has against writing `path`."""
    for guard in guards:
        guard(path, finished)


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Give errors of the file system that do not say which file (a full disk) the name `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def atomic_path(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield an empty temporary file beside `path`; on success it is fsynced and renamed to `path`.

    The folder of `path` is created if needed; `mode` is that of the file, less the umask. On an exception the temporary
    file is removed and `path` keeps its old content. A link called `path` is replaced, never written through. Raises
    OSError as the file system does (disk full, no permission).
    """
    path = Path(path)
    ask_guards(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode))
    try:
        with naming(path):
            yield temporary
            with open(temporary, "rb") as handle:
                os.fsync(handle.fileno())
            ask_guards(path, temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def appending(path: Path) -> int:
    """Return a descriptor that reads `path` and writes at its end; the file is made if needed, a link is not followed.

    Raises OSError as the file system does, with "Too many levels of symbolic links" for a link.
    """
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def write_bytes(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write `data` to `path` atomically, with `mode` less the umask."""
    with atomic_path(path, mode) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Write `text` to `path` atomically as UTF-8, with `mode` less the umask."""
    write_bytes(path, text.encode("utf-8"), mode)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as JSON (keys in the order given, two spaces, final newline).

    Raises ValueError for NaN and infinity, which JSON does not have.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the value in the JSON file `path`; raises OSError without one and ValueError for other content."""
    return parsed_json(Path(path).read_bytes())


def parsed_json(data: bytes) -> Any:
    """Return the value of JSON that others wrote; raises JSONDecodeError, a ValueError, for anything that is none."""
    try:
        return json.loads(data)
    except (RecursionError, UnicodeDecodeError) as error:
        raise json.JSONDecodeError(f"no JSON that can be read ({type(error).__name__})", "", 0) from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of the content of the file `path` as 64 hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 by name of the file `path`, or of the files side by side in the folder; {} for neither."""
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    return {one.name: sha256(one) for one in inside if one.is_file()}


def sha256_of_json(value: Any) -> str:
    """Return the SHA-256 of `value` in canonical JSON (sorted keys, no spaces): equal values, equal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
