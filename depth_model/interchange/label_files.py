"""Labels out of the shards as one file a sample, for people and other programs: 16-bit PNG or float32 .npy.

Shards stay what the pipeline reads; nothing here is read back. Does not export images, class labels and sky masks.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from depth_model import files
from depth_model.errors import BadInput
from depth_model.shards import manifest, rasters
from depth_model.shards.disparity import labeled_pixels
from depth_model.shards.sample import check_key
from depth_model.shards.source import SidecarFolder, SourceFolder

Form = Literal["png", "npy"]
ORIGIN = "origin.json"
TABLE = "labels.csv"
STEPS = 65534
"""Steps of a PNG from its minimum (value 1) to its maximum (value 65535)."""

_COLUMNS = ["key", "kind", "minimum", "maximum"]


class Labels(NamedTuple):
    """The labels of one folder of shards: `table` (key, kind, minimum, maximum; a row for each label) and what reads
    the label of a row, float32 (h, w) with NaN = no label. `without`: how many samples have none; `sha256`: of the
    table in the folder."""

    table: pd.DataFrame
    read: Callable[[int], np.ndarray]
    without: int
    sha256: str


def open_labels(folder: Path) -> Labels:
    """Return the targets of a collected source (`data/labeled/NAME`) or its pseudo labels (`data/pseudo/NAME`).

    Raises BadInput for another folder.
    """
    if (folder / manifest.SIDECAR).is_file():
        return _pseudo_labels(folder)
    if (folder / manifest.MANIFEST).is_file():
        return _targets(folder)
    raise BadInput(
        f"{folder}: holds neither {manifest.MANIFEST} nor {manifest.SIDECAR}; name a folder such as data/labeled/NAME "
        "or data/pseudo/NAME"
    )


def _pseudo_labels(folder: Path) -> Labels:
    sidecar = SidecarFolder(folder)
    if len(sidecar) and not sidecar.suffix.endswith(rasters.SUFFIX):
        raise BadInput(f"{folder}: holds {sidecar.suffix}, no depth or disparity")
    table = sidecar.frame(["key", "minimum", "maximum"]).assign(kind="affine_disparity")[_COLUMNS]
    return Labels(table, sidecar.raster, 0, files.sha256(folder / manifest.SIDECAR))


def _targets(folder: Path) -> Labels:
    source = SourceFolder(folder)
    table = source.frame(["key", "target_kind", "minimum", "maximum", "target_size"])
    rows = np.flatnonzero(table["target_size"])
    table = table.iloc[rows].rename(columns={"target_kind": "kind"})[_COLUMNS].reset_index(drop=True)
    without = len(source) - len(rows)
    return Labels(table, lambda row: source.target(int(rows[row])), without, files.sha256(folder / manifest.MANIFEST))


def claim_folder(out: Path, labels: Labels, form: Form) -> None:
    """Make `out` the folder of these labels in this form, or check that it is: a killed export continues in it.

    Raises BadInput when it holds anything else.
    """
    origin = {"sha256": labels.sha256, "form": form}
    if (out / ORIGIN).is_file():
        if files.read_json(out / ORIGIN) != origin:
            raise BadInput(f"{out}: holds other labels, or another form of them; name a folder of its own")
    elif out.exists() and any(not one.name.startswith(".depth-anything") for one in out.iterdir()):
        raise BadInput(f"{out}: is not empty; name a folder of its own")
    files.write_json(out / ORIGIN, origin)
    for left in out.rglob(".*.tmp"):  # by a process that was killed
        left.unlink()


def export_labels(labels: Labels, out: Path, form: Form, progress: Callable[[], object]) -> list[str]:
    """Write each label to `<out>/<key>.<form>` unless it is there, then `labels.csv`; return what was refused, and why.

    Files are whole or absent, and `progress` is called after each. The table has key, file, kind, minimum and maximum
    of every label that was written.
    """
    encode = label_png if form == "png" else label_npy
    names = (labels.table["key"] + f".{form}").tolist()
    refused: dict[int, str] = {}
    for row, kind in enumerate(labels.table["kind"]):
        try:
            path = out / check_key(names[row])
            if not path.is_file():
                files.write_bytes(path, encode(labels.read(row), kind))
        except (BadInput, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            refused[row] = f"{names[row]}: {getattr(error, 'strerror', None) or error}"
        progress()
    written = labels.table.assign(file=names).drop(index=list(refused))
    text = written[["key", "file", "kind", "minimum", "maximum"]].to_csv(index=False, lineterminator="\n")
    files.write_text(out / TABLE, text)
    return list(refused.values())


def label_png(label: np.ndarray, kind: str) -> bytes:
    """Return `label`, float32 (h, w) of target kind `kind`, as a gray 16-bit PNG.

    0 = no label; value v from 1 on stands for minimum + (v - 1) * (maximum - minimum) / 65534, so that the error is at
    most half such a step. Minimum and maximum are in the text of the PNG, unless there is no labeled pixel.
    """
    valid = labeled_pixels(label, kind)
    values, text = np.zeros(label.shape, np.uint16), PngInfo()
    text.add_text("kind", kind)
    if valid.any():
        known = label[valid].astype(np.float64)
        low, high = known.min(), known.max()
        values[valid] = 1 + np.rint((known - low) * (STEPS / (high - low) if high > low else 0.0))
        text.add_text("minimum", repr(float(low)))
        text.add_text("maximum", repr(float(high)))
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", pnginfo=text, compress_level=1)
    return buffer.getvalue()


def label_npy(label: np.ndarray, kind: str) -> bytes:
    """Return `label`, float32 (h, w) of target kind `kind`, as .npy: the values as stored, NaN = no label."""
    buffer = io.BytesIO()
    np.save(buffer, np.where(labeled_pixels(label, kind), label, np.float32(np.nan)), allow_pickle=False)
    return buffer.getvalue()
