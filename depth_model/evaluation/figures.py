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
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

DEPTH_COLORS, ERROR_COLORS = "Spectral", "magma"
LARGEST_ERROR = 0.5
NO_LABEL = "0.72"
# Inches, but for the share of a column that a map takes beside its color bar.
COLUMN_WIDTH, TITLE, WIDTH_OF_MAP = 2.1, 0.3, 0.72
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

    columns = 2 + 2 * len(examples[0].aligned)
    heights = [COLUMN_WIDTH * WIDTH_OF_MAP * height / width + TITLE for height, width in map(_shape, examples)]
    figure = Figure(figsize=(COLUMN_WIDTH * columns, sum(heights)))
    grid = figure.subplots(len(examples), columns, squeeze=False, height_ratios=heights)
    # By hand: a layout engine would make room for the color bars once more.
    figure.subplots_adjust(left=0.004, right=1 - 0.26 / columns, bottom=0.01, top=1 - TITLE / sum(heights), wspace=0.36)
    for row, example in zip(grid, examples):
        _draw_example(figure, row, example)
    return png_bytes(figure)


def _shape(example: Example) -> tuple[int, int]:
    return example.depth.shape


def depth_scale(depth: np.ndarray) -> LogNorm:
    """Return the color scale of a depth map (h, w), NaN = none, and of what is compared with it."""
    from matplotlib.colors import LogNorm

    low, high = np.nanpercentile(depth, (1, 99))
    return LogNorm(low, max(high, low * 1.01), clip=True)


def _draw_example(figure: Figure, row: Sequence[Axes], example: Example) -> None:
    scale = depth_scale(example.depth)
    count = len(example.aligned)
    row[0].imshow(_thinned(example.image))
    row[0].set_title(_short(example.key), fontsize=8, parse_math=False, y=1.0)
    drawn = _draw_map(row[1], example.depth, "truth", DEPTH_COLORS, norm=scale)
    for axes, (name, depth) in zip(row[2:], example.aligned.items()):
        drawn = _draw_map(axes, depth, f"{name}, {example.scores[name]}", DEPTH_COLORS, norm=scale)
    _draw_bar(figure, drawn, f"depth ({example.unit})", np.geomspace(scale.vmin, scale.vmax, 4), "both")
    for axes, (name, depth) in zip(row[2 + count :], example.aligned.items()):
        error = np.abs(depth - example.depth) / example.depth
        drawn = _draw_map(axes, error, f"error of {name}", ERROR_COLORS, vmin=0, vmax=LARGEST_ERROR)
    if count:
        _draw_bar(figure, drawn, "|p−t|/t", np.linspace(0, LARGEST_ERROR, 3), "max")
    for axes in row:
        axes.set_axis_off()


def _short(key: str) -> str:
    return key if len(key) <= LONGEST_TITLE else f"…{key[1 - LONGEST_TITLE :]}"


def _thinned(values: np.ndarray) -> np.ndarray:
    """Return every so manyth pixel (h, w, ...) of a map: about as many as are drawn, each a value of the map."""
    step = max(1, values.shape[1] // PIXELS_OF_MAP)
    return values[::step, ::step]


def _draw_map(axes: Axes, values: np.ndarray, title: str, cmap: str, **style: Any) -> AxesImage:
    from matplotlib import colormaps

    colors = colormaps[cmap].with_extremes(bad=NO_LABEL)
    axes.set_title(title, fontsize=8, parse_math=False, y=1.0)
    return axes.imshow(_thinned(values), interpolation="nearest", cmap=colors, **style)


def _draw_bar(figure: Figure, drawn: AxesImage, label: str, ticks: np.ndarray, extend: str) -> None:
    place = drawn.axes.inset_axes((1.02, 0, 0.04, 1))
    bar = figure.colorbar(drawn, cax=place, extend=extend, extendfrac=0.03)
    bar.set_ticks(ticks, minor=False)
    bar.minorticks_off()
    bar.ax.yaxis.set_major_formatter("{x:.2g}")
    bar.set_label(label, fontsize=7, labelpad=4)
    bar.ax.tick_params(labelsize=6.5, length=2, pad=1)


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
