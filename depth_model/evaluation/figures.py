"""Figures as PNG bytes: examples beside their truth, and training curves. The same input gives the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, LogNorm, Normalize
    from matplotlib.figure import Figure

DEPTH_COLORS, ERROR_COLORS = "Spectral", "magma"
LARGEST_ERROR = 0.5
NO_LABEL = "0.72"
# Inches; beside a map its column has room for a color bar.
COLUMN_WIDTH, MAP_WIDTH, TITLE, MARGIN = 2.1, 1.54, 0.3, 0.05
BAR_GAP, BAR_WIDTH, TICK = 0.03, 0.06, 0.02
LONGEST_TITLE = 24
PIXELS_OF_MAP = 200


@dataclass(frozen=True)
class Example:
    """One image (H, W, 3) uint8 with its depth (h, w), NaN = none, and aligned depth (h, w) by model.

    `scores` says what stands above each model's column.
    """

    key: str
    image: np.ndarray
    depth: np.ndarray
    aligned: Mapping[str, np.ndarray]
    scores: Mapping[str, str]
    unit: str


def examples_figure(examples: Sequence[Example]) -> bytes:
    """Return a PNG with a row per example: image, truth, each model's aligned depth, each model's error.

    Depth maps of a row share one logarithmic color scale, that of the truth, and errors, |p - t| / t, another one: the
    bar of each stands at its last map. Pixels without truth are gray.
    """
    from matplotlib.figure import Figure

    tops = np.cumsum([0.0, *(_height(example) + TITLE for example in examples)])
    width, height = COLUMN_WIDTH * (2 + 2 * len(examples[0].aligned)), tops[-1] + MARGIN
    figure = Figure(figsize=(width, height))
    # One for all maps, in inches from the upper left corner: a map with axes of its own takes ten times as long.
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    for top, example in zip(tops[:-1] + TITLE, examples, strict=True):
        _draw_example(axes, top, example)
    return png_bytes(figure)


def _height(example: Example) -> float:
    height, width = example.depth.shape
    return MAP_WIDTH * height / width


def depth_scale(depth: np.ndarray) -> LogNorm:
    """Return the color scale of a depth map (h, w), NaN = none, and of what is compared with it."""
    from matplotlib.colors import LogNorm

    low, high = np.nanpercentile(depth, (1, 99))
    return LogNorm(low, max(high, low * 1.01), clip=True)


def _draw_example(axes: Axes, top: float, example: Example) -> None:
    from matplotlib.colors import Normalize

    def place(column: int) -> tuple[float, float, float, float]:
        left = MARGIN + column * COLUMN_WIDTH
        return left, left + MAP_WIDTH, top + _height(example), top

    scale, count = depth_scale(example.depth), len(example.aligned)
    depth: dict[str, Any] = {"cmap": _colors(DEPTH_COLORS), "norm": scale}
    error: dict[str, Any] = {"cmap": _colors(ERROR_COLORS), "norm": Normalize(0, LARGEST_ERROR, clip=True)}
    _draw_map(axes, place(0), _short(example.key), example.image)
    _draw_map(axes, place(1), "truth", example.depth, **depth)
    for column, (name, aligned) in enumerate(example.aligned.items(), 2):
        _draw_map(axes, place(column), f"{name}, {example.scores[name]}", aligned, **depth)
        off = np.abs(aligned - example.depth) / example.depth
        _draw_map(axes, place(column + count), f"error of {name}", off, **error)
    _draw_bar(axes, place(1 + count), f"depth ({example.unit})", np.geomspace(scale.vmin, scale.vmax, 4), **depth)
    if count:
        _draw_bar(axes, place(1 + 2 * count), "|p−t|/t", np.linspace(0, LARGEST_ERROR, 3), **error)


def _colors(name: str) -> Colormap:
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad=NO_LABEL)


def _short(key: str) -> str:
    return key if len(key) <= LONGEST_TITLE else f"…{key[1 - LONGEST_TITLE :]}"


def _thinned(values: np.ndarray) -> np.ndarray:
    """Return every so manyth pixel (h, w, ...) of a map: about as many as are drawn, each a value of the map."""
    step = max(1, values.shape[1] // PIXELS_OF_MAP)
    return values[::step, ::step]


def _draw_map(axes: Axes, place: Sequence[float], title: str, values: np.ndarray, **colors: Any) -> None:
    """Draw values between left, right, bottom and top of `place`, under a title."""
    left, right, _, top = place
    axes.text((left + right) / 2, top - TICK, title, fontsize=8, parse_math=False, ha="center", va="bottom")
    axes.imshow(_thinned(values), interpolation="nearest", extent=place, aspect="auto", **colors)


def _draw_bar(
    axes: Axes, place: Sequence[float], label: str, ticks: np.ndarray, cmap: Colormap, norm: Normalize
) -> None:
    """Draw a color bar beside the map at `place`."""
    _, right, bottom, top = place
    left, right = right + BAR_GAP, right + BAR_GAP + BAR_WIDTH
    shares = np.linspace(1, 0, 128)[:, None]
    axes.imshow(cmap(shares), extent=(left, right, bottom, top), aspect="auto")
    for tick, share in zip(ticks, norm(ticks), strict=True):
        height = bottom + (top - bottom) * share
        axes.plot((right, right + TICK), (height, height), color="black", linewidth=0.6)
        axes.text(right + 1.5 * TICK, height, f"{tick:.2g}", fontsize=6.5, va="center")
    axes.text(right + 0.33, (top + bottom) / 2, label, fontsize=7, rotation=90, ha="center", va="center")


def training_figures(histories: Mapping[str, pd.DataFrame], alpha: float) -> dict[str, bytes]:
    """Return title -> PNG of the loss terms of each model over its steps, of the fraction of tokens below `alpha`, and
    of what was measured on held-out images, where anything was."""
    found = {f"{name}: losses": _panel(_draw_terms, table) for name, table in histories.items()}
    for name, table in histories.items():
        if ACTIVE in table:
            found[f"{name}: tokens that feature alignment pulls"] = _panel(_draw_active, table, alpha)
    for metric, title in VALIDATED.items():
        measured = {name: table for name, table in histories.items() if metric in table and table[metric].notna().any()}
        if measured:
            found[f"validation on held-out images: {title}"] = _panel(_draw_validation, measured, metric, title)
    return found


def _panel(draw: Callable[..., None], *given: Any) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 2.9), layout="constrained")
    axes = figure.subplots()
    draw(axes, *given)
    axes.set_xlabel("step")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return png_bytes(figure)


ACTIVE = "feature_alignment/active_fraction"
VALIDATED = {"validation/abs_rel": "AbsRel", "validation/miou": "mIoU"}
TERMS = {
    "affine_invariant": "affine-invariant, labels",
    "pseudo_label": "affine-invariant, pseudo labels",
    "feature_alignment": "feature alignment",
}
"""Terms of relative depth; of a model without them its whole loss is drawn."""


def _draw_terms(axes: Axes, table: pd.DataFrame) -> None:
    for term, label in (TERMS if set(TERMS) & set(table) else {"loss": "loss"}).items():
        if term in table:
            _draw_curve(axes, table, term, label)
    axes.set(ylabel="loss", ylim=(0, None))


def _draw_active(axes: Axes, table: pd.DataFrame, alpha: float) -> None:
    _draw_curve(axes, table, ACTIVE, f"tokens below {alpha:g}")
    axes.set(ylabel="fraction", ylim=(-0.02, 1.02))


def _draw_validation(axes: Axes, histories: Mapping[str, pd.DataFrame], metric: str, title: str) -> None:
    for name, table in histories.items():
        measured = table.dropna(subset=[metric])
        axes.plot(measured["step"], measured[metric], marker="o", markersize=3, label=name)
    axes.set(ylabel=title)


def _draw_curve(axes: Axes, table: pd.DataFrame, term: str, label: str) -> None:
    (line,) = axes.plot(table["step"], table[term], linewidth=0.6, alpha=0.35)
    window = max(1, len(table) // 25)
    smooth = table[term].rolling(window, min_periods=1, center=True).mean()
    axes.plot(table["step"], smooth, linewidth=1.6, color=line.get_color(), label=label)


def png_bytes(figure: Figure) -> bytes:
    """Return `figure` as a PNG that holds neither a time nor the version of a library."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
