"""The stages of the pipeline as a picture: what waits for what, what became of each, and how long it took.

Stages of one name, such as those of every source, share a box. Computes from what it is given; reads no file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DONE, OUTDATED, NOT_RUN, NOW = "done", "out of date", "not run", "this page"
STATES = {DONE: "✓", OUTDATED: "↻", NOT_RUN: "○", NOW: "●"}
"""What may have become of a stage, the best first, with its sign."""
_WIDTH, _HEIGHT, _COLUMN, _ROW = 148, 40, 160, 68


@dataclass(frozen=True)
class Stage:
    """A stage by its DVC `address`, the addresses it `needs`, its state, and seconds, None where nothing is known."""

    address: str
    needs: Sequence[str]
    state: str
    seconds: float | None

    @property
    def time(self) -> str:
        """The seconds in words, "" where nothing is known."""
        return "" if self.seconds is None else duration(self.seconds)

    @property
    def name(self) -> str:
        """The address without the source or the set."""
        return self.address.partition("@")[0]


@dataclass(frozen=True)
class Box:
    """All stages of one name, with the place of their box in the picture, in pixels, and what is written on it."""

    name: str
    state: str
    text: str
    left: int
    top: int


@dataclass(frozen=True)
class Picture:
    """Boxes, and arrows as paths of SVG between them, on `width` x `height` pixels."""

    boxes: Sequence[Box]
    arrows: Sequence[str]
    width: int
    height: int
    box: tuple[int, int] = (_WIDTH, _HEIGHT)


def stages(
    graph: Mapping[str, Sequence[str]], lock: Mapping[str, Any], seconds: Mapping[str, float], now: str
) -> list[Stage]:
    """Return what is known of every stage of `graph` (address -> what it waits for), in an order in which they can run.

    `lock` is the `stages` of dvc.lock, `seconds` by address, `now` the stage that asks.
    """
    made = {out["path"]: out.get("md5") for entry in lock.values() for out in entry.get("outs", [])}
    level = _levels(graph)
    return [
        Stage(one, graph[one], NOW if one == now else _state(lock.get(one), made), seconds.get(one))
        for one in sorted(graph, key=lambda one: (level[one], one))
    ]


def _state(entry: Mapping[str, Any] | None, made: Mapping[str, str | None]) -> str:
    """Return the state of a stage with this entry in dvc.lock: out of date when it read what was made anew since."""
    if entry is None:
        return NOT_RUN
    read = entry.get("deps", [])
    return DONE if all(made.get(one["path"], one.get("md5")) == one.get("md5") for one in read) else OUTDATED


def _levels(graph: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return how many stages at most come one after the other before each."""
    found: dict[str, int] = {}

    def level(stage: str) -> int:
        if stage not in found:
            found[stage] = 1 + max(map(level, graph[stage]), default=-1)
        return found[stage]

    return {stage: level(stage) for stage in graph}


def picture(found: Sequence[Stage]) -> Picture:
    """Return the picture of `stages`: what can run at the same time side by side, what waits below."""
    level = _levels({one.address: one.needs for one in found})
    groups: dict[str, list[Stage]] = defaultdict(list)
    for one in found:
        groups[one.name].append(one)
    levels = {name: max(level[one.address] for one in group) for name, group in groups.items()}
    rows: dict[int, list[str]] = defaultdict(list)
    for name in groups:
        rows[levels[name]].append(name)
    width = max(map(len, rows.values()), default=0) * _COLUMN
    boxes = {}
    for row, number in enumerate(sorted(rows)):
        start = (width - len(rows[number]) * _COLUMN) // 2 + (_COLUMN - _WIDTH) // 2
        for column, name in enumerate(rows[number]):
            boxes[name] = _box(name, groups[name], start + column * _COLUMN, row * _ROW + 4)
    arrows = [_arrow(boxes[first], boxes[second]) for first, second in _direct(groups)]
    return Picture(list(boxes.values()), arrows, width, len(rows) * _ROW - (_ROW - _HEIGHT) + 8)


def _box(name: str, group: Sequence[Stage], left: int, top: int) -> Box:
    state = max((one.state for one in group), key=list(STATES).index)
    count = "" if len(group) == 1 else f"{sum(one.state == DONE for one in group)} of {len(group)} "
    known = [one.seconds for one in group if one.seconds is not None]
    parts = [f"{STATES[state]} {count}{state}", *([duration(sum(known))] if known else [])]
    return Box(name, state, ", ".join(parts), left, top)


def _direct(groups: Mapping[str, Sequence[Stage]]) -> Iterator[tuple[str, str]]:
    """Yield (name, name that waits for it), without those that follow from others."""
    needs = {
        name: {need.partition("@")[0] for one in group for need in one.needs} - {name} for name, group in groups.items()
    }
    before: dict[str, set[str]] = {}

    def ancestors(name: str) -> set[str]:
        if name not in before:
            before[name] = set(needs[name]).union(*map(ancestors, needs[name]))
        return before[name]

    for name, wanted in needs.items():
        for one in sorted(wanted):
            if not any(one in ancestors(other) for other in wanted):
                yield one, name


def _arrow(first: Box, second: Box) -> str:
    start, end = first.left + _WIDTH // 2, second.left + _WIDTH // 2
    top, bottom = first.top + _HEIGHT, second.top - 5
    middle = min(_ROW - _HEIGHT, bottom - top) // 2
    return f"M{start} {top}C{start} {top + middle} {end} {bottom - middle} {end} {bottom}"


def duration(seconds: float) -> str:
    """Return seconds as people write them: 12 s, 3:05 min, 2:10 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole else "under 1 s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"
