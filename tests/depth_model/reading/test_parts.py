"""Cutting into parts: whole, in order, of bounded size, and stable where nothing changed."""

from __future__ import annotations

import numpy as np
import pytest

from depth_model.reading.parts import listed_parts, parts
from depth_model.shards.sample import Item


def listed(keys) -> list[Item]:
    return [Item(f"{key:06d}", f"{key:06d}.png", (f"{key:06d}.png",)) for key in keys]


def cut(keys, size=20, state=lambda item: 1, rules="") -> list:
    return list(parts(listed(keys), size, state, rules))


@pytest.mark.parametrize("size", [1, 2, 3, 20])
@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 1000])
def test_parts_hold_everything_in_order_and_are_of_bounded_size(size, count):
    made = cut(range(count), size)
    assert [item for part in made for item in part.items] == listed(range(count))
    assert all((size + 1) // 2 <= len(part.items) <= size for part in made[:-1])
    assert all(1 <= len(part.items) <= size for part in made[-1:])
    assert len({part.name for part in made}) == len(made)


def test_an_inserted_or_removed_key_changes_the_parts_near_it_alone():
    every_second = list(range(0, 20000, 2))
    before = {part.name for part in cut(every_second)}
    changes = []
    for new in range(1, 20000, 1601):
        after = {part.name for part in cut(sorted([*every_second, new]))}
        changes.append(len(after - before))
    assert np.mean(changes) < 2.5  # of about 670 parts
    assert max(changes) < 20
    removed = {part.name for part in cut([key for key in every_second if key != 10000])}
    assert len(removed - before) < 20


def test_one_percent_more_in_one_place_costs_about_one_percent():
    before = {part.name for part in cut(range(100_000, 200_000), size=500)}
    after = cut([*range(100_000, 150_000), *range(500_000, 501_000), *range(150_000, 200_000)], size=500)
    again = [part for part in after if part.name not in before]
    assert sum(len(part.items) for part in again) < 2 * 1000 + 500


def test_parts_come_back_as_they_were_cut_and_are_counted_before_the_first(tmp_path):
    made, drawn = cut(range(1000)), []
    with listed_parts((drawn.append(part) or part for part in made), tmp_path / "scratch") as (total, again):
        assert (total, len(drawn)) == (1000, len(made))
        assert not list((tmp_path / "scratch").iterdir())  # the file has no name: a kill leaves nothing
        assert list(again) == made


def test_a_name_changes_with_all_that_a_shard_depends_on():
    first = [part.name for part in cut(range(100))]
    assert [part.name for part in cut(range(100))] == first
    changed = [part.name for part in cut(range(100), state=lambda item: 2 if item.key == "000050" else 1)]
    assert sum(one != other for one, other in zip(first, changed, strict=True)) == 1
    assert not {part.name for part in cut(range(100), rules="larger images")} & set(first)


def test_a_repeated_key_is_marked_wherever_it_stood_before():
    made = list(parts(listed([1, 2, 1, 3, 4, 5, 2]), 2, lambda item: None, ""))
    repeated = [part.items[number].key for part in made for number in sorted(part.repeated)]
    assert repeated == ["000001", "000002"]
