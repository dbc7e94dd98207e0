"""What the gate says of a collection besides the catalog: its statistics, and how far they have drifted.

`data/statistics/<role>.json` holds the statistics of every source and their drift against `accepted.json`, the
statistics that the user accepted last (`depth-anything accept`) and committed. Of pseudo labels, which are predictions,
the same is said: how the teacher's answers have moved.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from depth_model import files
from depth_model.errors import UserError
from tasks.gate.tables import row_count, table_path
from tasks.settings import params
from tasks.workspace.paths import ACCEPTED

PSEUDO = "pseudo"
DESCRIBED = (*params.ROLES, PSEUDO)
"""What has statistics: every role, and the pseudo labels of the unlabeled sources."""
LEVELS = np.arange(-10, 10.5, 0.5)
"""Edges of the histogram of levels: half octaves of disparity, in the teacher's unit; one bin below and one above."""
CONTRASTS = 20


def read_accepted() -> dict[str, Any]:
    """Return role -> source -> statistics as accepted last; empty when nothing was.

    Raises UserError when `accepted.json` is not such a file.
    """
    if not ACCEPTED.exists():
        return {}
    try:
        content = files.read_json(ACCEPTED)
    except ValueError as error:
        raise UserError(f"{ACCEPTED}: not valid JSON ({error}); restore it or write {{}}") from error
    if not isinstance(content, dict) or not set(content) <= set(DESCRIBED):
        raise UserError(f"{ACCEPTED}: must map roles ({', '.join(DESCRIBED)}) to sources; restore it or write {{}}")
    return content


def described(role: str, names: Iterable[str]) -> dict[str, Any]:
    """Return {"sources": name -> statistics, "drift": [[source, what, distance], ...]} of collected sources."""
    from depth_model.audit.drift import compare
    from depth_model.shards.target_statistics import STATISTICS

    def of(name: str) -> dict[str, Any]:
        return predicted(name) if role == PSEUDO else files.read_json(Path("data", role, name, STATISTICS))

    sources = {name: of(name) for name in names}
    accepted = read_accepted().get(role)
    drift = [] if accepted is None else [list(one) for one in compare(accepted, sources)]
    return {"sources": sources, "compared": accepted is not None, "drift": drift}


def predicted(name: str) -> dict[str, Any]:
    """Return the statistics of the pseudo labels of one source: of each map the `level`, the middle of its disparities,
    and the `contrast`, their range as a share of the largest."""
    from depth_model.shards import manifest

    level, contrast = np.zeros(len(LEVELS) + 1, np.int64), np.zeros(CONTRASTS, np.int64)
    sidecar = table_path(PSEUDO, name)
    # The sidecar of an empty source does not know the columns that its stage would have added.
    for piece in manifest.read_pieces(sidecar, ["minimum", "maximum"]) if row_count(sidecar) else ():
        low, high = (piece[column].to_numpy().astype(np.float64) for column in ("minimum", "maximum"))
        middles = np.log2(np.maximum((low + high) / 2, np.finfo(np.float64).tiny))
        level += np.bincount(np.searchsorted(LEVELS, middles, side="right"), minlength=len(level))
        share = np.divide(high - low, high, out=np.zeros_like(high), where=high > 0)
        contrast += np.bincount(np.clip(share * CONTRASTS, 0, CONTRASTS - 1).astype(int), minlength=CONTRASTS)
    histograms = {"level": level.tolist(), "contrast": contrast.tolist()}
    return {"samples": int(level.sum()), "histograms": histograms, "ranges": {}, "refused": {}}


def implausible(description: dict[str, Any]) -> list[str]:
    """Return a sentence for each source whose labels are hardly the meters that they are said to be."""
    from depth_model.shards import target_statistics

    found = []
    for name, one in description["sources"].items():
        if "metric_depth" in one["ranges"]:
            middle = target_statistics.median_bin(one["histograms"]["depth"])
            median = float(target_statistics.DEPTH_EDGES[min(middle, len(target_statistics.DEPTH_EDGES) - 1)])
            if strange := target_statistics.implausible(*one["ranges"]["metric_depth"], median):
                found.append(f"{name}: {strange}")
    return found


def beyond(description: dict[str, Any], tolerance: float) -> list[str]:
    """Return a sentence for each distance of `described` above `tolerance`."""
    found = [one for one in description["drift"] if one[2] > tolerance]
    return [_sentence(*one) for one in found]


def _sentence(source: str, what: str, distance: float) -> str:
    if what in ("added", "removed"):
        return f"source {source} was {what}"
    return f"{what} of {source} moved by {distance:.2f}"
