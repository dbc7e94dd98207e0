"""The command `depth-anything`: depth of your own pictures with a model of the pipeline.

`predict` gives the depth of pictures, `evaluate` measures a model on a labelled data set.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import yaml

from depth_model import files
from depth_model.datasets.sample import BadInput
from tasks import entry, params

if TYPE_CHECKING:
    import numpy as np

    from depth_model.networks import DepthAnything

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
COLORS = "Spectral_r"
NO_LIMIT = 2**31 - 1
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
    """Write for every picture a 16-bit grey PNG (disparity from its least to its largest, brighter is nearer), a
    coloured PNG and the disparity itself as float32 .npy.

    Raises StageError at the end for the pictures that could not be read.
    """
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


def evaluate(given: argparse.Namespace) -> None:
    """Print the metrics of a model, and of the best constant, on a folder that a reader understands.

    Raises StageError for a wrong reader, root or option, and when nothing could be measured.
    """
    from depth_model.datasets.source import SourceFolder
    from depth_model.evaluation.protocols import Protocol
    from depth_model.evaluation.relative import means
    from depth_model.inference import DepthPredictor
    from depth_model.training.loop import best_device
    from tasks.evaluate_relative import measured

    if given.minimum >= given.maximum:
        raise entry.StageError(f"--minimum {given.minimum:g} must be less than --maximum {given.maximum:g}")
    source = _source(given)
    predictor = DepthPredictor(load_model(given.model).to(best_device()), given.short_side)
    with TemporaryDirectory(prefix="depth-anything-") as temporary:
        folder = SourceFolder(_collected(source, Path(temporary)))
        protocol = Protocol(given.minimum, given.maximum)
        table, skipped = measured(given.reader, {"model": predictor}, folder, protocol)
    for reason, count in Counter(one["reason"] for one in skipped).items():
        print(f"not measured: {count} of {len(folder)} images: {reason}", file=sys.stderr)
    print("\n".join(_result_lines(means(table), table["key"].nunique())))


def _source(given: argparse.Namespace) -> params.Source:
    """Return the source that the command line describes, with its options checked."""
    from pydantic import ValidationError

    options = {key: yaml.safe_load(value) for key, value in given.options}
    try:
        source = params.Source(reader=given.reader, root=given.root, options=options)
        source.chosen_options()
    except ValidationError as error:
        faults = [(".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")) for one in error.errors()]
        raise entry.StageError("\n".join(f"{where}: {what}" if where else what for where, what in faults)) from error
    if given.root is not None and not Path(given.root).is_dir():
        raise entry.StageError(f"--root {given.root}: there is no such folder")
    return source


def _collected(source: params.Source, temporary: Path) -> Path:
    """Read the whole of `source` as the pipeline does, into `temporary`; say what was refused on stderr."""
    from depth_model.datasets import manifest, readers
    from depth_model.datasets.collecting import collect_source
    from depth_model.progress import progress_bar

    reader, root, options = readers.get(source.reader), Path(source.root or ""), source.chosen_options()
    with progress_bar("read", sum(1 for _ in reader.items(root, options)), "images") as bar:
        collect_source(
            reader,
            root,
            options,
            temporary / "scratch",
            temporary / "source",
            max_side=NO_LIMIT,
            minimum_side=1,
            samples_per_shard=64,
            workers=1,
            progress=lambda kept, refused: bar.update(kept + refused - bar.n),
        )
    refused = manifest.read_frame(temporary / "source" / manifest.QUARANTINE)
    for path, reason in zip(refused["source_path"], refused["reason"]):
        print(f"refused: {path}: {reason}", file=sys.stderr)
    return temporary / "source"


def _result_lines(figures: dict[str, dict[str, float]], images: int) -> Iterator[str]:
    yield f"{'':10}" + "".join(f"{metric:>10}" for metric in next(iter(figures.values())))
    for model, values in figures.items():
        yield f"{model:10}" + "".join(f"{value:10.4f}" for value in values.values())
    yield f"mean over {images} {'image' if images == 1 else 'images'}"


def _option(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text}: must be KEY=VALUE")
    return key, value


def _side(text: str) -> int:
    side = int(text)
    if side <= 0 or side % 14:
        raise argparse.ArgumentTypeError(f"{text}: must be a positive multiple of 14")
    return side


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: must be a positive number")
    return value


def _purpose(command: Callable[[argparse.Namespace], None]) -> str:
    return str(command.__doc__).partition("\n\n")[0]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="depth-anything", description=__doc__.partition("\n")[0])
    commands = top.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--model", required=True, help="a model folder, an official .pth, or models:/NAME@ALIAS")
    common.add_argument("--short-side", type=_side, default=518, help="shorter side for the network (default: 518)")
    one = commands.add_parser("predict", parents=[common], help="depth of pictures", description=_purpose(predict))
    one.add_argument("pictures", nargs="+", type=Path, help="pictures, or folders of them")
    one.add_argument("-o", "--out", type=Path, required=True, help="folder for the results")
    one.set_defaults(run=predict)
    one = commands.add_parser("evaluate", parents=[common], help="metrics on data", description=_purpose(evaluate))
    one.add_argument("--reader", required=True, help="the layout of the data, as in params.yaml (rgbd_folder, ...)")
    one.add_argument("--root", help="the folder of the data")
    one.add_argument("--options", nargs="*", type=_option, default=[], metavar="KEY=VALUE", help="of the reader")
    one.add_argument("--minimum", type=_positive, default=1e-3, help="depth in metres that counts (default: 0.001)")
    one.add_argument("--maximum", type=_positive, default=80.0, help="depth in metres that counts (default: 80)")
    one.set_defaults(run=evaluate)
    return top


def main() -> None:
    """Run the command."""
    given = parser().parse_args()
    entry.run(lambda: given.run(given))


if __name__ == "__main__":
    main()
