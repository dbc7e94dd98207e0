"""The command `depth-anything`: depth of your own pictures with a model of the pipeline.

`predict` writes for every picture a 16-bit grey PNG (relative disparity, brighter is nearer), a coloured PNG and
the disparity itself as float32 `.npy`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model import files
from depth_model.datasets.sample import BadInput
from tasks import entry

if TYPE_CHECKING:
    import numpy as np

    from depth_model.networks import DepthAnything

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
COLORS = "Spectral_r"
WEIGHTS = "model"
"""The artifact of a registered model that holds config.json and model.safetensors (see tasks.register)."""


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


def load_model(name: str) -> DepthAnything:
    """Load a model by folder, official `.pth` file or registry name (`models:/depth-anything-student@champion`).

    Raises StageError for a name that leads nowhere or to a file that is no such model.
    """
    from depth_model.networks import BadCheckpoint, DepthAnything

    folder = _registered(name) if name.startswith("models:/") else Path(name)
    if not folder.exists():
        raise entry.StageError(f"--model {name}: there is no such file or folder")
    try:
        return DepthAnything.load(folder)
    except BadCheckpoint as error:
        raise entry.StageError(f"--model {name}: {error}") from error


def _registered(name: str) -> Path:
    from tasks import tracking

    uri = tracking.tracking_uri()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise entry.StageError(
            f"--model {name}: there is no registry at {uri}; run in the project's folder, or set MLFLOW_TRACKING_URI"
        )
    tracking.connect()
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        stored = Path(mlflow.artifacts.download_artifacts(artifact_uri=name))
        flavors = mlflow.models.Model.load(str(stored)).flavors
    except MlflowException as error:
        reason = str(error).splitlines()[0]
        raise entry.StageError(f"--model {name}: not found at {uri}: {reason}") from error
    weights = flavors.get("python_function", {}).get("artifacts", {}).get(WEIGHTS)
    if weights is None:
        raise entry.StageError(f"--model {name}: was not registered by this pipeline (no artifact {WEIGHTS!r})")
    return stored / weights["path"]


def write_disparity(disparity: np.ndarray, stem: Path) -> None:
    """Write float32 `disparity` (H, W) as `<stem>.npy`, and scaled to its own range as `.png` and `.color.png`."""
    import io

    import numpy as np
    from matplotlib import colormaps
    from PIL import Image

    low, high = float(disparity.min()), float(disparity.max())
    share = (disparity - low) / max(high - low, np.finfo(np.float32).tiny)
    colored = (colormaps[COLORS](share)[:, :, :3] * 255).round().astype(np.uint8)
    grey = (share * 65535).round().astype(np.uint16)
    for suffix, picture in ((".png", Image.fromarray(grey)), (".color.png", Image.fromarray(colored))):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        files.write_bytes(stem.with_name(stem.name + suffix), buffer.getvalue())
    buffer = io.BytesIO()
    np.save(buffer, disparity)
    files.write_bytes(stem.with_name(stem.name + ".npy"), buffer.getvalue())


def predict(given: argparse.Namespace) -> None:
    """Write the depth of every picture; raises StageError at the end if some could not be read."""
    from depth_model.inference import DepthPredictor, rgb
    from depth_model.progress import progress_bar
    from depth_model.training.loop import best_device

    found = pictures(given.pictures)
    if not found:
        raise entry.StageError(f"no picture ({', '.join(SUFFIXES)}) was found in what you named")
    predictor = DepthPredictor(load_model(given.model).to(best_device()), given.short_side)
    refused = []
    with progress_bar("predict", len(found), "pictures") as bar:
        for place, path in found.items():
            try:
                image = rgb(path)
            except (BadInput, OSError) as error:
                refused.append(f"{path}: {getattr(error, 'strerror', None) or error}")
            else:
                # The suffix stays in the name: a.jpg and a.png are two pictures.
                write_disparity(predictor(image), given.out / place)
            bar.update()
    if refused:
        raise entry.StageError("\n".join(refused))
    print(f"{len(found)} pictures: {os.path.relpath(given.out)}", file=sys.stderr)


def _side(text: str) -> int:
    side = int(text)
    if side <= 0 or side % 14:
        raise argparse.ArgumentTypeError(f"{text}: must be a positive multiple of 14")
    return side


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="depth-anything", description=__doc__.partition("\n")[0])
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser("predict", help="depth of pictures", description=__doc__)
    one.add_argument("pictures", nargs="+", type=Path, help="pictures, or folders of them")
    one.add_argument("--model", required=True, help="a model folder, an official .pth, or models:/NAME@ALIAS")
    one.add_argument("-o", "--out", type=Path, required=True, help="folder for the results")
    one.add_argument("--short-side", type=_side, default=518, help="shorter side for the network, a multiple of 14")
    one.set_defaults(run=predict)
    return top


def main() -> None:
    """Run the command."""
    given = parser().parse_args()
    entry.run(lambda: given.run(given))


if __name__ == "__main__":
    main()
