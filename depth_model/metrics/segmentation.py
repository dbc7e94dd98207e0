"""How well labels are found: mIoU, pixel accuracy and IoU of each class, from one confusion matrix (docs/paper.md 4.3).

Pixels without a label (255) count nowhere. Figures are over all pixels of a set, not means over its pictures.
"""

from __future__ import annotations

import numpy as np

from depth_model.semantic.classes import IGNORE


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return int64 (classes, classes): pixels of each label (row) that are predicted as each class (column).

    Both are integer arrays of one shape, below `classes`, but for labels of 255, which are left out. Matrices of
    several pictures add up. Raises ValueError for other values or shapes.
    """
    if predicted.shape != labels.shape:
        raise ValueError(f"predicted {predicted.shape}, labels {labels.shape}: one shape is needed")
    known = labels != IGNORE
    found, truth = predicted[known].astype(np.int64), labels[known].astype(np.int64)
    if found.size and max(found.max(), truth.max()) >= classes:
        raise ValueError(f"class {max(found.max(), truth.max())} of {classes}")
    return np.bincount(truth * classes + found, minlength=classes**2).reshape(classes, classes)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Return float64 (C,): intersection over union of every class; NaN for one neither labeled nor predicted."""
    both = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - both
    return np.divide(both, union, out=np.full(len(both), np.nan), where=union > 0)


def of_constant(confusion: np.ndarray) -> np.ndarray:
    """Return the confusion matrix, int64 (C, C), of a prediction that is the most frequent label everywhere."""
    labels = confusion.sum(1)
    constant = np.zeros_like(confusion)
    constant[:, labels.argmax()] = labels
    return constant


def mean_iou(confusion: np.ndarray) -> float:
    """Return mIoU in [0, 1]: the mean of `class_iou` over the classes that are labeled or predicted anywhere.

    As MMSegmentation computes it. Raises ValueError for an empty matrix.
    """
    if not confusion.sum():
        raise ValueError("no pixel has a label: there is nothing to measure")
    return float(np.nanmean(class_iou(confusion)))


def pixel_accuracy(confusion: np.ndarray) -> float:
    """Return the share of labeled pixels that are right. Raises ValueError for an empty matrix."""
    if not confusion.sum():
        raise ValueError("no pixel has a label: there is nothing to measure")
    return float(np.trace(confusion) / confusion.sum())
