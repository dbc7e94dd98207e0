"""`depth-anything evaluate`: the metrics of a model on labelled data that a reader understands."""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from tasks import entry, params
from tasks.commands.shared import load_model, model_arguments, purpose

NO_LIMIT = 2**31 - 1


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser(
        "evaluate", parents=[model_arguments()], help="metrics on data", description=purpose(evaluate)
    )
    one.add_argument("--reader", required=True, help="the layout of the data, as in params.yaml (rgbd_folder, ...)")
    one.add_argument("--root", help="the folder of the data")
    one.add_argument("--options", nargs="*", type=_option, default=[], metavar="KEY=VALUE", help="of the reader")
    one.add_argument("--minimum", type=_positive, default=1e-3, help="depth in metres that counts (default: 0.001)")
    one.add_argument("--maximum", type=_positive, default=80.0, help="depth in metres that counts (default: 80)")
    one.set_defaults(run=evaluate)


def evaluate(given: argparse.Namespace) -> None:
    """Print the metrics of a model, and of the best constant, on a folder that a reader understands.

    Raises StageError for a wrong reader, root or option, and when nothing could be measured.
    """
    from depth_model.datasets.source import SourceFolder
    from depth_model.evaluation.cases import CollectedCases
    from depth_model.evaluation.estimator import of_predictor
    from depth_model.evaluation.harness import means
    from depth_model.evaluation.protocols import Protocol
    from depth_model.inference import DepthPredictor
    from depth_model.training.loop import best_device
    from tasks.evaluate_relative import measured

    if given.minimum >= given.maximum:
        raise entry.StageError(f"--minimum {given.minimum:g} must be less than --maximum {given.maximum:g}")
    source = _source(given)
    predictor = DepthPredictor(load_model(given.model).to(best_device()), given.short_side)
    with TemporaryDirectory(prefix="depth-anything-") as temporary:
        folder = CollectedCases(SourceFolder(_collected(source, Path(temporary))))
        protocol = Protocol(given.minimum, given.maximum)
        table, skipped = measured(given.reader, {"model": of_predictor(predictor)}, folder, protocol)
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
    with progress_bar("read", sum(1 for _ in reader.listed(root, options)), "images") as bar:
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


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: must be a positive number")
    return value
