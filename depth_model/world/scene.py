"""What a rendered picture is made from: materials, lights, sky, fog, camera and the solids that carry them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from depth_model.world import noise
from depth_model.world.shapes import Mesh, rotation_about
from depth_model.world.textures import Texture


@dataclass(frozen=True)
class Relief:
    """Small unevenness that only tilts the normals: noise of `kind` repeating every `size` meters, `depth` meters."""

    kind: str
    size: float
    depth: float


@dataclass(frozen=True)
class Material:
    """A surface: its ADE20K class (0-based), albedo, highlight (`gloss`), reflectance head-on (`mirror`).

    `emission` is a texture of emitted radiance.
    """

    label: int
    albedo: Texture
    gloss: float = 0.0
    mirror: float = 0.0
    emission: Texture | None = None
    relief: Relief | None = None


@dataclass(frozen=True)
class Sun:
    """Light from the direction `toward` (unit vector to the sun or moon), linear RGB on a surface facing it."""

    toward: np.ndarray
    color: np.ndarray
    spread: float = 0.01


@dataclass(frozen=True)
class Lamp:
    """Light from a ball of `radius` meters at `position`; `color` is the linear RGB at one meter."""

    position: np.ndarray
    color: np.ndarray
    radius: float = 0.1


@dataclass(frozen=True)
class Surroundings:
    """Even light from above and below (linear RGB), dimmed in corners of `reach` meters."""

    above: np.ndarray
    below: np.ndarray
    reach: float


@dataclass(frozen=True)
class Sky:
    """A sky from `horizon` to `zenith` (linear RGB) with clouds covering about `cover`, and a glow at the sun."""

    zenith: np.ndarray
    horizon: np.ndarray
    cloud: np.ndarray
    cover: float
    glow: np.ndarray
    sun: np.ndarray
    shift: np.ndarray

    def radiance(self, directions: np.ndarray) -> np.ndarray:
        """Return linear RGB (N, 3) seen along unit `directions` (N, 3)."""
        height = np.clip(directions[:, 2], 0.0, 1.0)
        mix = (height**0.45)[:, None]
        color = self.horizon + (self.zenith - self.horizon) * mix
        toward = np.clip(directions @ self.sun, 0, 1)
        color = color + self.glow * (0.35 * toward**8 + 1.5 * toward**200)[:, None]
        place = directions[:, :2] / (height[:, None] + 0.12) * 0.22 + self.shift
        near = np.zeros(len(place))
        value = 0.75 * noise.sample("cloud", place, near)[:, 0] + 0.25 * noise.sample("cloud", place * 3.1, near)[:, 0]
        dense = np.clip((value - 0.62 + 0.3 * self.cover) * 5, 0, 1) * np.clip(height * 8, 0, 1)
        lit = self.cloud * (1.15 - 0.55 * dense)[:, None]
        return color + (lit - color) * (dense * 0.9)[:, None]


@dataclass(frozen=True)
class Fog:
    """Air that takes away light: `density` per meter; what is far takes the color `color` (linear RGB)."""

    density: float
    color: np.ndarray


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: world position, rotation whose columns are the camera's x (right), y (down), z (ahead).

    `field_of_view` is horizontal, in radians.
    """

    position: np.ndarray
    rotation: np.ndarray
    field_of_view: float

    def intrinsics(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Return fx, fy, cx, cy in pixels; pixel centers lie at whole numbers."""
        focal = width / 2 / float(np.tan(self.field_of_view / 2))
        return focal, focal, (width - 1) / 2, (height - 1) / 2

    def directions(self, height: int, width: int, places: np.ndarray) -> np.ndarray:
        """Return world directions (N, 3) of the rays through `places` (N, 2), (x, y) in pixels.

        Their component along the optical axis is 1: a ray's parameter is planar depth.
        """
        fx, fy, cx, cy = self.intrinsics(height, width)
        in_camera = np.stack([(places[:, 0] - cx) / fx, (places[:, 1] - cy) / fy, np.ones(len(places))], -1)
        return in_camera @ self.rotation.T


def looking(position: Sequence[float], heading: float, pitch: float, roll: float, field_of_view: float) -> Camera:
    """Return a camera at `position` that looks along `heading` (0 = y axis, to the left positive).

    `pitch` > 0 looks up, `roll` > 0 leans to the right; angles in radians.
    """
    level = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # camera x, y, z as columns: right, down, ahead
    turned = rotation_about("z", heading) @ rotation_about("x", pitch) @ rotation_about("y", roll)
    return Camera(np.asarray(position, float), turned @ level, field_of_view)


@dataclass(frozen=True)
class Scene:
    """Everything a picture needs but the choice of the view.

    `view(rng)` proposes a camera; `near` is the least depth in meters that a chosen view may show.
    At most the share `most_sky` of a view is sky, at most `most_of_one` is one part. `brightness` is what the
    middle gray of the picture is set to; `noise` is the sensor noise of a mid gray.
    """

    mesh: Mesh
    material_of_face: np.ndarray
    part_of_face: np.ndarray
    materials: tuple[Material, ...]
    lights: tuple[Sun | Lamp, ...]
    surroundings: Surroundings
    view: Callable[[np.random.Generator], Camera]
    near: float
    sky: Sky | None = None
    fog: Fog | None = None
    brightness: float = 0.4
    noise: float = 0.012
    most_sky: float = 0.6
    most_of_one: float = 0.6


@dataclass
class Parts:
    """The solids of a scene while it is being built."""

    rng: np.random.Generator
    meshes: list[Mesh] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)
    _material_numbers: list[int] = field(default_factory=list)

    def add(
        self,
        mesh: Mesh,
        material: Material,
        at: Sequence[float] = (0, 0, 0),
        heading: float = 0.0,
        aligned: bool = False,
    ) -> None:
        """Place `mesh`, turned by `heading` about the vertical, at the world position `at`.

        Surface coordinates are shifted by chance, so that no two parts show the same piece of a texture,
        unless `aligned`.
        """
        if heading:
            mesh = mesh.turned(heading)
        number = next((k for k, known in enumerate(self.materials) if known is material), len(self.materials))
        if number == len(self.materials):
            self.materials.append(material)
        self._material_numbers.append(number)
        shift = np.zeros(2) if aligned else self.rng.uniform(0, 50, 2)
        self.meshes.append(Mesh(mesh.corners + np.asarray(at, float), mesh.normals, mesh.uv + shift))

    def assembled(self) -> dict[str, object]:
        """Return the fields of Scene that the parts determine."""
        sizes = [len(mesh.corners) for mesh in self.meshes]
        names = ("corners", "normals", "uv")
        return {
            "mesh": Mesh(*(np.concatenate([getattr(mesh, name) for mesh in self.meshes]) for name in names)),
            "material_of_face": np.repeat(self._material_numbers, sizes),
            "part_of_face": np.repeat(np.arange(len(sizes)), sizes),
            "materials": tuple(self.materials),
        }


Model = tuple[tuple[Mesh, Material], ...]
"""An object of several materials, made once and placed often."""


def modeled(parts: Parts) -> Model:
    """Return the solids of `parts` as one mesh for each material."""
    numbers = parts.assembled()["material_of_face"]
    whole: Mesh = parts.assembled()["mesh"]
    return tuple(
        (Mesh(whole.corners[numbers == k], whole.normals[numbers == k], whole.uv[numbers == k]), material)
        for k, material in enumerate(parts.materials)
    )


@dataclass(frozen=True)
class Spot:
    """A place in the world with a heading, on which the parts of one object are put together."""

    parts: Parts
    at: Sequence[float]
    heading: float = 0.0

    def add(
        self,
        mesh: Mesh,
        material: Material,
        offset: Sequence[float] = (0, 0, 0),
        turn: float = 0.0,
        aligned: bool = False,
    ) -> None:
        """Add `mesh`, turned by `turn`, at `offset` from this place, both in the directions of its heading."""
        world = self.world(offset)
        self.parts.add(mesh, material, world, self.heading + turn, aligned)

    def place(self, model: Model, size: float) -> None:
        """Add all of `model`, `size` times as large as it was made."""
        for mesh, material in model:
            self.add(mesh.resized(size), material)

    def world(self, offset: Sequence[float]) -> np.ndarray:
        """Return the world position of `offset`."""
        return np.asarray(self.at, float) + rotation_about("z", self.heading) @ np.asarray(offset, float)
