"""Pairs of color images and depth maps by their time stamps, as RGB-D recordings name them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading.inputs import matching


def pairs_by_time(root: Path, color: str, depth: str, tolerance: float) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield (color path, depth path, what the wildcards stand for) of each recording below `root`.

    The last wildcard of the patterns `color` and `depth` is a time stamp, those before it name the recording. The
    nearest two pair first, at most `tolerance` (of the same unit) apart, each file once; what stays alone has "" for
    its partner. Holds the paths of the whole root in memory. Raises BadInput for names that are no numbers.
    """
    colors, depths = _recordings(root, color), _recordings(root, depth)
    for recording in sorted(colors.keys() | depths.keys()):
        of_color, of_depth = colors.get(recording, {}), depths.get(recording, {})
        partners = _nearest_in_time(list(of_color), list(of_depth), tolerance)
        for stamp, path in of_color.items():
            yield path, of_depth[partners[stamp]] if stamp in partners else "", (*recording, stamp)
        paired = set(partners.values())
        yield from (("", of_depth[one], (*recording, one)) for one in of_depth if one not in paired)


def _recordings(root: Path, pattern: str) -> dict[tuple[str, ...], dict[str, str]]:
    recordings: dict[tuple[str, ...], dict[str, str]] = {}
    for path, (*recording, stamp) in matching(root, pattern):
        recordings.setdefault(tuple(recording), {})[stamp] = path
    return recordings


def _nearest_in_time(colors: list[str], depths: list[str], tolerance: float) -> dict[str, str]:
    """Return {color stamp: depth stamp}: of all that lie within `tolerance`, the nearest two pair first."""
    of_colors, of_depths = _numbers(colors), _numbers(depths)
    order = np.argsort(of_depths, kind="stable")
    starts = np.searchsorted(of_depths[order], of_colors - tolerance, side="left")
    ends = np.searchsorted(of_depths[order], of_colors + tolerance, side="right")
    candidates = sorted(
        (abs(of_colors[color] - of_depths[depth]), colors[color], depths[depth])
        for color, (start, end) in enumerate(zip(starts, ends, strict=True))
        for depth in order[start:end]
    )
    partners: dict[str, str] = {}
    taken = set()
    for _, color, depth in candidates:
        if color not in partners and depth not in taken:
            partners[color] = depth
            taken.add(depth)
    return partners


def _numbers(stamps: list[str]) -> np.ndarray:
    try:
        return np.array([float(stamp) for stamp in stamps], np.float64)
    except ValueError as error:
        raise BadInput(f"match: nearest needs file names that are time stamps: {error}") from error
