"""Fingerprints of images: what finds copies, crops and mirror images among millions without opening them again.

A fingerprint is 128 bits of one window of an image: whether gray grows from a cell to its right neighbor (grid of
8 rows and 9 columns) and to the one below (9 rows and 8 columns). It does not change with size, encoding,
brightness and contrast, and in few bits when the window moves by a fraction of a cell. Every image stores two: of
the whole, and of its center, which lies inside every crop of at least 80 % of its sides. Whoever searches looks for
them in all windows of another image, mirrored too. Equal bits are a hint only; `correlation` compares the pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

SIDE = 192
SMALLEST_CROP = 0.8
_STEP = 0.025
_SCALES = (1.0, 0.95, 0.9, 0.85, SMALLEST_CROP)
_CENTER = 2 * SMALLEST_CROP - 1
STORED = np.array([[0, 0, 1, 1], [(1 - _CENTER) / 2, (1 - _CENTER) / 2, _CENTER, _CENTER]])
"""The windows whose fingerprints are stored, whole and center: top, left, height, width as shares of the sides."""

_GRID = 8
_COMPARED, _BLUR, _MARGIN = 96, 3.0, 8
_RESIZED = (1.0, 0.96, 0.98, 1.02, 1.04)
_FEWEST_BITS = 8


class Windows(NamedTuple):
    """Where a stored window may lie in an image: fingerprints uint64 (N, 2), windows float (N, 4) of the image as
    mirrored, which stored window each stands for (0 whole, 1 center) and whether the image is mirrored, (N,)."""

    bits: np.ndarray
    places: np.ndarray
    stored: np.ndarray
    mirrored: np.ndarray


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Return the gray thumbnail, uint8 (SIDE, SIDE), of an image, uint8 (H, W, 3); both sides are scaled alone."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def window_bits(small: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Return the fingerprints of `windows`, float (N, 4), of a thumbnail: uint64 (N, 2), bits across and down."""
    table = cv2.integral(small).astype(np.float64)
    across = _cells(table, windows, _GRID, _GRID + 1)
    down = _cells(table, windows, _GRID + 1, _GRID)
    bits = np.stack([across[:, :, 1:] > across[:, :, :-1], down[:, 1:] > down[:, :-1]], 1)
    return np.packbits(bits.reshape(len(windows), 2, _GRID**2), axis=-1).view(">u8")[..., 0].astype(np.uint64)


def _cells(table: np.ndarray, windows: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the sums of gray over a grid of cells in every window, (N, rows, columns), from a summed-area table."""
    top, left, height, width = windows.T[:, :, None] * SIDE
    lines = _read(table, top + height * np.linspace(0, 1, rows + 1))
    corners = np.stack([_read(line.T, box) for line, box in zip(lines, left + width * np.linspace(0, 1, columns + 1))])
    # Rounded, so that cells which are equal on paper are equal in floating point too.
    return np.round(np.diff(np.diff(corners, axis=1), axis=2), 6).transpose(0, 2, 1)


def _read(table: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the rows of `table` at `places`, linear between whole numbers."""
    below = np.minimum(places.astype(np.int64), SIDE - 1)
    part = (places - below)[..., None]
    return table[below] * (1 - part) + table[below + 1] * part


def stored_fingerprint(image: np.ndarray) -> bytes:
    """Return the 32 bytes that a manifest keeps of an image, uint8 (H, W, 3): whole, then center, big-endian."""
    return window_bits(thumbnail(image), STORED).astype(">u8").tobytes()


def mirrored_bits(bits: np.ndarray) -> np.ndarray:
    """Return the fingerprints, uint64 (N, 2), of the mirrored windows of `bits`; exact where no two cells are equal."""
    grid = np.unpackbits(bits.astype(">u8").view(np.uint8)).reshape(-1, 2, _GRID, _GRID)[..., ::-1]
    grid = np.stack([1 - grid[:, 0], grid[:, 1]], 1)
    return np.packbits(grid.reshape(-1, 2, _GRID**2), axis=-1).view(">u8")[..., 0].astype(np.uint64)


def informative(bits: np.ndarray) -> np.ndarray:
    """Return bool (N,): whether fingerprints say anything; a flat window, of which all are alike, has hardly a bit."""
    ones = np.bitwise_count(bits).sum(-1)
    return (ones >= _FEWEST_BITS) & (ones <= 2 * _GRID**2 - _FEWEST_BITS)


def searched_windows(small: np.ndarray) -> Windows:
    """Return the windows of a thumbnail to search in fingerprints of other images.

    Finds an image that is this one, a crop of this one, or of which this one is a crop, with at least SMALLEST_CROP
    of the sides left; either may be mirrored.
    """
    crops = np.array([(top, left, scale, scale) for scale in _SCALES for top in _grid(scale) for left in _grid(scale)])
    # Where the center of the other image lies when this one is the crop `crops` of it.
    inner = np.concatenate([STORED[1, :2] - crops[:, :2], np.full((len(crops), 2), _CENTER)], 1) / crops[:, 2:3]
    places = np.concatenate([crops, inner])
    bits = np.concatenate([window_bits(one, places) for one in (small, np.ascontiguousarray(small[:, ::-1]))])
    stored = np.tile(np.repeat([0, 1], len(crops)), 2)
    found = Windows(bits, np.tile(places, (2, 1)), stored, np.repeat([False, True], len(places)))
    useful = informative(bits)
    return Windows(*(column[useful] for column in found))


def _grid(scale: float) -> np.ndarray:
    return np.linspace(0, 1 - scale, 1 + round((1 - scale) / _STEP))


def correlation(small: np.ndarray, other: np.ndarray, box: np.ndarray, stored: int, mirrored: bool) -> float:
    """Return how alike two images are, -1 to 1: the correlation of their details where they show the same.

    `small` and `other` are thumbnails; the window STORED[stored] of `other` should lie at `box`, float (4,), of
    `small`, which is mirrored first if `mirrored`. Looks around for the best fit, as a window of the grid is near
    the true one only. Flat images are like nothing: 0.
    """
    whole = cv2.resize(small[:, ::-1] if mirrored else small, (_COMPARED, _COMPARED), interpolation=cv2.INTER_AREA)
    whole = cv2.copyMakeBorder(_details(whole), *[_MARGIN] * 4, cv2.BORDER_CONSTANT)
    top, left, height, width = np.round(STORED[stored] * SIDE).astype(int)
    template = other[top : top + height, left : left + width]
    return max(_fit(whole, template, box, scale) for scale in _RESIZED)


def _details(gray: np.ndarray) -> np.ndarray:
    gray = gray.astype(np.float32)
    return gray - cv2.GaussianBlur(gray, (0, 0), _BLUR)


def _fit(whole: np.ndarray, template: np.ndarray, box: np.ndarray, scale: float) -> float:
    height, width = (round(side * _COMPARED * scale) for side in box[2:])
    details = _details(cv2.resize(template, (width, height), interpolation=cv2.INTER_AREA))
    middle = (box[:2] + box[2:] / 2) * _COMPARED + _MARGIN
    top, left = (max(0, round(one - size / 2 - _MARGIN / 2)) for one, size in zip(middle, (height, width)))
    area = whole[top : top + height + _MARGIN, left : left + width + _MARGIN]
    if area.shape[0] < height or area.shape[1] < width or min(details.std(), area.std()) < 0.1:
        return 0.0
    return float(cv2.matchTemplate(area, details, cv2.TM_CCOEFF_NORMED).max())


def same_picture(small: np.ndarray, other: np.ndarray) -> float:
    """Return how alike two thumbnails are as they lie, or mirrored, -1 to 1: 0.9 and more for another encoding or
    size of the same picture, less when anything in it has moved."""
    theirs = _details(cv2.resize(other, (_COMPARED, _COMPARED), interpolation=cv2.INTER_AREA))
    found = 0.0
    for one in (small, small[:, ::-1]):
        ours = _details(cv2.resize(one, (_COMPARED, _COMPARED), interpolation=cv2.INTER_AREA))
        if min(ours.std(), theirs.std()) >= 0.1:
            found = max(found, float(cv2.matchTemplate(ours, theirs, cv2.TM_CCOEFF_NORMED)[0, 0]))
    return found
