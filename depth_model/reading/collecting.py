"""From a reader to shards, manifest and quarantine: the only way images and labels enter the project.

Items are listed lazily and cut into parts (`parts`), one for each shard; one process or Ray task (`engines`)
reads, checks and writes one shard at a time, whole or not at all, so that a killed collection goes on with the
shards that are missing, and one with a few more images makes only the shards they fall into. The result has the
same bytes whatever the number of processes and interruptions. Every input ends in the manifest or, with
its reason, in the quarantine. Does not judge whether images are good, similar or wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from depth_model import files
from depth_model.errors import BadInput
from depth_model.reading.engines import Engine, ordered
from depth_model.reading.parts import Part, listed_parts, parts
from depth_model.reading.reader import Reader, rooted
from depth_model.reading.settings import Labels
from depth_model.shards import decoding, images, manifest, rasters, shard_store, shards, target_statistics
from depth_model.shards.disparity import labeled_pixels
from depth_model.shards.sample import TARGET_KINDS, Item, Sample, check_key, resized_intrinsics
from depth_model.shards.store import Bucket, opened

_NO_MEMBER = (0, 0)


@dataclass(frozen=True)
class _Rules:
    """What one shard needs to know besides its items; cheap to send to another process."""

    reader: Reader
    root: Path
    options: Any
    scratch: Path
    max_side: int
    minimum_side: int
    decode_budget: int
    labels: Labels
    earlier: tuple[Path, ...]
    store: Bucket | None

    def digest(self, content: str) -> str:
        """Return the digest of what a shard depends on besides its items; `content` stands for their content."""
        return files.sha256_of_json(
            [self.reader.name, repr(self.options), self.max_side, self.minimum_side, self.decode_budget]
            + [self.labels, content]
        )


@dataclass(frozen=True)
class _Finished:
    """The table of a finished shard and what it says of itself: samples, refused, unread, shard, statistics."""

    table: Path
    details: dict[str, Any]


def collect_source(
    reader: Reader,
    root: Path | str,
    options: Any,
    scratch: Path,
    result: Path,
    *,
    max_side: int,
    minimum_side: int,
    samples_per_shard: int,
    workers: int,
    decode_budget: int | str = decoding.DEFAULT_BUDGET,
    engine: Engine = "local",
    content: str = "",
    earlier: Sequence[Path] = (),
    store: Bucket | None = None,
    progress: Callable[[int, int, int], None] = lambda kept, refused, total: None,
    labels: Labels = True,
) -> None:
    """Read a whole source into `result`: shards, `manifest.parquet`, `quarantine.parquet`, `statistics.json`.

    Shards are kept in `store` when there is one, and then only the tables lie in `result`.
    Finished shards in `scratch` and those of the same items and files in the folders `earlier` are used again.
    `content` is a digest of what lies below `root`; readers of loose files do without, their files are looked at
    one by one. `max_side` and `minimum_side` are pixels; larger images are scaled down, smaller ones refused; so is a
    file that decodes to more than `decode_budget` bytes. With `labels` False, targets and class labels are left out,
    as the unlabeled role wants it, with "classes" the targets alone. `progress(kept, refused, total)` is called when
    all is listed and after each shard, with the numbers so far and that of all samples.
    BadInput and OSError of one input put it into the quarantine; any other exception is a fault of the software
    or of an object store and ends the collection, UserError the loss of a worker.
    """
    plain = reader.options(**{field.name: getattr(options, field.name) for field in fields(reader.options)})
    place, scratch, result = rooted(root, plain), Path(scratch), Path(result)
    budget = decoding.bytes_of(decode_budget)
    rules = _Rules(reader, place, plain, scratch, max_side, minimum_side, budget, labels, tuple(earlier), store)
    kept = refused = 0
    finished, counted = [], target_statistics.total(())
    digest = rules.digest("" if reader.loose_files else content)
    cut = parts(reader.everything(place, plain), samples_per_shard, _state(rules), digest)
    with listed_parts(cut, scratch) as (total, waiting):
        progress(kept, refused, total)
        for part in ordered(_collect_part, waiting, rules, engine, workers, made=_stem):
            kept, refused = kept + part.details["samples"], refused + part.details["refused"]
            # Taken out, for these would be the largest part of what is remembered of every shard.
            counted = target_statistics.total([counted, part.details.pop("statistics")])
            finished.append(part)
            progress(kept, refused, total)
    _join(finished, scratch, result)
    files.write_json(result / target_statistics.STATISTICS, counted)


def _state(rules: _Rules) -> Callable[[Item], Any]:
    if not rules.reader.loose_files:
        return lambda item: None
    state = opened(rules.root).state
    return lambda item: [state(path) for path in item.paths if path]


def _collect_part(part: Part, rules: _Rules) -> _Finished:
    path = rules.scratch / part.name
    table = path.with_suffix(".parquet")
    taken_over = (_taken_over(path, folder, rules) for folder in rules.earlier)
    if found := _finished(table, rules) or next(filter(None, taken_over), None):
        return _Finished(table, found)
    rows: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    written = shards.write_shard(path, _members(part, rules, rows, refused))
    for row, entry in zip(rows, written, strict=True):
        row.update(shard=entry["shard"], **_places(entry["members"]))
    unread = sum(row["unread"] for row in refused)
    details = {"samples": len(rows), "refused": len(refused), "unread": unread, "shard": None}
    counted = [*(row["statistics"] for row in rows), target_statistics.refused(row["reason"] for row in refused)]
    details["statistics"] = target_statistics.total(counted)
    if rows:
        details["shard"] = shard_store.keep(path, len(rows), rules.store)
    _write(_quarantine_path(table), refused, manifest.QUARANTINE_SCHEMA, {})
    _write(table, rows, manifest.MANIFEST_SCHEMA, details)  # last: it says that the shard is finished
    return _Finished(table, details)


def _stem(part: Part, rules: _Rules) -> Path:
    return (rules.scratch / part.name).with_suffix("")


def _finished(table: Path, rules: _Rules) -> dict[str, Any] | None:
    """Return the details of `table` if its shard is finished, by code that counted its samples, and still there."""
    if not table.exists():
        return None
    details = manifest.metadata(table)
    return details if "statistics" in details and _is_kept(details["shard"], table.parent, rules) else None


def _is_kept(entry: dict[str, Any] | None, folder: Path, rules: _Rules) -> bool:
    if entry is None:  # every input was refused
        return True
    return shard_store.is_kept(entry, folder, rules.store)


def _taken_over(path: Path, folder: Path, rules: _Rules) -> dict[str, Any] | None:
    """Link the finished shard `path.name` of `folder` to `path` with its tables, whose details are returned.

    None when it is of no use.
    """
    table = folder / path.with_suffix(".parquet").name
    try:
        details = manifest.metadata(table)
        entry = details["shard"]
        # Files that could not be read then may be readable now.
        if details["unread"] or not _is_kept(entry, folder, rules):
            return None
        names = [path.name, _quarantine_path(table).name, table.name]
        shards.link_shards(folder, path.parent, names if entry and rules.store is None else names[1:])
    except FileNotFoundError:  # never made, or just being removed by the work that it belongs to
        return None
    return details


def _members(
    part: Part, rules: _Rules, rows: list[dict[str, Any]], refused: list[dict[str, Any]]
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the members of every good sample; its row, or the reason against it, is added to the lists."""
    for number, item in enumerate(part.items):
        try:
            if number in part.repeated:
                raise BadInput(f"duplicated key {item.key!r}")
            row, members = _read(item, rules)
        except (BadInput, OSError) as error:
            reason = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error.strerror or error}"
            row = {"source_path": _text(item.source_path), "key": _text(item.key), "reason": _text(reason)}
            refused.append(row | {"unread": not isinstance(error, BadInput)})
        else:
            rows.append(row)
            yield item.key, members


def _read(item: Item, rules: _Rules) -> tuple[dict[str, Any], dict[str, bytes]]:
    if item.fault:
        raise BadInput(item.fault)
    check_key(item.key)
    with decoding.limited_to(rules.decode_budget):
        return _stored(item, rules)


def _stored(item: Item, rules: _Rules) -> tuple[dict[str, Any], dict[str, bytes]]:
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
    target = sample.target if rules.labels is True else None
    if rules.labels is True:
        row.update(_add_target(sample, image, members))
    if rules.labels:
        _add_semantic(sample, image, members)
    row["statistics"] = target_statistics.of_sample(row, target)
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
    valid = labeled_pixels(target, kind)
    if not valid.any():
        raise BadInput(f"no pixel has a label: all values are missing or not possible for {kind}")
    known = target[valid]
    if known.min() == known.max():
        raise BadInput(f"all {known.size} labeled pixels have the value {known[0]:g}: nothing to learn from")
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
    """Return the intrinsics in pixels of the stored image; pixel centers lie at whole numbers."""
    if sample.intrinsics is None or image.rotated:
        return {}
    found, stored = (image.found_height, image.found_width), (image.height, image.width)
    return dict(zip(("fx", "fy", "cx", "cy"), resized_intrinsics(sample.intrinsics, found, stored)))


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


def _join(parts: Sequence[_Finished], scratch: Path, result: Path) -> None:
    """Join the finished shards `parts` of `scratch` into `result`.

    There they are named by their content: until then names depend on times of files, as they tell what is finished.
    """
    entries = [part.details["shard"] for part in parts if part.details["shard"]]
    for entry in entries:
        if "uri" not in entry:
            shards.link_shard(scratch / entry["name"], result / _lasting_name(entry))
    listed = {"shards": [entry | {"name": _lasting_name(entry)} for entry in entries]}
    rows = (_renamed(part.table, part.details["shard"]) for part in parts)
    with_refused = (part.table for part in parts if part.details["refused"])
    refused = (manifest.read_table(_quarantine_path(table)) for table in with_refused)
    manifest.write_table(result / manifest.MANIFEST, rows, manifest.MANIFEST_SCHEMA, listed)
    manifest.write_table(result / manifest.QUARANTINE, refused, manifest.QUARANTINE_SCHEMA, {})


def _lasting_name(entry: Mapping[str, Any]) -> str:
    return shards.shard_name(entry["sha256"])


def _renamed(path: Path, entry: Mapping[str, Any] | None) -> pa.Table:
    """Return the table `path` of one shard under the shard's lasting name."""
    table = manifest.read_table(path)
    if entry is None:
        return table
    return table.set_column(table.column_names.index("shard"), "shard", pa.repeat(_lasting_name(entry), len(table)))
