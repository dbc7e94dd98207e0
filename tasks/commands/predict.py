"""`depth-anything predict`: depth of pictures, as files that people and programs open."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model import files
from depth_model.datasets.sample import BadInput
from tasks import entry
from tasks.commands.shared import load_model, model_arguments, purpose

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
COLORS = "Spectral_r"
FARTHEST = 10.0


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser(
        "predict", parents=[model_arguments()], help="depth of pictures", description=purpose(predict)
    )
    one.add_argument("pictures", nargs="+", type=Path, help="pictures, or folders of them")
    one.add_argument("-o", "--out", type=Path, required=True, help="folder for the results")
    one.add_argument("--flip-averaging", action="store_true", help="mean with the mirrored image, twice the time")
    one.add_argument(
        "--preprocessing",
        choices=["official", "transformers"],
        default="official",
        help="how images are resized: as the authors do (default), or as a transformers pipeline does",
    )
    one.add_argument("--tile", type=_pixels, help="of larger pictures, add the detail of tiles of so many pixels")
    one.add_argument("--colors", type=_color_map, default=COLORS, help=f"matplotlib's colour map (default: {COLORS})")
    one.add_argument("--side-by-side", action="store_true", help="coloured PNG with the picture to its left")
    one.add_argument(
        "--field-of-view", type=_within(0, 180), help="horizontal angle in degrees: write a point cloud (.ply) too"
    )
    one.add_argument(
        "--farthest",
        type=_within(1, float("inf")),
        default=FARTHEST,
        help=f"depth of the farthest point of a cloud, that of the nearest being 1 (default: {FARTHEST:g})",
    )
    one.set_defaults(run=predict)


def pictures(given: list[Path]) -> dict[Path, Path]:
    """Return place among the results -> picture, of files and of everything below folders, in order.

    A picture found in a folder keeps its place below that folder. Raises StageError for a path that is not there
    and for two pictures with one place, of which one would overwrite the other.
    """
    found: dict[Path, Path] = {}
    for path, place in _found(given):
        if found.setdefault(place, path) != path:
            raise entry.StageError(
                f"{found[place]} and {path} would both be written to {place}; name the folder above them instead"
            )
    return found


def _found(given: list[Path]) -> Iterator[tuple[Path, Path]]:
    for path in given:
        if not path.exists():
            raise entry.StageError(f"{path}: there is no such file or folder")
        if path.is_file():
            yield path, Path(path.name)
            continue
        for one in sorted(path.rglob("*")):
            if one.is_file() and one.suffix.lower() in SUFFIXES:
                yield one, one.relative_to(path)


def write_disparity(disparity: np.ndarray, stem: Path, colors: str = COLORS, beside: np.ndarray | None = None) -> None:
    """Write float32 `disparity` (H, W) as `<stem>.npy`, and scaled to its own range as `.png` and `.color.png`, the
    latter in the colour map `colors` of matplotlib and to the right of the image `beside` (H, W, 3) uint8 if given."""
    import io

    import numpy as np
    from matplotlib import colormaps
    from PIL import Image

    low, high = float(disparity.min()), float(disparity.max())
    share = (disparity - low) / max(high - low, np.finfo(np.float32).tiny)
    colored = (colormaps[colors](share)[:, :, :3] * 255).round().astype(np.uint8)
    colored = colored if beside is None else np.concatenate([beside, colored], axis=1)
    grey = (share * 65535).round().astype(np.uint16)
    for suffix, picture in ((".png", Image.fromarray(grey)), (".color.png", Image.fromarray(colored))):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        files.write_bytes(stem.with_name(stem.name + suffix), buffer.getvalue())
    buffer = io.BytesIO()
    np.save(buffer, disparity)
    files.write_bytes(stem.with_name(stem.name + ".npy"), buffer.getvalue())


def _write(disparity: np.ndarray, image: np.ndarray, stem: Path, given: argparse.Namespace) -> None:
    from depth_model.point_cloud import ply, points, relative_depth

    write_disparity(disparity, stem, given.colors, image if given.side_by_side else None)
    if given.field_of_view is not None:
        places = points(relative_depth(disparity, given.farthest), given.field_of_view)
        files.write_bytes(stem.with_name(stem.name + ".ply"), ply(places, image))


def predict(given: argparse.Namespace) -> None:
    """Write for every picture a 16-bit grey PNG (disparity from its least to its largest, brighter is nearer), a
    coloured PNG and the disparity itself as float32 .npy; with a field of view also a coloured point cloud, .ply.

    Raises StageError at the end for the pictures that could not be read.
    """
    from depth_model.inference import DepthPredictor, inference_device, rgb
    from depth_model.progress import progress_bar

    found = pictures(given.pictures)
    if not found:
        raise entry.StageError(f"no picture ({', '.join(SUFFIXES)}) was found in what you named")
    model = load_model(given.model).to(inference_device())
    predictor = DepthPredictor(
        model,
        given.short_side,
        flip_averaging=given.flip_averaging,
        preprocessing=given.preprocessing,
        tile=given.tile,
    )
    refused = []
    with progress_bar("predict", len(found), "pictures") as bar:
        for place, path in found.items():
            try:
                image = rgb(path)
            except (BadInput, OSError) as error:
                refused.append(f"{path}: {getattr(error, 'strerror', None) or error}")
            else:
                # The suffix stays in the name: a.jpg and a.png are two pictures.
                _write(predictor(image), image, given.out / place, given)
            bar.update()
    if refused:
        raise entry.StageError("\n".join(refused))
    print(f"{len(found)} pictures: {os.path.relpath(given.out)}", file=sys.stderr)


def _color_map(name: str) -> str:
    from difflib import get_close_matches

    from matplotlib import colormaps

    if name not in colormaps:
        near = get_close_matches(name, list(colormaps), n=3) or [COLORS]
        raise argparse.ArgumentTypeError(f"{name}: matplotlib has no such colour map; perhaps {', '.join(near)}")
    return name


def _within(low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not low < value < high:
            raise argparse.ArgumentTypeError(f"{text}: must be above {low:g} and below {high:g}")
        return value

    return number


def _pixels(text: str) -> int:
    value = int(text)
    if value < 14:
        raise argparse.ArgumentTypeError(f"{text}: a tile has at least 14 pixels")
    return value
