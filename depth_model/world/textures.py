"""Procedural albedo: functions from surface coordinates in meters to linear RGB.

A texture takes uv float (N, 2) and the footprint (N,), the side of a pixel on the surface, both in meters, and
returns float32 (N, 3). Edges of patterns are averaged over the footprint, so that patterns fade with distance
instead of turning into moire.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depth_model.world import noise

Texture = Callable[[np.ndarray, np.ndarray], np.ndarray]


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Return the linear RGB of a color whose display hue, saturation and value are in [0, 1]."""
    sector = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    display = value - value * saturation * np.clip(np.minimum(sector, 4 - sector), 0, 1)
    return (display**2.2).astype(np.float32)


def random_color(
    rng: np.random.Generator,
    saturation: tuple[float, float] = (0.1, 0.6),
    value: tuple[float, float] = (0.3, 0.85),
    hue: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Return a linear RGB color drawn evenly from ranges of display hue, saturation and value."""
    return hsv(rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value))


def plain(color: np.ndarray, variation: float = 0.15, size: float = 1.0, kind: str = "cloud") -> Texture:
    """One color, lighter and darker by up to `variation` in patches; the noise repeats every `size` meters."""

    def texture(uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        value = noise.sample(kind, uv / size, footprint / size)[:, :1]
        return color * (1 + variation * 2 * (value - 0.5))

    return texture


def blended(
    first: np.ndarray, second: np.ndarray, size: float, kind: str = "cloud", contrast: float = 3.0, stretch: float = 1.0
) -> Texture:
    """Two colors mixed by noise; `contrast` sharpens the mix, `stretch` > 1 draws it out along u."""
    scale = np.array([size * stretch, size])

    def texture(uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        value = noise.sample(kind, uv / scale, footprint / size)[:, :1]
        mix = np.clip(0.5 + contrast * (value - 0.5), 0, 1)
        return first + (second - first) * mix

    return texture


def pulse(x: np.ndarray, period: float, width: float, footprint: np.ndarray) -> np.ndarray:
    """Return how much of the footprint around `x` lies in the bars [k period, k period + width), in [0, 1]."""
    half = np.maximum(footprint, 1e-5) / 2

    def covered(place: np.ndarray) -> np.ndarray:
        cell = np.floor(place / period)
        return cell * width + np.minimum(place - cell * period, width)

    return (covered(x + half) - covered(x - half)) / (2 * half)


def stripes(first: np.ndarray, second: np.ndarray, period: float, share: float = 0.5, axis: int = 0) -> Texture:
    """Bars of `first` on `second` across the axis 0 (u) or 1 (v)."""

    def texture(uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        bars = pulse(uv[:, axis], period, period * share, footprint)[:, None]
        return (second + (first - second) * bars).astype(np.float32)

    return texture


def checker(first: np.ndarray, second: np.ndarray, size: float) -> Texture:
    """Squares of `size` meters."""

    def texture(uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        a, b = (2 * pulse(uv[:, axis], 2 * size, size, footprint) - 1 for axis in (0, 1))
        mix = (0.5 + 0.5 * a * b)[:, None]
        return (first + (second - first) * mix).astype(np.float32)

    return texture


def tiled(
    face: Texture,
    joint: np.ndarray,
    size: tuple[float, float],
    gap: float,
    offset: float = 0.0,
    variation: float = 0.2,
    salt: int = 0,
) -> Texture:
    """Tiles, bricks, planks or panels of `size` meters with joints of `gap` meters.

    Each row is shifted by `offset` of a tile against the last; each tile is lighter or darker by up to
    `variation`, and shows another piece of the texture `face`.
    """

    def texture(uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        row = np.floor(uv[:, 1] / size[1])
        along = uv[:, 0] + row * offset * size[0]
        column = np.floor(along / size[0])
        shade = noise.hashed(column, row, salt) - 0.5
        fading = np.clip(min(size) / np.maximum(footprint, 1e-6) - 0.5, 0, 1)
        bright = (1 + 2 * variation * shade * fading)[:, None]
        piece = np.stack([uv[:, 0] + 3.7 * column + 1.3 * row, uv[:, 1] + 2.9 * row + 7.1 * column], -1)
        inside = face(piece, footprint) * bright
        joints = _joints(along, uv[:, 1], size, gap, footprint)
        return (inside + (joint - inside) * joints[:, None]).astype(np.float32)

    return texture


def _joints(
    along: np.ndarray, across: np.ndarray, size: tuple[float, float], gap: float, footprint: np.ndarray
) -> np.ndarray:
    upright = pulse(along, size[0], gap, footprint)
    level = pulse(across, size[1], gap, footprint)
    return 1 - (1 - upright) * (1 - level)


def wood(light: np.ndarray, dark: np.ndarray, along: int = 0, size: float = 0.4) -> Texture:
    """Wood whose grain runs along the axis 0 (u) or 1 (v)."""
    scale = np.array([6.0, 1.0]) * size
    if along == 1:
        scale = scale[::-1]

    def texture(uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        cloud = noise.sample("cloud", uv / scale, footprint / size)[:, 0]
        fiber = noise.sample("grain", uv / scale * 1.7, footprint / size * 1.7)[:, 0]
        rings = 0.5 + 0.5 * np.sin(40 * cloud) * np.clip(0.02 / np.maximum(footprint, 1e-6), 0, 1)
        mix = np.clip(0.25 + 0.5 * (cloud - 0.5) + 0.25 * rings + 0.6 * (fiber - 0.5), 0, 1)
        return light + (dark - light) * mix[:, None]

    return texture


def marble(base: np.ndarray, vein: np.ndarray, size: float = 1.5) -> Texture:
    """Stone with veins."""

    def texture(uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        value = noise.sample("cloud", uv / size, footprint / size)[:, 0]
        veins = np.exp(-(((value - 0.5) / 0.035) ** 2)) * 0.8 + np.clip(value - 0.55, 0, 1)
        return base + (vein - base) * np.clip(veins, 0, 1)[:, None]

    return texture


def windows(
    wall: Texture,
    pane: np.ndarray,
    frame: np.ndarray,
    pitch: tuple[float, float],
    size: tuple[float, float],
    salt: int = 0,
) -> Texture:
    """A facade: panes of `size` meters in frames, every `pitch` meters along u and v, on the texture `wall`."""

    def texture(uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        color = wall(uv, footprint)
        color = color + (frame - color) * _pane(uv, pitch, size, 0.12, footprint)[:, None]
        glass = pane * (0.5 + noise.hashed(*_cells(uv, pitch), salt))[:, None]
        return (color + (glass - color) * _pane(uv, pitch, size, 0.0, footprint)[:, None]).astype(np.float32)

    return texture


def lit_windows(
    light: np.ndarray, pitch: tuple[float, float], size: tuple[float, float], share: float, salt: int = 0
) -> Texture:
    """What a facade of `windows` emits: `share` of its panes are lit, each with a brightness of its own."""

    def texture(uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        drawn = noise.hashed(*_cells(uv, pitch), salt)
        bright = np.where(drawn < share, 0.3 + drawn / share, 0.0)
        curtain = 1 - 0.5 * pulse(uv[:, 0], 0.37, 0.08, footprint)
        return light * (bright * curtain * _pane(uv, pitch, size, 0.0, footprint))[:, None]

    return texture


def _cells(uv: np.ndarray, pitch: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.floor(uv[:, 0] / pitch[0]), np.floor(uv[:, 1] / pitch[1])


def _pane(
    uv: np.ndarray, pitch: tuple[float, float], size: tuple[float, float], border: float, footprint: np.ndarray
) -> np.ndarray:
    parts = []
    for axis in (0, 1):
        width = size[axis] + 2 * border
        start = (pitch[axis] - width) / 2
        parts.append(pulse(uv[:, axis] - start, pitch[axis], width, footprint))
    return parts[0] * parts[1]


def picture(colors: np.ndarray, size: float, salt: float) -> Texture:
    """An abstract painting: layers of `colors` (K, 3), bounded by noise that repeats every `size` meters."""

    def texture(uv: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        shown = np.broadcast_to(colors[0], (len(uv), 3))
        for layer, color in enumerate(colors[1:]):
            value = noise.sample("cloud", uv / size + salt + 0.37 * layer, footprint / size)[:, :1]
            shown = shown + (color - shown) * np.clip((value - 0.5) * 25, 0, 1)
        return shown

    return texture
