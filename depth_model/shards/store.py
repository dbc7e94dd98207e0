"""Objects in an S3-compatible store: listed page by page, read whole or by range, written in parts, all verified.

Credentials, region and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and what else boto3
looks at), never from parameters. Requests are retried with boto3's adaptive mode (AWS_MAX_ATTEMPTS, 10 unless set).
Trouble with the store ends the work with StoreError, so that nothing is left out because a network was down; only
an object that vanished or does not have the content it should have is a BadInput.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, TypeVar

from depth_model import files
from depth_model.errors import BadInput, UserError

Result = TypeVar("Result")

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


class StoreError(UserError):
    """The store cannot be used now; the message says for which object, why, and what to do."""


class StoreRoot(PurePosixPath):
    """`s3://bucket/prefix` in the place of a folder: the root of a source, or where shards are kept."""

    def __new__(cls, uri: str, *more: str) -> StoreRoot:
        """Take `s3://bucket/prefix`; raises ValueError for anything else."""
        text = uri.removeprefix(SCHEME) if uri.startswith(SCHEME) else uri.removeprefix("s3:/")
        if text == uri or not text.strip("/"):
            raise ValueError(f"{uri!r} does not name a bucket: s3://BUCKET/PREFIX is wanted")
        return super().__new__(cls, "s3:", text, *more)

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.uri,)

    @property
    def uri(self) -> str:
        """The address as people write it."""
        return f"{SCHEME}{'/'.join(self.parts[1:])}"

    @property
    def bucket(self) -> str:
        """The name of the bucket."""
        return self.parts[1]

    def object_key(self, relative: str = "") -> str:
        """Return the key of the object at `relative` below this root."""
        return "/".join([*self.parts[2:], relative]) if relative else "/".join(self.parts[2:])


def place(text: str | os.PathLike[str]) -> Path | StoreRoot:
    """Return the folder or the store that `text` names."""
    if isinstance(text, StoreRoot):
        return text
    return StoreRoot(text) if isinstance(text, str) and text.startswith(SCHEME) else Path(text)


@cache
def _client_of(process: int) -> Any:
    import boto3
    from botocore.config import Config

    retries = {"mode": "adaptive", "max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", 10))}
    return boto3.Session().client("s3", config=Config(retries=retries, connect_timeout=10, read_timeout=60))


def client() -> Any:
    """Return the boto3 client of this process; connections are never shared with a forked one."""
    return _client_of(os.getpid())


def read_object(root: StoreRoot, relative: str) -> bytes:
    """Return the whole object `relative` below `root`, its length and, where the store tells it, checksum verified.

    Raises BadInput when it is not there or its content is not what its checksum says, and StoreError when the
    store cannot be used.
    """
    key = root.object_key(relative)

    def read() -> bytes:
        answer = client().get_object(Bucket=root.bucket, Key=key, ChecksumMode="ENABLED")
        data = answer["Body"].read()
        _check(data, answer)
        return data

    return _tried(read, f"{root.uri}/{relative}")


def read_range(
    root: StoreRoot, relative: str, offset: int, size: int, intact: Callable[[bytes], bool] = lambda data: True
) -> bytes:
    """Return `size` bytes from `offset` on of the object `relative` below `root`, in one ranged read.

    A range has no checksum: `intact(data)` tells whether it is what it should be. Raises BadInput when the object
    or these bytes are not there, or never intact, and StoreError when the store cannot be used.
    """
    span = f"bytes={offset}-{offset + size - 1}"
    key = root.object_key(relative)

    def read() -> bytes:
        data = client().get_object(Bucket=root.bucket, Key=key, Range=span)["Body"].read()
        if len(data) == size and not intact(data):
            raise _WrongContent("the content is not what was stored")
        return data

    data = _tried(read, f"{root.uri}/{relative}")
    if len(data) != size:
        raise BadInput(f"{root.uri}/{relative}: cut off, {size} bytes at {offset} are not there")
    return data


def fetch_object(root: StoreRoot, relative: str, path: Path, size: int, sha256: str) -> None:
    """Download the object `relative` below `root`, of `size` bytes, into the file `path`, in ranges, verified.

    Raises BadInput when it is not there or its content does not have `sha256`, StoreError when the store cannot be
    used, and OSError as the file system does.
    """

    def fetch() -> None:
        with open(path, "wb") as handle, ThreadPoolExecutor(_AT_ONCE) as threads:

            def fetch_range(offset: int) -> None:
                data = read_range(root, relative, offset, min(_RANGE, size - offset))
                os.pwrite(handle.fileno(), data, offset)

            list(threads.map(fetch_range, range(0, size, _RANGE)))
        if files.sha256(path) != sha256:
            raise _WrongContent("the content is not what was stored")

    _tried(fetch, f"{root.uri}/{relative}")


def write_object(root: StoreRoot, relative: str, path: Path, sha256: str) -> None:
    """Upload the file `path`, in parts when it is large, unless an object with its size and `sha256` is there.

    The store verifies a checksum of every part and makes the object visible whole or not at all. Raises
    StoreError when it cannot.
    """
    from boto3.s3.transfer import TransferConfig

    uri = f"{root.uri}/{relative}"
    if object_state(root, relative) == (path.stat().st_size, sha256):
        return
    extra = {"Metadata": {"sha256": sha256}, "ChecksumAlgorithm": "CRC32"}
    config = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=_AT_ONCE)
    key = root.object_key(relative)
    with _translated(uri, last=True):  # boto3 tries each part again by itself
        client().upload_file(str(path), root.bucket, key, ExtraArgs=extra, Config=config)
    if object_state(root, relative) != (path.stat().st_size, sha256):
        raise StoreError(f"{uri}: is not there as it was uploaded; run the same command again")


def object_state(root: StoreRoot, relative: str) -> tuple[int, str] | None:
    """Return (size in bytes, SHA-256 recorded by `write_object` or "") of an object, None when it is not there."""

    def head() -> tuple[int, str]:
        answer = client().head_object(Bucket=root.bucket, Key=root.object_key(relative))
        return answer["ContentLength"], answer["Metadata"].get("sha256", "")

    try:
        return _tried(head, f"{root.uri}/{relative}")
    except BadInput:
        return None


def listed(root: StoreRoot, within: str = "") -> Iterator[dict[str, Any]]:
    """Yield path (relative to `root`), size in bytes and etag of every object below it, in the order of a folder.

    Only what lies in the folder `within`, when that is given.
    That is the order of `sample.files_below`: a bucket and its copy on disk give the same collection. Hidden
    names (with a leading dot) and folder markers are left out. The bucket is listed once per process; the list
    lies in a temporary file, not in memory.
    """
    query = "SELECT folder, name, size, etag FROM objects WHERE folder BETWEEN ? AND ? ORDER BY folder, name"
    first = _folder(within)
    rows = _listing(root).execute(query, (first, f"{first}\U0010ffff"))
    for folder, name, size, etag in rows:
        yield {"path": _path(folder, name), "size": size, "etag": etag}


def listed_state(root: StoreRoot, relative: str) -> tuple[int, str] | None:
    """Return (size in bytes, etag) of an object by the list of its bucket, None when it is not on it."""
    folder, _, name = relative.rpartition("/")
    wanted = (_folder(folder), name)
    return _listing(root).execute("SELECT size, etag FROM objects WHERE folder = ? AND name = ?", wanted).fetchone()


@cache
def _listing(root: StoreRoot) -> sqlite3.Connection:
    # An empty name is SQLite's own temporary file, which nobody can see and which is gone when the process is.
    table = sqlite3.connect("")
    table.execute("CREATE TABLE objects (folder TEXT, name TEXT, size INT, etag TEXT, PRIMARY KEY (folder, name))")
    table.executemany("INSERT INTO objects VALUES (?, ?, ?, ?)", _objects(root))
    table.commit()
    return table


def _objects(root: StoreRoot) -> Iterator[tuple[str, str, int, str]]:
    prefix = root.object_key()
    prefix = f"{prefix}/" if prefix else ""
    asked = {"Bucket": root.bucket, "Prefix": prefix}
    while True:
        # Page by page by hand: boto3's paginator ends silently when it is asked again after an error.
        page = _tried(partial(client().list_objects_v2, **asked), root.uri)
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


def _path(folder: str, name: str) -> str:
    return folder.replace("\x01", "/") + name


def _check(data: bytes, answer: dict[str, Any]) -> None:
    if len(data) != answer["ContentLength"]:
        raise EOFError(f"{len(data)} of {answer['ContentLength']} bytes came")
    etag = answer["ETag"].strip('"')
    # The ETag is the MD5 of the content unless the object was uploaded in parts or is encrypted with a key of its own.
    plain = _MD5.fullmatch(etag) and answer.get("ServerSideEncryption") in (None, "AES256")
    if plain and "SSECustomerAlgorithm" not in answer and hashlib.md5(data, usedforsecurity=False).hexdigest() != etag:
        raise _WrongContent("the content does not have the checksum that the store gives for it")


class _WrongContent(Exception):
    pass


def _tried(call: Callable[[], Result], uri: str) -> Result:
    """Return `call()`, tried again when the connection breaks within an answer, which boto3 does not do itself."""
    for turn in range(_TRIES):
        with _translated(uri, last=turn == _TRIES - 1):
            return call()
        time.sleep(_PAUSE * 2**turn)
    raise AssertionError("the last try returns or raises")


@contextmanager
def _translated(uri: str, last: bool) -> Iterator[None]:
    from boto3.exceptions import Boto3Error
    from botocore import exceptions
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    again = "finished shards are kept: run the same command again when the store answers"
    try:
        yield
    except exceptions.ClientError as error:
        _refuse(uri, error)
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise StoreError(f"{uri}: {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
    except (_WrongContent, exceptions.FlexibleChecksumError) as error:
        if last:
            raise BadInput(f"wrong checksum in {_TRIES} tries: {error}") from error
    except (exceptions.BotoCoreError, Boto3Error, ResponseParserError, HTTPError, EOFError, ConnectionError) as error:
        within = (exceptions.ResponseStreamingError, exceptions.IncompleteReadError, ResponseParserError)
        if last or not isinstance(error, (*within, HTTPError, EOFError)):
            raise StoreError(f"{uri}: {' '.join(str(error).split())}; {again}") from error


def _refuse(uri: str, error: Any) -> NoReturn:
    code = error.response["Error"].get("Code", "")
    message = " ".join(str(error.response["Error"].get("Message", "")).split())
    if code in _GONE:
        raise BadInput("vanished from the store after it was listed") from error
    if code in _TOO_SHORT:
        raise BadInput("shorter in the store than when it was written") from error
    if code in _EXPIRED:
        raise StoreError(f"{uri}: the credentials are expired or wrong ({code}); renew them and run again") from error
    if code == "NoSuchBucket":
        raise StoreError(f"{uri}: there is no such bucket") from error
    raise StoreError(f"{uri}: {code}: {message or 'refused'}; finished shards are kept: run again") from error
