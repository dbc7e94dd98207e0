"""The audit of a collection: which training images must be left out, because an evaluation set holds them too
(zero-shot must mean zero-shot) or because they stand twice.

Every training image that shows the same picture as an evaluation image is left out. Of images that repeat each
other the first is kept: labeled before unlabeled, sources in the order of params.yaml, samples in that of their
manifest. Fingerprints of the manifests propose pairs, the pixels decide. Reads no training image but those that
are proposed. Does not look for images that are merely of the same place: frames of one video are not copies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from depth_model.audit.settings import AuditRules
from depth_model.audit.similarity import WindowIndex, similar_pairs
from depth_model.shards import fingerprints, manifest
from depth_model.shards.pool import numbered
from depth_model.shards.source import SourceFolder

TRAINING = ("labeled", "unlabeled")
EVALUATION = ("evaluation",)
LEAK, EXACT, NEAR = "leak", "exact_duplicate", "near_duplicate"
EXCLUSIONS_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),  # LEAK, EXACT or NEAR
        pa.field("other_source", pa.string(), nullable=False),  # <role>/<name> of the image that it repeats
        pa.field("other_key", pa.string(), nullable=False),
        pa.field("distance", pa.int32(), nullable=False),  # bits of 128 in which the fingerprints differ
    ]
)

_ROWS_AT_ONCE = 65536
_WINDOWS_TRIED = 3
_THUMBNAILS_KEPT = 4096


@dataclass(frozen=True)
class Pair:
    """A training image (row of the training collection), the image it repeats, and how that was seen."""

    row: int
    other: int
    reason: str
    distance: int
    correlation: float


@dataclass(frozen=True)
class Findings:
    """Pairs by training row, and how many pairs the fingerprints proposed that the pixels did not confirm."""

    pairs: list[Pair]
    refuted_leaks: int
    refuted_duplicates: int


class Collection:
    """The sources of some roles as one numbered list of images: columns of numbers, and thumbnails when asked for.

    `catalogs` maps a role to the content of `data/catalog/<role>.json`. Holds 40 bytes an image.
    """

    def __init__(self, data: Path, catalogs: Mapping[str, Mapping[str, Any]], roles: Sequence[str]) -> None:
        self.sources = [(role, name) for role in roles for name in catalogs.get(role, {})]
        folders = [Path(data, role, name) for role, name in self.sources]
        tables = [manifest.read_table(one / manifest.MANIFEST, ["image_digest", "fingerprint"]) for one in folders]
        self.ends = np.cumsum([len(table) for table in tables], dtype=np.int64)
        digests = (table["image_digest"].to_numpy() for table in tables)
        self.digests = np.concatenate([np.empty(0, np.uint64), *digests])
        bits = (_bits(chunk) for table in tables for chunk in table["fingerprint"].chunks if len(chunk))
        self.bits = np.concatenate([np.empty((0, 2, 2), np.uint64), *bits])
        self.folder = cache(lambda number: SourceFolder(folders[number]))  # opened when it is needed, once
        self.thumbnail = lru_cache(_THUMBNAILS_KEPT)(lambda row: fingerprints.thumbnail(self.image(row)))

    def __len__(self) -> int:
        return len(self.digests)

    def place(self, row: int) -> tuple[str, str, int]:
        """Return (role, source name, row of its manifest) of image `row`."""
        number, index = numbered(self.ends, row)
        return *self.sources[number], index

    def key(self, row: int) -> str:
        """Return the key of image `row` inside its source."""
        number, index = numbered(self.ends, row)
        return self.folder(number).key(index)

    def image(self, row: int) -> np.ndarray:
        """Return image `row`, uint8 (H, W, 3); raises BadInput for a damaged shard."""
        number, index = numbered(self.ends, row)
        return self.folder(number).image(index)


def _bits(fingerprints: pa.FixedSizeBinaryArray) -> np.ndarray:
    first, end = (32 * row for row in (fingerprints.offset, fingerprints.offset + len(fingerprints)))
    return np.frombuffer(fingerprints.buffers()[1][first:end], ">u8").astype(np.uint64).reshape(-1, 2, 2)


def audit(training: Collection, evaluation: Collection, rules: AuditRules) -> Findings:
    """Return every training image to leave out, with the image it repeats, sorted by training row.

    Raises BadInput when a shard that a manifest names is damaged.
    """
    leaks, refuted_leaks = find_leaks(training, evaluation, rules)
    left = np.ones(len(training), bool)
    left[[pair.row for pair in leaks]] = False
    repeated, refuted = find_duplicates(training, left, rules)
    pairs = sorted([*leaks, *repeated], key=lambda pair: pair.row)
    return Findings(pairs, refuted_leaks, refuted)


@dataclass(frozen=True)
class _Searched:
    """The windows of all evaluation images that stand for one stored window: an index, and what its rows mean."""

    index: WindowIndex
    image: np.ndarray
    place: np.ndarray
    mirrored: np.ndarray


def _searched(evaluation: Collection, distance: int) -> list[_Searched]:
    found = [
        fingerprints.searched_windows(fingerprints.thumbnail(evaluation.image(row)))
        for row in tqdm(range(len(evaluation)), "windows of evaluation images", disable=None)
    ]
    image = np.repeat(np.arange(len(found)), [len(one.bits) for one in found])
    columns = [np.concatenate([getattr(one, name) for one in found]) for name in fingerprints.Windows._fields]
    windows = fingerprints.Windows(*columns)
    return [
        _Searched(
            WindowIndex(windows.bits[which], distance), image[which], windows.places[which], windows.mirrored[which]
        )
        for which in (windows.stored == stored for stored in range(len(fingerprints.STORED)))
    ]


def find_leaks(training: Collection, evaluation: Collection, rules: AuditRules) -> tuple[list[Pair], int]:
    """Return the training images that show the picture of an evaluation image, and how many pairs were refuted.

    Found are copies in another encoding, size or color, mirror images and crops of at least 80 % of the sides, in
    either direction. Of several evaluation images the most alike one is named.
    """
    if not len(evaluation):
        return [], 0
    best = {pair.row: pair for pair in identical(training, evaluation)}
    refuted = 0
    for row, image, tried in _proposed(training, _searched(evaluation, rules.leak_distance)):
        if row in best and best[row].correlation == 1:
            continue
        ours, theirs = evaluation.thumbnail(image), training.thumbnail(row)
        found = max(fingerprints.correlation(ours, theirs, *where) for _, where in tried)
        if found < rules.leak_correlation:
            refuted += 1
        elif row not in best or found > best[row].correlation:
            best[row] = Pair(row, image, LEAK, tried[0][0], found)
    return list(best.values()), refuted


def identical(training: Collection, evaluation: Collection) -> Iterator[Pair]:
    """Yield the training images that are the same file as an image of `evaluation`."""
    if not len(evaluation):
        return
    order = np.argsort(evaluation.digests, kind="stable")
    known = evaluation.digests[order]
    places = np.minimum(np.searchsorted(known, training.digests), len(known) - 1)
    for row in np.flatnonzero(known[places] == training.digests):
        yield Pair(int(row), int(order[places[row]]), LEAK, 0, 1.0)


_Where = tuple[np.ndarray, int, bool]


def _proposed(training: Collection, searched: list[_Searched]) -> Iterator[tuple[int, int, list[tuple[int, _Where]]]]:
    """Yield (training row, evaluation row, [(distance, where)]) of similar images, a few nearest windows of each."""
    for start in tqdm(range(0, len(training), _ROWS_AT_ONCE), "training images against windows", disable=None):
        block = training.bits[start : start + _ROWS_AT_ONCE]
        found: dict[tuple[int, int], list[tuple[int, _Where]]] = {}
        for stored, windows in enumerate(searched):
            rows, known, distances = windows.index.lookup(block[:, stored])
            for row, window, distance in zip(rows.tolist(), known.tolist(), distances.tolist()):
                where = windows.place[window], stored, bool(windows.mirrored[window])
                found.setdefault((start + row, int(windows.image[window])), []).append((distance, where))
        for (row, image), tried in sorted(found.items(), key=lambda item: item[0]):
            yield row, image, sorted(tried, key=lambda one: one[0])[:_WINDOWS_TRIED]


def find_duplicates(training: Collection, left: np.ndarray, rules: AuditRules) -> tuple[list[Pair], int]:
    """Return the images among those `left`, bool (N,), that repeat an earlier one, and how many pairs were refuted.

    Identical files, other encodings, sizes and colors of the same picture, and mirror images. Each is paired with
    an image that is kept.
    """
    pairs = {pair.row: pair for pair in _repeated(training.digests, left)}
    whole = training.bits[:, 0]
    rows = np.flatnonzero(left & fingerprints.informative(whole))
    rows = rows[~np.isin(rows, np.fromiter(pairs, np.int64))]
    earlier, later = similar_pairs(whole[rows], rules.duplicate_distance)
    refuted: set[tuple[int, int]] = set()
    for first, second in zip(rows[earlier].tolist(), rows[later].tolist()):
        kept = pairs[first].other if first in pairs else first
        if second in pairs or (kept, second) in refuted:
            continue
        distance = _distance(whole[kept], whole[second])
        found = fingerprints.same_picture(training.thumbnail(kept), training.thumbnail(second))
        if distance <= rules.duplicate_distance and found >= rules.duplicate_correlation:
            pairs[second] = Pair(second, kept, NEAR, distance, found)
        else:
            refuted.add((kept, second))
    return list(pairs.values()), len(refuted)


def _repeated(digests: np.ndarray, left: np.ndarray) -> Iterator[Pair]:
    rows = np.flatnonzero(left)
    rows = rows[np.argsort(digests[rows], kind="stable")]
    new = np.ones(len(rows), bool)
    new[1:] = digests[rows[1:]] != digests[rows[:-1]]
    first = rows[new][np.cumsum(new) - 1] if len(rows) else rows
    for row, other in zip(rows[~new].tolist(), first[~new].tolist()):
        yield Pair(row, other, EXACT, 0, 1.0)


def _distance(left: np.ndarray, right: np.ndarray) -> int:
    mirrored = fingerprints.mirrored_bits(right[None])[0]
    return int(min(np.bitwise_count(left ^ other).sum() for other in (right, mirrored)))


def exclusions(findings: Findings, training: Collection, evaluation: Collection, role: str) -> pa.Table:
    """Return the table of the images of `role` to leave out, EXCLUSIONS_SCHEMA, sorted by source and key."""
    rows = []
    for pair in findings.pairs:
        found, name, _ = training.place(pair.row)
        if found == role:
            other = evaluation if pair.reason == LEAK else training
            other_role, other_name, _ = other.place(pair.other)
            rows.append(
                {
                    "source": name,
                    "key": training.key(pair.row),
                    "reason": pair.reason,
                    "other_source": f"{other_role}/{other_name}",
                    "other_key": other.key(pair.other),
                    "distance": pair.distance,
                }
            )
    return pa.Table.from_pylist(sorted(rows, key=lambda row: (row["source"], row["key"])), schema=EXCLUSIONS_SCHEMA)


def counts(findings: Findings, training: Collection) -> dict[str, dict[str, int]]:
    """Return source (`<role>/<name>`) -> reason -> number of images left out, and under `images` how many it has."""
    sizes = np.diff(training.ends, prepend=0).tolist()
    found = Counter(("/".join(training.place(pair.row)[:2]), pair.reason) for pair in findings.pairs)
    by_source = {}
    for (role, name), size in zip(training.sources, sizes, strict=True):
        excluded = {reason: found[f"{role}/{name}", reason] for reason in (LEAK, EXACT, NEAR)}
        by_source[f"{role}/{name}"] = {"images": size, **excluded}
    return by_source


def between(findings: Findings, training: Collection, evaluation: Collection) -> list[dict[str, Any]]:
    """Return how many images of which `source` repeat images of which `other` source (`<role>/<name>`), by reason."""
    found: Counter[tuple[str, str, str]] = Counter()
    for pair in findings.pairs:
        other = evaluation if pair.reason == LEAK else training
        source, repeated = ("/".join(one.place(row)[:2]) for one, row in ((training, pair.row), (other, pair.other)))
        found[source, repeated, pair.reason] += 1
    rows = sorted(found.items())
    return [{"source": one, "other": two, "reason": reason, "images": count} for (one, two, reason), count in rows]
