"""Which pixels of an image count, by the crops of the field (docs/paper.md 4.2): windows of rows and columns.

Garg's and Eigen's crops are shares of the picture; "eigen_absolute" are the rows and columns of a 480x640 picture,
taken at any size as ZoeDepth's code does, "eigen_scaled" the same as shares. KITTI's benchmark crop (`kb_window`) is
one of the picture itself, so it is not among them: what lies outside of it never reaches the network.
"""

from __future__ import annotations

from depth_model.errors import BadInput

Window = tuple[slice, slice]

SHARES = {
    "garg": ((0.40810811, 0.99189189), (0.03594771, 0.96405229)),
    "eigen_kitti": ((0.3324324, 0.91351351), (0.0359477, 0.96405229)),
    "eigen_scaled": ((45 / 480, 471 / 480), (41 / 640, 601 / 640)),
}
"""Crop -> (rows from, rows to), (columns from, columns to), as shares of height and width."""

EIGEN_ROWS, EIGEN_COLUMNS = slice(45, 471), slice(41, 601)

CROPS = ("none", *SHARES, "eigen_absolute")

KB_HEIGHT, KB_WIDTH = 352, 1216
"""What the picture sizes of KITTI's depth benchmark have in common, in pixels."""


def window(crop: str, height: int, width: int) -> Window:
    """Return the (rows, columns) of `crop` (one of CROPS) in a picture of `height` x `width` pixels.

    Raises ValueError for another name.
    """
    if crop == "none":
        return slice(0, height), slice(0, width)
    if crop == "eigen_absolute":
        return EIGEN_ROWS, EIGEN_COLUMNS
    if crop not in SHARES:
        raise ValueError(f"crop {crop!r}: choose one of {', '.join(CROPS)}")
    # Multiplied in this order, and cut off toward zero, as every published evaluation does.
    rows, columns = ((int(low * size), int(high * size)) for (low, high), size in zip(SHARES[crop], (height, width)))
    return slice(*rows), slice(*columns)


def kb_window(height: int, width: int) -> Window:
    """Return the rows and columns of KITTI's benchmark crop: the lowest 352 rows and the 1216 columns in the middle.

    Metric fine-tuning and evaluation cut it alike (docs/paper.md 4.2, 5). Raises BadInput for a smaller picture.
    """
    if height < KB_HEIGHT or width < KB_WIDTH:
        raise BadInput(f"a picture of {height} x {width} has no KITTI benchmark crop of {KB_HEIGHT} x {KB_WIDTH}")
    top, left = height - KB_HEIGHT, (width - KB_WIDTH) // 2
    return slice(top, top + KB_HEIGHT), slice(left, left + KB_WIDTH)
