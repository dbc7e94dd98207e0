"""KITTI's benchmark crop, which metric fine-tuning and evaluation cut alike (docs/paper.md 4.2 and 5)."""

from __future__ import annotations

from depth_model.errors import BadInput

HEIGHT, WIDTH = 352, 1216
"""What the picture sizes of KITTI's depth benchmark have in common, in pixels."""


def kb_window(height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of the crop: the lowest 352 rows and the 1216 columns in the middle.

    Raises BadInput for a picture of fewer rows or columns.
    """
    if height < HEIGHT or width < WIDTH:
        raise BadInput(f"a picture of {height} x {width} has no KITTI benchmark crop of {HEIGHT} x {WIDTH}")
    top, left = height - HEIGHT, (width - WIDTH) // 2
    return slice(top, top + HEIGHT), slice(left, left + WIDTH)
