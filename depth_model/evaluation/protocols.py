"""What is measured on a set, and how, as data: one YAML file per set in `sets/`, with named variants.

A variant is what one group of authors does. `paper` is the recommended reading of Depth Anything's zero-shot tables,
whose code was never released; `midas`, `marigold` and `video-depth-anything` are the published procedures of those
works on the sets that they use, `marigold-published` with what Marigold's code does unintended and `moge` on the
truth as MoGe's bundle of sets has it; the others change one point that the paper leaves open. Variants with
`alignment: none` are for metric depth: `zoedepth` has every quirk of ZoeDepth's code, `clean` has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from depth_model.errors import BadInput
from depth_model.metrics.crops import CROPS
from depth_model.metrics.depth import FARTHEST, NEAREST

UNKNOWN_SCALE = ("relative_depth", "disparity")
ALIGNMENTS = ("disparity", "depth", "none")
CORRUPTIONS = ("fog", "night", "defocus_blur", "motion_blur", "noise", "jpeg")
"""Made by `corruptions`; named here, since parameters are checked without OpenCV."""
SEVERITIES = (1, 2, 3, 4, 5)
SETS = Path(__file__).with_name("sets")
DEFAULT, DEFAULT_METRIC = "paper", "zoedepth"


@dataclass(frozen=True)
class Protocol:
    """What counts as truth, what is done to the prediction, and what the network sees.

    Truth counts if minimum < depth < maximum (meters; depth = maximum too if `closed`) inside `crop` (see `crops`).
    `alignment` is the space of least squares: "disparity", "depth", or "none" for metric depth. Predicted depth is
    then clipped to `clip_minimum` and `clip_maximum`, by default the range that counts; 0 does not clip. With
    `clip_to_truth` it is clipped to the largest depth that counts in the image instead, and nowhere else.
    `farthest_ratio`: truth beyond so many times its own 1 % quantile does not count. `prediction_floor`: predicted
    disparity is raised to it before alignment. `positive_only`: only pixels of positive prediction are aligned on.
    `alignment_side`: align on a nearest-neighbor reduction of at most so many pixels a side; `alignment_columns`: of
    the columns only, by the share that the longer side asks for. `epsilon` is added to true depth when its disparity is
    taken.
    `image_crop` ("none" or "kb") cuts image and truth; then the image goes to `image_size` (height, width) or its
    shorter side to `image_short_side`, the truth keeps its size. `network_size` squashes the input of our networks;
    `flip_averaging` takes the mean with the mirrored image; `align_corners` says how the prediction is enlarged;
    `fill_invalid` takes a predicted NaN for the minimum and infinity for the maximum instead of refusing the image.
    `corruption`: what spoils the image that the model sees ("none", or one of CORRUPTIONS), as much as
    `severity` (1 to 5) says. `boundaries`: measure their sharpness too, `normals`: the surface normals too (both of
    dense truth only). `images` and `reader`, `options` say which images: how many the authors measure, the name of the
    reader and its options.
    """

    minimum: float = NEAREST
    maximum: float = FARTHEST
    closed: bool = False
    crop: str = "none"
    alignment: str = "disparity"
    clip_minimum: float | None = None
    clip_maximum: float | None = None
    clip_to_truth: bool = False
    farthest_ratio: float | None = None
    prediction_floor: float | None = None
    positive_only: bool = False
    alignment_side: int | None = None
    alignment_columns: bool = False
    epsilon: float = 0.0
    image_crop: str = "none"
    image_size: tuple[int, int] | None = None
    image_short_side: int | None = None
    network_size: tuple[int, int] | None = None
    flip_averaging: bool = False
    align_corners: bool = False
    fill_invalid: bool = False
    corruption: str = "none"
    severity: int = 3
    boundaries: bool = False
    normals: bool = False
    images: int | None = None
    reader: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = "generic"
    note: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for a name or a range that does not exist."""
        choices = {
            "crop": CROPS,
            "alignment": ALIGNMENTS,
            "image_crop": ("none", "kb"),
            "corruption": ("none", *CORRUPTIONS),
            "severity": SEVERITIES,
        }
        for key, allowed in choices.items():
            if getattr(self, key) not in allowed:
                raise ValueError(
                    f"{self.name}: {key} {getattr(self, key)!r}: choose one of {', '.join(map(str, allowed))}"
                )
        if not 0 <= self.minimum < self.maximum:
            raise ValueError(f"{self.name}: 0 <= minimum < maximum does not hold: {self.minimum}, {self.maximum}")
        farthest = self.maximum if self.clip_maximum is None else self.clip_maximum
        if not (self.clip_to_truth or math.isfinite(farthest)):
            raise ValueError(f"{self.name}: clip_maximum: an aligned prediction may be infinitely far; give a number")

    @property
    def is_metric(self) -> bool:
        """Whether predictions are meters, measured as they are."""
        return self.alignment == "none"


GENERIC = Protocol()
"""For a set without a protocol of its own (docs/paper.md 4.1, 4.2); validation inside training measures by it too."""


def set_names() -> list[str]:
    """Return the names of the sets that have protocols, sorted."""
    return sorted(path.stem for path in SETS.glob("*.yaml"))


def get(name: str) -> Protocol:
    """Return the protocol called `<set>/<variant>`, `<set>` (its variant `paper`, else `zoedepth`) or `generic`.

    Raises KeyError that lists the names there are.
    """
    if name == "generic":
        return GENERIC
    dataset, _, variant = name.partition("/")
    if dataset not in set_names():
        raise KeyError(f"no protocols of a set {dataset!r}; there are: {', '.join(set_names())}")
    known = variants(dataset)
    variant = variant or (DEFAULT if DEFAULT in known else DEFAULT_METRIC)
    if variant not in known:
        raise KeyError(f"no protocol {variant!r} of {dataset}; there are: {', '.join(known)}")
    return known[variant]


@cache
def variants(dataset: str) -> dict[str, Protocol]:
    """Return variant -> protocol of a set; a variant holds what differs from the set's `common` part.

    Raises ValueError that names the file for an unknown key.
    """
    import yaml

    path = SETS / f"{dataset}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        variant: _protocol(path, f"{dataset}/{variant}", content["common"] | changes)
        for variant, changes in content["variants"].items()
    }


def _protocol(path: Path, name: str, values: Mapping[str, Any]) -> Protocol:
    unknown = sorted(set(values) - {one.name for one in fields(Protocol)})
    if unknown:
        raise ValueError(f"{path.name}: {name}: unknown key {', '.join(unknown)}")
    pairs = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return replace(Protocol(name=name), **pairs)


def described(protocol: Protocol) -> dict[str, Any]:
    """Return the protocol as JSON values: its name and all that differs from the field's default."""
    default, values = Protocol(), {}
    for one in fields(Protocol):
        value = getattr(protocol, one.name)
        if one.name in ("name", "minimum", "maximum", "alignment") or value != getattr(default, one.name):
            values[one.name] = str(value) if value == math.inf else value
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def check_kind(kind: str | None) -> None:
    """Raise BadInput for a kind of target that leaves no depth: its disparity has an unknown shift."""
    if kind == "affine_disparity":
        raise BadInput("targets of kind affine_disparity have no depth to measure against, their shift is unknown")


def depth_range(depth: np.ndarray, kind: str, protocol: Protocol) -> tuple[float, float]:
    """Return the (minimum, maximum) that counts, for `depth` (n,) > 0.

    Where the scale is unknown, a range in meters means nothing: the range of the image's own truth stands in.
    """
    if kind not in UNKNOWN_SCALE or not depth.size:
        return protocol.minimum, protocol.maximum
    # A hair wider, because the range is open at both ends.
    return float(depth.min()) * (1 - 1e-6), float(depth.max()) * (1 + 1e-6)


def clip_range(low: float, high: float, kind: str, protocol: Protocol) -> tuple[float, float]:
    """Return the (minimum, maximum) to which predictions are clipped, where truth counts between `low` and `high`.

    Not with `protocol.clip_to_truth`: there it is (0, the largest depth that counts).
    """
    if kind in UNKNOWN_SCALE:
        return low, high
    least, most = protocol.clip_minimum, protocol.clip_maximum
    return low if least is None else least, high if most is None else most
