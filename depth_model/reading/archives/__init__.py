"""Images inside archives (tar, tar.gz, zip, LMDB, videos) as if they were files: listed lazily, read one by one.

`members` lists an archive once, in its own order and with flat memory; the place that it gives for a member is all
that `read` needs to get its bytes at random, in any process. Nothing is ever unpacked to disk: a name in an archive
is only a name. Links, unsafe names and members above MAX_BYTES are refused with a reason; of an archive that is cut
off or damaged, what can still be listed is, and the rest is one refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from depth_model.errors import BadInput
from depth_model.reading.archives import lmdb, tar, zip
from depth_model.reading.archives.common import MAX_BYTES, Member

__all__ = ["LMDB_LOCKS", "LMDB_NAMES", "MAX_BYTES", "PACKED_SUFFIXES", "VIDEO_SUFFIXES", "Member", "members", "read"]

PACKED_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
LMDB_NAMES = (".lmdb", "data.mdb")
LMDB_LOCKS = (".lmdb-lock", "lock.mdb")
"""Files that belong to a database and hold nothing of it."""

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")


def members(path: Path, every: int = 1) -> Iterator[Member]:
    """Yield the members of the archive `path` in their order, told from its name; of a video one frame in `every`.

    A member that cannot be read comes with its reason instead of a place, an archive that cannot be opened as one
    such member without a name.
    """
    name = path.name.lower()
    try:
        if name.endswith(VIDEO_SUFFIXES):
            yield from _frames(path, every)
        elif name.endswith(LMDB_NAMES):
            yield from lmdb.members(path)
        else:
            yield from (zip.members if name.endswith(".zip") else tar.members)(path)
    except (BadInput, OSError) as error:
        yield Member("", "", str(error) if isinstance(error, BadInput) else f"{error.strerror or error}")


def _frames(path: Path, every: int) -> Iterator[Member]:
    from depth_model.reading import video

    for number in range(0, video.announced_frames(path), every):
        yield Member(f"{number:06d}.jpg", f"frame:{number}")


def read(path: Path, place: str) -> bytes:
    """Return the encoded image at `place` of the archive `path`, as `members` told it.

    A frame of a video comes as JPEG of quality 95. Raises BadInput for a place that is not there (any more) and for
    damaged data, OSError as the file system does.
    """
    kind, *numbers = place.split(":")
    return _READERS[kind](path, *map(int, numbers))


def _frame(path: Path, number: int) -> bytes:
    from depth_model.reading import video

    return video.jpeg_frame(path, number)


_READERS: dict[str, Callable[..., bytes]] = {
    "at": tar.read_plain,
    "gz": tar.read_compressed,
    "zip": zip.read,
    "frame": _frame,
}
