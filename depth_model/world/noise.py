"""Seamless noise maps with a pyramid of blurred copies: the irregularity in every texture of the rendered world.

Maps are made once per process from fixed seeds. Sampling picks the blurred copy that fits the footprint of a
pixel, so that far surfaces do not sparkle.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

SIZE = 256
_LEVELS = 7
_ROW = 1024  # cv2.remap takes maps whose sides are below 32768
KINDS = ("cloud", "grain", "cells")


def sample(kind: str, places: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Return float32 (N, 3): value in [0, 1] (mean 0.5) and its derivatives along both axes, per tile.

    `places` (N, 2) and `footprint` (N,), the side of a pixel on the surface, are in tiles: the map repeats at
    every whole number. `kind` is one of KINDS.
    """
    level = np.clip(np.rint(np.log2(np.maximum(footprint * SIZE, 1.0))), 0, _LEVELS - 1)
    inside = (places - np.floor(places)) * SIZE
    columns = _as_rows(inside[:, 0])
    rows = _as_rows(inside[:, 1] + level * (SIZE + 1))
    values = cv2.remap(_pyramid(kind), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(-1, 3)[: len(places)]


def hashed(*cells: np.ndarray | int) -> np.ndarray:
    """Return a float32 in [0, 1) for each tuple of whole numbers, without visible pattern."""
    mixed = np.uint32(0x9E3779B9)
    for cell in cells:
        mixed = (mixed ^ np.asarray(cell).astype(np.int64).astype(np.uint32)) * np.uint32(0x85EBCA6B)
        mixed = mixed ^ (mixed >> np.uint32(13))
    mixed = mixed * np.uint32(0xC2B2AE35)
    return ((mixed ^ (mixed >> np.uint32(16))) >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)


def _as_rows(values: np.ndarray) -> np.ndarray:
    rows = -(-len(values) // _ROW)
    padded = np.zeros(rows * _ROW, np.float32)
    padded[: len(values)] = values
    return padded.reshape(rows, _ROW)


@cache
def _pyramid(kind: str) -> np.ndarray:
    """Return float32 (_LEVELS * (SIZE + 1), SIZE + 1, 3); the last row and column repeat the first."""
    values = {"cloud": _cloud, "grain": _grain, "cells": _cells}[kind]()
    levels = [_with_derivatives(_blurred(values, 0.5 * 2.0**level if level else 0.0)) for level in range(_LEVELS)]
    return np.ascontiguousarray(np.concatenate(levels), np.float32)


def _frequencies() -> np.ndarray:
    axis = np.fft.fftfreq(SIZE) * SIZE
    return np.hypot(axis[:, None], axis[None, :])


def _spectral(seed: int, exponent: float, lowest: float) -> np.ndarray:
    frequency = _frequencies()
    weight = np.where(frequency >= lowest, np.maximum(frequency, 1.0) ** -exponent, 0.0)
    values = np.fft.ifft2(np.fft.fft2(np.random.default_rng(seed).standard_normal((SIZE, SIZE))) * weight).real
    return np.clip(0.5 + 0.2 * values / values.std(), 0.0, 1.0)


def _cloud() -> np.ndarray:
    return _spectral(1, 1.6, 2.0)


def _grain() -> np.ndarray:
    return _spectral(2, 0.6, 8.0)


def _cells() -> np.ndarray:
    points = np.random.default_rng(3).random((90, 2))
    axis = (np.arange(SIZE) + 0.5) / SIZE
    across, down = (np.abs(axis[:, None] - points[None, :, k]) for k in (0, 1))
    across, down = np.minimum(across, 1 - across), np.minimum(down, 1 - down)
    squared = down[:, None, :] ** 2 + across[None, :, :] ** 2
    nearest = np.sqrt(np.partition(squared, 1, axis=2)[:, :, :2])
    edge = nearest[:, :, 1] - nearest[:, :, 0]
    return np.clip(edge / np.quantile(edge, 0.9), 0.0, 1.0)


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    weight = np.exp(-2 * (np.pi * sigma * _frequencies() / SIZE) ** 2)
    return np.fft.ifft2(np.fft.fft2(values) * weight).real


def _with_derivatives(values: np.ndarray) -> np.ndarray:
    values = np.clip(values, 0.0, 1.0)
    along_u = (np.roll(values, -1, 1) - np.roll(values, 1, 1)) * (SIZE / 2)
    along_v = (np.roll(values, -1, 0) - np.roll(values, 1, 0)) * (SIZE / 2)
    return np.pad(np.stack([values, along_u, along_v], -1), ((0, 1), (0, 1), (0, 0)), mode="wrap")
