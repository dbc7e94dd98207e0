"""From a reader to shards, manifest and quarantine: the only way images and labels enter the project.

Items are listed lazily and cut into shards of equal numbers; one process reads, checks and writes one shard at
a time, whole or not at all, so that a killed collection goes on with the shards that are missing. The result
has the same bytes whatever the number of processes and interruptions. Every input ends in the manifest or, with
its reason, in the quarantine. Does not judge whether images are good, similar or wanted.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from depth_model import files
from depth_model.datasets import images, manifest, rasters, shards
from depth_model.datasets.disparity import labelled_pixels
from depth_model.datasets.sample import TARGET_KINDS, BadInput, Item, Reader, Sample, check_key

_NO_MEMBER = (0, 0)


class WorkerKilled(RuntimeError):
    """A worker process ended without a result; what is finished is kept."""


@dataclass(frozen=True)
class _Rules:
    """What one shard needs to know besides its items; cheap to send to another process."""

    reader: Reader
    root: Path
    options: Any
    scratch: Path
    max_side: int
    minimum_side: int
    labels: bool


@dataclass(frozen=True)
class _Part:
    """The items of one shard; `repeated` numbers those whose key stood before in the source."""

    index: int
    items: tuple[Item, ...]
    repeated: frozenset[int]

    def digest(self) -> str:
        listed = [[item.key, item.source_path, *item.paths] for item in self.items]
        return files.sha256_of_json([listed, sorted(self.repeated)])


def collect_source(
    reader: Reader,
    root: Path,
    options: Any,
    scratch: Path,
    result: Path,
    *,
    max_side: int,
    minimum_side: int,
    samples_per_shard: int,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
    labels: bool = True,
) -> None:
    """Read a whole source into `result`: shards, `manifest.parquet` and `quarantine.parquet`.

    Finished shards in `scratch` are used again. `max_side` and `minimum_side` are pixels; larger images are
    scaled down, smaller ones refused. With `labels` False, targets and class labels are left out, as the
    unlabeled role wants it. `progress(kept, refused)` is called after each shard with the numbers so far.
    BadInput and OSError of one input put it into the quarantine; any other exception is a fault of the software
    and ends the collection, WorkerKilled the loss of a worker.
    """
    plain = reader.options(**{field.name: getattr(options, field.name) for field in fields(reader.options)})
    rules = _Rules(reader, Path(root), plain, Path(scratch), max_side, minimum_side, labels)
    kept = refused = 0
    paths = []
    for path in _finished_parts(_parts(reader.listed(rules.root, plain), samples_per_shard), rules, workers):
        details = manifest.metadata(path)
        kept, refused = kept + details["samples"], refused + details["refused"]
        paths.append(path)
        if progress is not None:
            progress(kept, refused)
    _join(paths, rules.scratch, Path(result))


def _parts(items: Iterator[Item], size: int) -> Iterator[_Part]:
    seen = _SeenKeys()
    index = 0
    while chunk := tuple(islice(items, size)):
        repeated = np.flatnonzero(seen.repeated([item.key for item in chunk]))
        yield _Part(index, chunk, frozenset(repeated.tolist()))
        index += 1


class _SeenKeys:
    """Which keys stood before: 8 bytes for each, in sorted arrays of doubling length."""

    def __init__(self) -> None:
        self._levels: list[np.ndarray] = []

    def repeated(self, keys: list[str]) -> np.ndarray:
        """Return bool per key: whether it stood before, here or in an earlier call."""
        hashes = np.array([_hash64(key) for key in keys], np.uint64)
        distinct, first = np.unique(hashes, return_index=True)
        repeated = np.ones(len(keys), bool)
        repeated[first] = False
        for level in self._levels:
            places = np.minimum(np.searchsorted(level, hashes), len(level) - 1)
            repeated |= level[places] == hashes
        while self._levels and len(self._levels[-1]) <= len(distinct):
            distinct = np.union1d(self._levels.pop(), distinct)
        self._levels.append(distinct)
        return repeated


def _hash64(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(key), digest_size=8).digest(), "big")


def _finished_parts(parts: Iterator[_Part], rules: _Rules, workers: int) -> Iterator[Path]:
    """Yield the table of every shard in order, made now or earlier, with at most 2 x `workers` in the works."""
    if workers == 1:
        yield from (_collect_part(part, rules) for part in parts)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=end_with_parent) as pool:
        waiting: deque[Future[Path]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(_collect_part, part, rules))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise WorkerKilled(
                "a collecting process was killed (out of memory?); finished shards are kept: run the same command "
                "again, with fewer collect.workers if memory is short"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """Make a worker process end when its parent is killed, and leave Ctrl-C to the parent."""

    def wait() -> None:
        parent_process().join()
        os._exit(1)  # the parent was killed: nobody would ever stop this process

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the work
    threading.Thread(target=wait, daemon=True).start()


def _collect_part(part: _Part, rules: _Rules) -> Path:
    path = rules.scratch / shards.shard_name(part.index)
    table = path.with_suffix(".parquet")
    digest = part.digest()
    if table.exists() and manifest.metadata(table)["items"] == digest:
        return table
    table.unlink(missing_ok=True)
    rows: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    written = shards.write_shard(path, _members(part, rules, rows, refused))
    for row, entry in zip(rows, written, strict=True):
        row.update(shard=entry["shard"], **_places(entry["members"]))
    details = {"items": digest, "samples": len(rows), "refused": len(refused), "shard": None}
    if rows:
        details["shard"] = manifest.shard_entry(path, len(rows))
    _write(_quarantine_path(table), refused, manifest.QUARANTINE_SCHEMA, {})
    _write(table, rows, manifest.MANIFEST_SCHEMA, details)
    return table


def _members(
    part: _Part, rules: _Rules, rows: list[dict[str, Any]], refused: list[dict[str, str]]
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the members of every good sample; its row, or the reason against it, is added to the lists."""
    for number, item in enumerate(part.items):
        try:
            if number in part.repeated:
                raise BadInput(f"duplicated key {item.key!r}")
            row, members = _read(item, rules)
        except (BadInput, OSError) as error:
            reason = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error.strerror or error}"
            refused.append({"source_path": _text(item.source_path), "key": _text(item.key), "reason": _text(reason)})
        else:
            rows.append(row)
            yield item.key, members


def _read(item: Item, rules: _Rules) -> tuple[dict[str, Any], dict[str, bytes]]:
    check_key(item.key)
    sample = rules.reader.load(rules.root, item, rules.options)
    image = images.stored_image(sample.image, rules.max_side)
    if min(image.found_height, image.found_width) < rules.minimum_side:
        size = f"{image.found_height} x {image.found_width}"
        raise BadInput(f"image of {size} pixels: collect.minimum_side is {rules.minimum_side}")
    members = {image.suffix: image.data}
    row = {
        "key": item.key,
        "image_suffix": image.suffix,
        "height": image.height,
        "width": image.width,
        "fingerprint": image.fingerprint,
        "image_digest": image.digest,
        "source_path": _text(sample.source_path or item.source_path),
        "split": getattr(rules.options, "split", None),
        **_intrinsics(sample, image),
    }
    if rules.labels:
        row.update(_add_target(sample, image, members))
        _add_semantic(sample, image, members)
    return row, members


def _check_size(name: str, shape: tuple[int, ...], image: images.StoredImage) -> None:
    found = (image.found_height, image.found_width)
    if shape != found:
        raise BadInput(f"{name} of shape {shape}, but the image is {found[0]} x {found[1]} pixels")
    if image.rotated:
        raise BadInput(f"EXIF data turn the image, and nothing says whether the {name} is turned: store both upright")


def _add_target(sample: Sample, image: images.StoredImage, members: dict[str, bytes]) -> dict[str, Any]:
    target, kind = sample.target, sample.target_kind
    if target is None:
        return {}
    if kind not in TARGET_KINDS:
        raise ValueError(f"{sample.key}: target kind {kind!r} is not one of {', '.join(TARGET_KINDS)}")
    _check_size("target", target.shape, image)
    valid = labelled_pixels(target, kind)
    if not valid.any():
        raise BadInput(f"no pixel has a label: all values are missing or not possible for {kind}")
    known = target[valid]
    if known.min() == known.max():
        raise BadInput(f"all {known.size} labelled pixels have the value {known[0]:g}: nothing to learn from")
    encoded = rasters.encode_exact(target)
    members[f"target.{rasters.SUFFIX}"] = encoded
    return {
        "target_kind": kind,
        "codec": rasters.header(encoded)["codec"],
        "minimum": float(known.min()),
        "maximum": float(known.max()),
        "valid_fraction": known.size / target.size,
    }


def _add_semantic(sample: Sample, image: images.StoredImage, members: dict[str, bytes]) -> None:
    if sample.semantic is not None:
        _check_size("semantic map", sample.semantic.shape, image)
        members["semantic.png"] = rasters.encode_labels(sample.semantic)


def _intrinsics(sample: Sample, image: images.StoredImage) -> dict[str, float]:
    """Return the intrinsics in pixels of the stored image; pixel centres lie at whole numbers."""
    if sample.intrinsics is None or image.rotated:
        return {}
    fx, fy, cx, cy = sample.intrinsics
    across, down = image.width / image.found_width, image.height / image.found_height
    return {"fx": fx * across, "fy": fy * down, "cx": (cx + 0.5) * across - 0.5, "cy": (cy + 0.5) * down - 0.5}


def _places(members: dict[str, tuple[int, int]]) -> dict[str, int]:
    image = next(place for suffix, place in members.items() if "." not in suffix)
    found = {
        "image": image,
        "target": members.get(f"target.{rasters.SUFFIX}", _NO_MEMBER),
        "semantic": members.get("semantic.png", _NO_MEMBER),
    }
    places = {f"{name}_offset": offset for name, (offset, _) in found.items()}
    return places | {f"{name}_size": size for name, (_, size) in found.items()}


def _text(text: str) -> str:
    # A file name need not be valid UTF-8; a Parquet string must be.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _quarantine_path(table: Path) -> Path:
    return table.with_suffix(".quarantine")


def _write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema, details: dict[str, Any]) -> None:
    manifest.write_table(path, [pa.Table.from_pylist(rows, schema=schema)], schema, details)


def _join(paths: list[Path], scratch: Path, result: Path) -> None:
    entries = [entry for path in paths if (entry := manifest.metadata(path)["shard"])]
    shards.link_shards(scratch, result, (entry["name"] for entry in entries))
    rows = (manifest.read_table(path) for path in paths)
    refused = (manifest.read_table(_quarantine_path(path)) for path in paths)
    manifest.write_table(result / manifest.MANIFEST, rows, manifest.MANIFEST_SCHEMA, {"shards": entries})
    manifest.write_table(result / manifest.QUARANTINE, refused, manifest.QUARANTINE_SCHEMA, {})
