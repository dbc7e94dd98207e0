"""Which pixels of an image count, by the crops of the field (docs/paper.md 4.2): windows of rows and columns.

Garg's and Eigen's crops are shares of the picture; "eigen_absolute" are the rows and columns of a 480x640 picture,
taken at any size as ZoeDepth's code does, "eigen_scaled" the same as shares. KITTI's benchmark crop is one of the
picture itself, so it is not among them: what lies outside of it never reaches the network.
"""

from __future__ import annotations

Window = tuple[slice, slice]

SHARES = {
    "garg": ((0.40810811, 0.99189189), (0.03594771, 0.96405229)),
    "eigen_kitti": ((0.3324324, 0.91351351), (0.0359477, 0.96405229)),
    "eigen_scaled": ((45 / 480, 471 / 480), (41 / 640, 601 / 640)),
}
"""Crop -> (rows from, rows to), (columns from, columns to), as shares of height and width."""

EIGEN_ROWS, EIGEN_COLUMNS = slice(45, 471), slice(41, 601)

CROPS = ("none", *SHARES, "eigen_absolute")


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
    # Multiplied in this order, and cut off towards zero, as every published evaluation does.
    rows, columns = ((int(low * size), int(high * size)) for (low, high), size in zip(SHARES[crop], (height, width)))
    return slice(*rows), slice(*columns)
