"""A figure of what a collection holds: size, valid fraction, depth and disparity of its sources beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_model.evaluation.figures import png_bytes
from depth_model.shards.target_statistics import DEPTH_EDGES, FIRST_OCTAVE, LAST_OCTAVE, PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEP = DEPTH_EDGES[1] / DEPTH_EDGES[0]
_SHARES = np.linspace(0, 1, PARTS + 1)
_EDGES = {
    "size": 2.0 ** np.arange(FIRST_OCTAVE, LAST_OCTAVE + 2),
    "valid_fraction": _SHARES,
    # Depths below and above the edges are drawn as one more bin on each side.
    "depth": np.concatenate([[DEPTH_EDGES[0] / _STEP], DEPTH_EDGES, [DEPTH_EDGES[-1] * _STEP]]),
    "disparity": _SHARES,
}
_LABELS = {
    "size": ("size of image", "pixels"),
    "valid_fraction": ("labeled part of image", "valid fraction"),
    "depth": ("depth of labeled pixels", "meters"),
    "disparity": ("disparity of labeled pixels", "scaled to [0, 1] in each image"),
}
_LOGARITHMIC = ("size", "depth")
_STYLES = ("-", "--", ":", "-.")
_COLORS = 10
_LARGEST_LEGEND = 12


def collection_figure(sources: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return a PNG with a panel for each histogram that some of `sources` (name -> statistics) has.

    Curves are shares of the images or pixels of their own source, in bins of `target_statistics`.
    """
    from matplotlib.figure import Figure

    shown = [name for name in _EDGES if any(name in one["histograms"] for one in sources.values())]
    shown = shown or ["size"]
    figure = Figure(figsize=(3.6 * len(_EDGES) + 1.6, 2.9), layout="constrained")
    panels = figure.subplots(1, len(_EDGES))
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel, name in zip(panels, shown):
        _draw(panel, name, sources)
    handles, labels = panels[0].get_legend_handles_labels()
    more = len(labels) - _LARGEST_LEGEND
    title = f"and {more} more" if more > 0 else None
    legend = figure.legend(
        handles[:_LARGEST_LEGEND], labels[:_LARGEST_LEGEND], loc="outside right upper", fontsize=8, title=title
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return png_bytes(figure)


def _draw(axes: Axes, name: str, sources: Mapping[str, Mapping[str, Any]]) -> None:
    edges, filled = _EDGES[name], np.zeros(len(_EDGES[name]) - 1, bool)
    for number, (source, statistics) in enumerate(sources.items()):
        counts = np.asarray(statistics["histograms"].get(name, np.zeros(len(filled))), float)
        filled |= counts > 0
        shares = counts / counts.sum() if counts.any() else np.full(len(counts), np.nan)
        style = {"color": f"C{number % _COLORS}", "linestyle": _STYLES[number // _COLORS % len(_STYLES)]}
        axes.stairs(shares, edges, label=source, linewidth=1.4, **style)
    title, label = _LABELS[name]
    axes.set(title=title, xlabel=label, ylabel="share" if name == "size" else None, ylim=(0, None))
    if name in _LOGARITHMIC:
        axes.set_xscale("log", base=2 if name == "size" else 10)
        used = np.flatnonzero(filled)
        if used.size:
            axes.set_xlim(edges[max(used[0] - 1, 0)], edges[min(used[-1] + 2, len(edges) - 1)])
    axes.title.set_fontsize(9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
