"""Variables of MATLAB files of the versions 5 to 7.2: numbers and cell arrays of text, which is all that splits need.

By scipy, apart: it ends the whole process on some damaged files. Files of version 7.3 are HDF5: `formats.hdf5`.
"""

from __future__ import annotations

import io
import math

import numpy as np

from depth_model.errors import BadInput
from depth_model.shards import decoding
from depth_model.shards.apart import apart

_WIDEST = 8
"""Bytes of a number, unless it is complex, which is refused."""


@apart()
def variable(data: bytes, name: str) -> np.ndarray | list[str]:
    """Return the variable `name` of a MATLAB file: an array of numbers, or the texts of a cell array in order.

    Raises BadInput for damaged data, other kinds of variables, no such variable, and more than the decode budget.
    """
    from scipy.io import loadmat, whosmat

    if data[126:128] not in (b"IM", b"MI"):
        raise BadInput("not a MATLAB file of version 5 to 7.2")
    with decoding.faults("damaged MATLAB file"):
        shapes = {found: shape for found, shape, _ in whosmat(io.BytesIO(data))}
        if name not in shapes:
            raise BadInput(f"no variable {name!r} in the MATLAB file")
        decoding.check(_WIDEST * math.prod(shapes[name]), f"numbers of {name!r}")
        value = loadmat(io.BytesIO(data), variable_names=[name])[name]
    if value.dtype == object:
        return [_text(cell) for cell in value.ravel(order="F")]
    if value.dtype.kind not in "biuf":
        raise BadInput(f"{name!r} in the MATLAB file is neither numbers nor a cell array of texts")
    return value.astype(value.dtype.newbyteorder("="))


def _text(cell: object) -> str:
    if not isinstance(cell, np.ndarray) or cell.dtype.kind != "U" or cell.size > 1:
        raise BadInput("a cell in the MATLAB file is not text")
    return str(cell.item()) if cell.size else ""
