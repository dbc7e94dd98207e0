"""What readers of loose files share: finding files by pattern, reading them safely, naming samples after them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from depth_model.errors import BadInput
from depth_model.shards.store import Bucket, opened

Decoded = TypeVar("Decoded")

IMAGE_PATTERNS = (
    *("*.jpg", "*.jpeg", "*.jpe", "*.jfif", "*.png", "*.webp", "*.bmp", "*.tif", "*.tiff"),
    *("*.heic", "*.heif", "*.avif", "*.gif", "*.jp2", "*.j2k", "*.ppm", "*.pgm"),
)
"""Names of files that are pictures, as people give them."""

WILDCARD = re.compile(r"(\*\*/|\*\*|\*|\{\})")
_GROUPS = {"*": "([^/]+)", "{}": "([^/]+)", "**/": "((?:[^/]+/)*)", "**": "(.+)"}
_UNSAFE = re.compile(r"[^A-Za-z0-9_/-]")


def path_below(root: Path | Bucket, relative: str) -> Path:
    """Return the real path of `relative` (POSIX path) below the folder `root`.

    Raises BadInput when `..`, or a link below anything but a LinkedRoot, leads out of `root`, and for a store, which
    has no paths.
    """
    return opened(root).path(relative)


def read_below(root: Path | Bucket, relative: str) -> bytes:
    """Return the content of the file `relative` (POSIX path) below `root`, a folder or a store.

    Raises BadInput when a link or `..` leads out of `root`, OSError as the file system does, and BadInput or
    StoreError as `store.Bucket.read` does.
    """
    return opened(root).read(relative)


def decoded(root: Path, relative: str, decode: Callable[..., Decoded], *arguments: object) -> Decoded:
    """Return `decode(content, *arguments)` of the file `relative` below `root`.

    Raises BadInput that names the file for everything that is wrong with it, also when it is missing.
    """
    try:
        return decode(read_below(root, relative), *arguments)
    except FileNotFoundError as error:
        raise BadInput(f"{relative} is missing") from error
    except (BadInput, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{relative}: {reason}") from error


def state_below(root: Path | Bucket, relative: str) -> tuple[int, int | str] | None:
    """Return what changes when the file `relative` below `root` does, None when no such file can be seen.

    Size in bytes and modification time in ns, or the etag of an object in a store.
    """
    return opened(root).state(relative)


def paths_below(root: Path | Bucket, within: str = "") -> Iterator[str]:
    """Yield the POSIX path, relative to `root`, of every file below it, folder by folder in sorted order.

    Only those in the folder `within` when that is given; one that is not there holds nothing.
    """
    return opened(root).paths(within)


def matching(root: Path | Bucket, pattern: str, ignore_case: bool = False) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (path, what its wildcards stand for) of the files below `root` that match `pattern`, in sorted order.

    Wildcards are those of `wildcard`. Only the folder that the pattern starts with is searched; one that is not there
    holds nothing.
    """
    start = WILDCARD.split(pattern)[0].rpartition("/")[0]
    matcher = wildcard(pattern, ignore_case)
    for path in paths_below(root, start):
        if match := matcher.fullmatch(path):
            yield path, match.groups()


def safe_key(text: str) -> str:
    """Return `text` as a key for a shard: itself, when it only holds letters, digits, `_`, `-` and `/`.

    Otherwise every other character becomes `_` and the first eight digits of the SHA-256 of `text` follow, so
    that different texts keep different keys. A dot is replaced too: in a shard it ends the key.
    """
    safe = _UNSAFE.sub("_", text)
    return safe if safe == text else distinct_key(safe, text)


def distinct_key(key: str, text: str) -> str:
    """Return `key` made distinct by a digest of the `text` it stands for."""
    return f"{key}-{hashlib.sha256(os.fsencode(text)).hexdigest()[:8]}"


def wildcard(pattern: str, ignore_case: bool = False) -> re.Pattern[str]:
    """Return a regular expression with one group for every wildcard of `pattern`.

    `*` (or `{}`) stands for one or more characters of one component of a path, `**/` for any number of folders, and a
    final `**` for everything below.
    """
    parts = (_GROUPS.get(part) or re.escape(part) for part in WILDCARD.split(pattern))
    return re.compile("".join(parts), re.IGNORECASE if ignore_case else 0)


def loose_wildcard(pattern: str) -> str:
    """Return a regular expression without groups for `pattern`, whose `*` may also stand for nothing."""
    loose = {"*": "[^/]*", "{}": "[^/]*", "**/": "(?:.*/)?", "**": ".*"}
    return "".join(loose.get(part) or re.escape(part) for part in WILDCARD.split(pattern))


def filled(pattern: str, parts: tuple[str, ...]) -> str:
    """Return `pattern` with its wildcards replaced by `parts`, in order."""
    left = iter(parts)
    return "".join(next(left) if part in _GROUPS else part for part in WILDCARD.split(pattern))
