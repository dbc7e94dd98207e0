"""What `validate@<role>` says of a collection besides the catalog: its statistics, and how far they have drifted.

`data/statistics/<role>.json` holds the statistics of every source and their drift against `accepted.json`, the
statistics that the user accepted last (`depth-anything accept`) and committed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from depth_model import files
from depth_model.errors import UserError
from tasks.settings import params
from tasks.workspace.paths import ACCEPTED


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
    if not isinstance(content, dict) or not set(content) <= set(params.ROLES):
        raise UserError(f"{ACCEPTED}: must map roles ({', '.join(params.ROLES)}) to sources; restore it or write {{}}")
    return content


def described(role: str, names: Iterable[str]) -> dict[str, Any]:
    """Return {"sources": name -> statistics, "drift": [[source, what, distance], ...]} of collected sources."""
    from depth_model.audit.drift import compare
    from depth_model.shards.target_statistics import STATISTICS

    sources = {name: files.read_json(Path("data", role, name, STATISTICS)) for name in names}
    accepted = read_accepted().get(role)
    drift = [] if accepted is None else [list(one) for one in compare(accepted, sources)]
    return {"sources": sources, "compared": accepted is not None, "drift": drift}


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
