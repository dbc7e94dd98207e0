"""Checkpoints: the whole state of a run, so that killed and resumed it ends in the bytes of an undisturbed one.

A checkpoint is `checkpoint-<finished steps>.pt` and, written after it, its SHA-256 in the form of sha256sum. A file
without a fitting checksum is skipped for the one before, which is why two are kept. State is model, optimizer,
number of finished steps and history: order and augmentation are functions of the step, the learning rate too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch

from depth_model import files

KEPT = 2
_LOG = logging.getLogger(__name__)


def save_checkpoint(folder: Path, finished: int, state: Mapping[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, and lists and dicts of them) after `finished` steps.

    Older checkpoints than the newest two are removed, and whatever a killed process left half written. Raises OSError
    when it cannot be written, for example on a full disk; the checkpoints before are kept.
    """
    path = Path(folder) / f"checkpoint-{finished:09d}.pt"
    with files.atomic_path(path) as temporary:
        # Into an open file: on a full disk torch's own writer raises something that does not say so.
        with open(temporary, "wb") as handle:
            _write({"finished": finished, **state}, handle)
        checksum = files.sha256(temporary)
    files.write_text(_checksum_path(path), f"{checksum}  {path.name}\n")
    for old in _checkpoints(folder)[KEPT:]:
        _checksum_path(old).unlink(missing_ok=True)
        old.unlink()
    for leftover in Path(folder).glob(".checkpoint-*.tmp"):
        leftover.unlink()


def _write(state: Mapping[str, Any], handle: IO[bytes]) -> None:
    try:
        torch.save(state, handle)
    except RuntimeError as error:  # torch ends its file after a failed write, too, and tells of that failure alone
        raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint of `folder`; None when there is none.

    A damaged checkpoint is passed over with a warning.
    """
    for path in _checkpoints(folder):
        if _is_whole(path):
            return path
        _LOG.warning("%s is damaged or half written; going on from the one before, if any", path.name)
    return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the state in the checkpoint `path`, with `finished`; tensors are on the CPU. Runs no code from it."""
    return torch.load(path, map_location="cpu", weights_only=True)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(Path(folder).glob("checkpoint-*.pt"), reverse=True)


def _checksum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _is_whole(path: Path) -> bool:
    checksum = _checksum_path(path)
    return checksum.exists() and checksum.read_text(encoding="utf-8").split()[:1] == [files.sha256(path)]
