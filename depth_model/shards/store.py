"""Where data lies: a folder or a bucket of an S3-compatible store, listed and read in the same way.

Credentials, region and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and what else boto3
looks at), never from parameters. Requests are retried with boto3's adaptive mode (AWS_MAX_ATTEMPTS, 10 unless set).
Trouble with the store ends the work with StoreError, so that nothing is left out because a network was down; only
an object that vanished or does not have the content it should have is a BadInput.

Why not a library alone: botocore's retries end with the head of an answer, boto3's transfers ask for the size of each
object first, by a request whose refusal tells no reason, and s3fs compares no checksum and keeps listings in memory.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from depth_model import files
from depth_model.errors import BadInput, CanPass, UserError
from depth_model.shards.folder import Folder
from depth_model.shown import without_password

Result = TypeVar("Result")

KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
SCHEME = "s3://"
_MD5 = re.compile(r"[0-9a-f]{32}")
_GONE = {"NoSuchKey", "404", "NotFound"}
_TOO_SHORT = {"InvalidRange", "416"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_TRIES = 5
_PAUSE = 0.2
_PART = 64 << 20
_RANGE = 16 << 20
_AT_ONCE = 4
_AWAY = {429, 500, 502, 503, 504}
_AGAIN = "finished shards are kept: run the same command again when the store answers"


class StoreError(UserError):
    """The store cannot be used now; the message says for which object, why, and what to do."""


class StoreAway(CanPass, StoreError):
    """The store does not answer, or asks to be left in peace for a while."""


class _WrongContent(Exception):
    pass


@dataclass(frozen=True)
class Bucket:
    """`s3://bucket/prefix` as the place of a source, or of shards; raises ValueError for anything else.

    Every method raises StoreError when the store cannot be used.
    """

    uri: str

    def __post_init__(self) -> None:
        """Bring the address into its one form."""
        parts = [part for part in self.uri.removeprefix(SCHEME).split("/") if part]
        if not self.uri.startswith(SCHEME) or not parts:
            raise ValueError(f"{self.uri!r} does not name a bucket: s3://BUCKET/PREFIX is wanted")
        without_password("the store", self.uri, KEYS)
        object.__setattr__(self, "uri", SCHEME + "/".join(parts))

    def __str__(self) -> str:
        """Return the address as people write it."""
        return self.uri

    def _object(self, relative: str = "") -> dict[str, str]:
        """Return how boto3 names the object at `relative`."""
        name, _, prefix = self.uri.removeprefix(SCHEME).partition("/")
        return {"Bucket": name, "Key": "/".join(part for part in (prefix, relative) if part)}

    def path(self, relative: str) -> Path:
        """Raise BadInput: an object has no path."""
        raise BadInput("archives and videos are read from folders, not from a store: unpack it there")

    def read(self, relative: str) -> bytes:
        """Return a whole object, its length and, where the store tells it, checksum verified.

        Raises BadInput when it is not there or its content is not what its checksum says.
        """
        return self._get(relative, _check, ChecksumMode="ENABLED")

    def read_range(
        self, relative: str, offset: int, size: int, intact: Callable[[bytes], bool] = lambda data: True
    ) -> bytes:
        """Return `size` bytes of an object from `offset` on, in one ranged read.

        A range has no checksum: `intact(data)` tells whether it is what it should be. Raises BadInput when the object
        or these bytes are not there, or never intact.
        """

        def check(data: bytes, answer: dict[str, Any]) -> None:
            if len(data) == size and not intact(data):
                raise _WrongContent("the content is not what was stored")

        data = self._get(relative, check, Range=f"bytes={offset}-{offset + size - 1}")
        if len(data) != size:
            raise BadInput(f"{self.uri}/{relative}: cut off, {size} bytes at {offset} are not there")
        return data

    def _get(self, relative: str, check: Callable[[bytes, dict[str, Any]], None], **asked: str) -> bytes:
        def get() -> bytes:
            answer = client().get_object(**self._object(relative), **asked)
            data = answer["Body"].read()
            check(data, answer)
            return data

        return _tried(get, f"{self.uri}/{relative}")

    def fetch(self, relative: str, path: Path, size: int, sha256: str) -> None:
        """Download an object of `size` bytes into the file `path`, in ranges, verified.

        Raises BadInput when it is not there or its content does not have `sha256`, and OSError as the file system does.
        """

        def fetch() -> None:
            with open(path, "wb") as handle, ThreadPoolExecutor(_AT_ONCE) as threads:

                def fetch_range(offset: int) -> None:
                    os.pwrite(handle.fileno(), self.read_range(relative, offset, min(_RANGE, size - offset)), offset)

                list(threads.map(fetch_range, range(0, size, _RANGE)))
            if files.sha256(path) != sha256:
                raise _WrongContent("the content is not what was stored")

        _tried(fetch, f"{self.uri}/{relative}")

    def write(self, relative: str, path: Path, sha256: str) -> None:
        """Upload the file `path`, in parts when it is large, unless an object with its size and `sha256` is there.

        The store verifies a checksum of every part and makes the object visible whole or not at all.
        """
        from boto3.s3.transfer import TransferConfig

        wanted = (path.stat().st_size, sha256)
        if self.kept(relative) == wanted:
            return
        extra = {"Metadata": {"sha256": sha256}, "ChecksumAlgorithm": "CRC32"}
        config = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=_AT_ONCE)
        upload = partial(client().upload_file, str(path), ExtraArgs=extra, Config=config, **self._object(relative))
        _tried(upload, f"{self.uri}/{relative}", tries=1)  # boto3 tries each part again by itself
        if self.kept(relative) != wanted:
            raise StoreError(f"{self.uri}/{relative}: is not there as it was uploaded; run the same command again")

    def kept(self, relative: str) -> tuple[int, str] | None:
        """Return (size in bytes, SHA-256 recorded by `write` or "") of an object, None when it is not there."""
        try:
            answer = _tried(lambda: client().head_object(**self._object(relative)), f"{self.uri}/{relative}")
        except BadInput:
            return None
        return answer["ContentLength"], answer["Metadata"].get("sha256", "")

    def state(self, relative: str) -> tuple[int, str] | None:
        """Return (size in bytes, etag) of an object by the list of its bucket, None when it is not on it."""
        folder, _, name = relative.rpartition("/")
        query = "SELECT size, etag FROM objects WHERE folder = ? AND name = ?"
        return _listing(self).execute(query, (_folder(folder), name)).fetchone()

    def listed(self, within: str = "") -> Iterator[dict[str, Any]]:
        """Yield path (relative), size in bytes and etag of every object, or of those in the folder `within`.

        In the order of `Folder.listed`: a bucket and its copy on disk give the same collection. Hidden names (with a
        leading dot) and folder markers are left out. The bucket is listed once per process; the list lies in a
        temporary file, not in memory.
        """
        query = "SELECT folder, name, size, etag FROM objects WHERE folder BETWEEN ? AND ? ORDER BY folder, name"
        first = _folder(within)
        for folder, name, size, etag in _listing(self).execute(query, (first, f"{first}\U0010ffff")):
            yield {"path": folder.replace("\x01", "/") + name, "size": size, "etag": etag}

    def paths(self, within: str = "") -> Iterator[str]:
        """Yield the paths of `listed`."""
        return (entry["path"] for entry in self.listed(within))

    def everything(self) -> Iterator[tuple[str, None, str]]:
        """Yield (path, None, "") of `listed`, as `Folder.everything` does."""
        return ((path, None, "") for path in self.paths())


def located(text: str | os.PathLike[str] | Bucket) -> Path | Bucket:
    """Return the folder or the bucket that `text` names."""
    if isinstance(text, (Path, Bucket)):
        return text
    return Bucket(text) if str(text).startswith(SCHEME) else Path(text)


def opened(root: str | os.PathLike[str] | Bucket) -> Folder | Bucket:
    """Return what lists and reads the files below `root`."""
    return root if isinstance(root, Bucket) else Folder(root if isinstance(root, Path) else Path(root))


@cache
def _client_of(process: int) -> Any:
    import boto3
    from botocore.config import Config

    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        without_password(name, os.environ.get(name, ""), KEYS)
    retries = {"mode": "adaptive", "max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", 10))}
    return boto3.Session().client("s3", config=Config(retries=retries, connect_timeout=10, read_timeout=60))


def client() -> Any:
    """Return the boto3 client of this process; connections are never shared with a forked one."""
    return _client_of(os.getpid())


@cache
def _listing(bucket: Bucket) -> sqlite3.Connection:
    # An empty name is SQLite's own temporary file, which nobody can see and which is gone when the process is.
    table = sqlite3.connect("")
    table.execute("CREATE TABLE objects (folder TEXT, name TEXT, size INT, etag TEXT, PRIMARY KEY (folder, name))")
    table.executemany("INSERT INTO objects VALUES (?, ?, ?, ?)", _objects(bucket))
    table.commit()
    return table


def _objects(bucket: Bucket) -> Iterator[tuple[str, str, int, str]]:
    place = bucket._object()
    prefix = f"{place['Key']}/" if place["Key"] else ""
    asked = {"Bucket": place["Bucket"], "Prefix": prefix}
    while True:
        # Page by page by hand: boto3's paginator ends silently when it is asked again after an error.
        page = _tried(partial(client().list_objects_v2, **asked), bucket.uri)
        for entry in page.get("Contents", ()):
            path = entry["Key"][len(prefix) :]
            folder, _, name = path.rpartition("/")
            if name and not any(part.startswith(".") for part in path.split("/")):
                yield _folder(folder), name, entry["Size"], entry["ETag"].strip('"')
        if not page["IsTruncated"]:
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def _folder(folder: str) -> str:
    # Before every other character, so that the files of a folder stand before those of the folders in it.
    return folder.replace("/", "\x01") + "\x01" if folder else ""


def _check(data: bytes, answer: dict[str, Any]) -> None:
    if len(data) != answer["ContentLength"]:
        raise EOFError(f"{len(data)} of {answer['ContentLength']} bytes came")
    etag = answer["ETag"].strip('"')
    # The ETag is the MD5 of the content unless the object was uploaded in parts or is encrypted with a key of its own.
    plain = _MD5.fullmatch(etag) and answer.get("ServerSideEncryption") in (None, "AES256")
    if plain and "SSECustomerAlgorithm" not in answer and hashlib.md5(data, usedforsecurity=False).hexdigest() != etag:
        raise _WrongContent("the content does not have the checksum that the store gives for it")


def _tried(call: Callable[[], Result], uri: str, tries: int = _TRIES) -> Result:
    """Return `call()`, tried again when the connection breaks within an answer, which boto3 does not do itself."""
    from boto3.exceptions import Boto3Error
    from botocore import exceptions
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    broken = (exceptions.ResponseStreamingError, exceptions.IncompleteReadError, ResponseParserError)
    broken += (HTTPError, EOFError)
    for left in reversed(range(tries)):
        try:
            return call()
        except exceptions.ClientError as error:
            raise _refusal(uri, error) from error
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
            raise StoreError(f"{uri}: {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
        except (_WrongContent, exceptions.FlexibleChecksumError) as error:
            if not left:
                raise BadInput(f"wrong checksum in {tries} tries: {error}") from error
        except (exceptions.BotoCoreError, Boto3Error, ConnectionError, *broken) as error:
            if not left or not isinstance(error, broken):
                raise StoreAway(f"{uri}: {' '.join(str(error).split())}; {_AGAIN}") from error
        time.sleep(_PAUSE * 2 ** (tries - 1 - left))
    raise AssertionError("the last try returns or raises")


def _refusal(uri: str, error: Any) -> UserError:
    code = error.response["Error"].get("Code", "")
    message = " ".join(str(error.response["Error"].get("Message", "")).split())
    if code in _GONE:
        return BadInput("vanished from the store after it was listed")
    if code in _TOO_SHORT:
        return BadInput("shorter in the store than when it was written")
    if code in _EXPIRED:
        return StoreError(f"{uri}: the credentials are expired or wrong ({code}); renew them and run again")
    if code == "NoSuchBucket":
        return StoreError(f"{uri}: there is no such bucket")
    fault = StoreAway if error.response["ResponseMetadata"].get("HTTPStatusCode", 0) in _AWAY else StoreError
    return fault(f"{uri}: {code}: {message or 'refused'}; finished shards are kept: run again")
