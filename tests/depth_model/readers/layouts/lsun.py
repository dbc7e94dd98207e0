"""Two databases, one of validation that is left out; a small value lies inside a page, others on pages of their own."""

from __future__ import annotations

from . import Layout
from .packing import database, picture


def write(root):
    values = {f"{number:040x}": picture(number, "WEBP", (8 + 8 * number, 64)) for number in range(6)}
    database(root / "church_outdoor_train_lmdb", values)
    database(root / "church_outdoor_val_lmdb", {"0" * 40: picture()})
    return Layout({f"church_outdoor/{key}": None for key in values})
