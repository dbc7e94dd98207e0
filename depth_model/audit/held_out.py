"""Which labeled images no training learns from, so that it can be measured on them.

Whole scenes are held out. What a scene is, folders say: the coarsest ones of which there are enough, as every data set
has them for scenes, sequences or cities; without enough folders every image is a scene of its own. Whether a scene is
held out is a function of the seed, the source and the name of the scene, so that another image moves no other one.
Held-out images that look like one that is learned from are left out of both. Opens no image.
"""

from __future__ import annotations

import math
from collections.abc import Collection as Names
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from depth_model.audit.findings import NEAR, Collection
from depth_model.audit.similarity import WindowIndex
from depth_model.errors import UserError
from depth_model.shards import fingerprints, manifest
from depth_model.shards.pool import HELD_OUT
from depth_model.shards.seen_keys import hash64

HELD_OUT_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),  # HELD_OUT, or NEAR: neither learned from nor measured on
    ]
)
_ROWS_AT_ONCE = 65536
_READ = ["key", "source_path", "target_kind", "semantic_size"]


@dataclass(frozen=True)
class Choice:
    """What is held out: `fraction` of the scenes of every source, drawn by `seed`, and the sources `whole`."""

    fraction: float
    seed: int
    whole: Names[str] = ()


def held_out(images: Collection, role: str, choice: Choice, excluded: np.ndarray, distance: int) -> pa.Table:
    """Return the table of the images of `role` that are held out, HELD_OUT_SCHEMA, sorted by source and key.

    `images` are all that trainings of the role learn from, of which those `excluded`, bool (N,), take no part anyway.
    A held-out image within `distance` <= 6 bits of one that is learned from has the reason NEAR. Raises UserError for a
    whole source that cannot be measured on.
    """
    chosen = np.zeros(len(images), bool)
    starts = [0, *images.ends[:-1].tolist()]
    for number, (found, name) in enumerate(images.sources):
        if found == role:
            rows = images.folder(number).folder / manifest.MANIFEST
            chosen[starts[number] : images.ends[number]] = _chosen(manifest.read_table(rows, _READ), name, choice)
    chosen &= ~excluded
    near = _near(images, np.flatnonzero(chosen), np.flatnonzero(~chosen & ~excluded), distance)
    rows = []
    for row, alike in zip(np.flatnonzero(chosen).tolist(), near.tolist(), strict=True):
        reason = NEAR if alike else HELD_OUT
        rows.append({"source": images.place(row)[1], "key": images.key(row), "reason": reason})
    return pa.Table.from_pylist(sorted(rows, key=lambda row: (row["source"], row["key"])), schema=HELD_OUT_SCHEMA)


def _chosen(table: pa.Table, source: str, choice: Choice) -> np.ndarray:
    """Return bool (n,): which rows of the manifest of `source` are held out; only those that can be measured on."""
    kinds = table["target_kind"].cast(pa.string())
    usable = pc.fill_null(pc.not_equal(kinds, "affine_disparity"), False).to_numpy()
    usable |= table["semantic_size"].to_numpy() > 0
    if source in choice.whole:
        if not usable.all():
            raise UserError(f"validation.sources: {source} has images without depth that could be measured on")
        return usable
    if not choice.fraction or not usable.any():
        return np.zeros(len(usable), bool)
    rows = np.flatnonzero(usable)
    names = scenes(*(table[column].take(rows).to_pylist() for column in ("key", "source_path")), choice.fraction)
    drawn = drawn_scenes(set(names), source, choice)
    usable[rows] = [name in drawn for name in names]
    return usable


def scenes(keys: Sequence[str], paths: Sequence[str], fraction: float) -> list[str]:
    """Return the name of the scene of every image: the coarsest folder of its path of which there are at least
    1 / `fraction`, or its key where no level has as many."""
    folders = [path.split("/")[:-1] for path in paths]
    for level in range(1, 1 + max(map(len, folders), default=0)):
        names = ["/".join(folder[:level]) for folder in folders]
        if len(set(names)) >= max(2, math.ceil(1 / fraction)):
            return names
    return list(keys)


def drawn_scenes(names: Names[str], source: str, choice: Choice) -> set[str]:
    """Return which of the scenes `names` are held out: at least one, never all; none of a single one."""
    places = {name: hash64(f"{choice.seed}/{source}/{name}") for name in names}
    ordered = sorted(places, key=places.__getitem__)
    under = sum(place < choice.fraction * 2**64 for place in places.values())
    return set(ordered[: min(max(under, 1), len(ordered) - 1)])


def share_for(keys: Sequence[str], paths: Sequence[str], source: str, seed: int, wanted: int) -> tuple[float, int]:
    """Return the fraction, in hundredths from a tenth on, that holds out nearest to `wanted` of the images of `source`
    with these keys and paths, and how many it does: of a few dozen, the draw decides more than the fraction."""
    counted = {}
    for fraction in (percent / 100 for percent in range(10, 100)):
        names = scenes(keys, paths, fraction)
        drawn = drawn_scenes(set(names), source, Choice(fraction, seed))
        counted[fraction] = sum(name in drawn for name in names)
    return min(counted.items(), key=lambda one: abs(one[1] - wanted))


def _near(images: Collection, held: np.ndarray, learned: np.ndarray, distance: int) -> np.ndarray:
    """Return bool (n,): which of the rows `held` look like one of the rows `learned`, or its mirror image."""
    found = np.isin(images.digests[held], images.digests[learned])
    places = np.flatnonzero(fingerprints.informative(images.bits[held, 0]))
    if not len(places):
        return found
    bits = images.bits[held[places], 0]
    index = WindowIndex(np.concatenate([bits, fingerprints.mirrored_bits(bits)]), distance)
    for start in range(0, len(learned), _ROWS_AT_ONCE):
        known = index.lookup(images.bits[learned[start : start + _ROWS_AT_ONCE], 0])[1]
        found[places[known % len(places)]] = True
    return found


def counts(table: pa.Table, role: str) -> Mapping[str, dict[str, int]]:
    """Return source (`<role>/<name>`) -> reason -> number of images, of the sources that the table names."""
    found: dict[str, dict[str, int]] = {}
    for row in table.group_by(["source", "reason"]).aggregate([("key", "count")]).sort_by("source").to_pylist():
        by_reason = found.setdefault(f"{role}/{row['source']}", {HELD_OUT: 0, NEAR: 0})
        by_reason[row["reason"]] = row["key_count"]
    return found
