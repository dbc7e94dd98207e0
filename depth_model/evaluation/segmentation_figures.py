"""Pictures of segmentation as PNG bytes: labels laid over images, and a confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from depth_model.evaluation.figures import png_bytes
from depth_model.semantic.classes import ClassList

OPACITY = 0.6
MOST_CLASSES = 40
"""Of a confusion matrix that can still be read: those with the most labeled pixels."""
COLUMN, TITLE = 2.6, 0.3


def overlay(image: np.ndarray, labels: np.ndarray, classes: ClassList) -> np.ndarray:
    """Return uint8 (H, W, 3): `image` under the colors of `labels`, uint8 (H, W)."""
    return cv2.addWeighted(image, 1 - OPACITY, classes.colored(labels), OPACITY, 0)


@dataclass(frozen=True)
class LabeledExample:
    """An image uint8 (H, W, 3) with its labels uint8 (H, W) and those predicted by each model."""

    key: str
    image: np.ndarray
    labels: np.ndarray
    predicted: Mapping[str, np.ndarray]


def overlays_figure(examples: Sequence[LabeledExample], classes: ClassList) -> bytes:
    """Return a PNG with a row per example: image, labels, and what each model predicts, laid over the image.

    Pixels without a label are dark.
    """
    from matplotlib.figure import Figure

    columns = 2 + len(examples[0].predicted)
    heights = [COLUMN * one.image.shape[0] / one.image.shape[1] + TITLE for one in examples]
    figure = Figure(figsize=(COLUMN * columns, sum(heights)), layout="constrained")
    grid = figure.subplots(len(examples), columns, squeeze=False, height_ratios=heights)
    for row, example in zip(grid, examples):
        shown = {example.key: example.image, "labels": overlay(example.image, example.labels, classes)}
        shown |= {name: overlay(example.image, one, classes) for name, one in example.predicted.items()}
        for axes, (title, picture) in zip(row, shown.items()):
            axes.imshow(picture)
            axes.set_axis_off()
            axes.set_title(title, fontsize=7, parse_math=False)
    return png_bytes(figure)


def confusion_figure(confusion: np.ndarray, classes: ClassList) -> bytes:
    """Return a PNG of a confusion matrix (C, C): of each label (row), the share that is predicted as each class.

    Only classes that are labeled or predicted, of them the 40 with the most pixels.
    """
    from matplotlib.figure import Figure

    pixels = confusion.sum(0) + confusion.sum(1)
    shown = np.sort(np.argsort(-pixels, kind="stable")[: min(MOST_CLASSES, np.count_nonzero(pixels))])
    shares = confusion[np.ix_(shown, shown)] / np.maximum(confusion[shown].sum(1, keepdims=True), 1)
    names = [classes.classes[label] for label in shown]
    side = 2.2 + 0.2 * len(shown)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(shares, vmin=0, vmax=1, cmap="viridis")
    axes.set_xticks(range(len(shown)), names, rotation=90, fontsize=6, parse_math=False)
    axes.set_yticks(range(len(shown)), names, fontsize=6, parse_math=False)
    axes.set(xlabel="predicted", ylabel="label")
    figure.colorbar(drawn, ax=axes, fraction=0.046, label="share of the label's pixels")
    return png_bytes(figure)
