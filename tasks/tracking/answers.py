"""What the registered models share: images decoded, and what a caller can mend told in one line.

MLflow's scoring server answers an MlflowException with its status and message, and any other with its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from depth_model.errors import UserError
from depth_model.networks.preprocessing import check_short_side

LARGEST_SIDE = 2072
"""Pixels, four times what the networks are trained at: what a caller may ask for, as memory grows with its square."""


def decoded(images: Iterable[bytes]) -> list[np.ndarray]:
    """Return each encoded image as uint8 (H, W, 3), upright.

    Raises MlflowException, status 400, that names the first that is none.
    """
    from depth_model.shards.images import decode_rgb

    found = []
    for row, image in enumerate(images):
        try:
            found.append(decode_rgb(bytes(image)))
        except UserError as error:
            raise _refusal(f"image {row}: {error}") from error
    return found


def checked_side(side: int, patch: int) -> int:
    """Return the `side` in pixels that a caller asks for; raises MlflowException, status 400, unless it is possible."""
    try:
        check_short_side(side, patch)
    except ValueError as error:
        raise _refusal(str(error)) from error
    if side > LARGEST_SIDE:
        raise _refusal(f"short_side = {side}: must be at most {LARGEST_SIDE}")
    return side


def _refusal(said: str) -> MlflowException:
    return MlflowException(" ".join(said.split()), error_code=BAD_REQUEST)
