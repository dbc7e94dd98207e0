"""`depth-anything evaluate`: the metrics of any depth model on a set, by a named protocol."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from depth_model.errors import UserError
from depth_model.settings import Space
from tasks.commands.outputs import add_out
from tasks.commands.shared import (
    checked_source,
    key_value,
    model_path,
    positive,
    purpose,
    side,
    value_of,
    version_argument,
)
from tasks.settings import params
from tasks.tracking.named_models import MODEL_NAMES

if TYPE_CHECKING:
    from depth_model.comparison.adapters import Settings
    from depth_model.evaluation.protocols import Protocol


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("evaluate", help="metrics on data", description=purpose(evaluate))
    one.add_argument(
        "--model",
        action="append",
        default=[],
        help=f"{MODEL_NAMES}, or with --predictions a folder of predictions; "
        "as NAME=MODEL to name it; several are compared with the first",
    )
    _add_data(one)
    _add_protocol(one)
    one.add_argument("--short-side", type=side, default=518, help="of our networks' input (default: 518)")
    one.add_argument(
        "--predictions", choices=get_args(Space), help="folders without a model hold predictions in this space"
    )
    one.add_argument("--unit", type=positive, default=1.0, help="stored predictions are divided by it (default: 1)")
    one.add_argument("--model-maximum", type=positive, help="meters a metric file is for whose name does not say")
    version_argument(one)
    _add_robustness(one)
    one.add_argument("--processes", type=_count, default=1, help="at once, one core each (default: 1)")
    add_out(one, "for results (default: evaluation)", "root", "model", "checkpoints", default=Path("evaluation"))
    one.add_argument("--no-pictures", action="store_true", help="leave out examples and worst twenty")
    one.add_argument("--calibrate", action="store_true", help="measure published checkpoints beside Table 2")
    one.add_argument("--checkpoints", type=Path, help="of --calibrate: folder of the published files")
    one.add_argument("--hub", action="store_true", help="of --calibrate: fetch from the model hub what is not there")
    one.set_defaults(run=evaluate)


def _add_data(one: argparse.ArgumentParser) -> None:
    one.add_argument("--set", help="a set with protocols: kitti, nyu, sintel, ddad, eth3d, diode, …; or da2k")
    one.add_argument("--reader", help="instead of --set: the layout of the data, as in params.yaml (rgbd_folder, ...)")
    one.add_argument("--root", help="the folder of the data")
    one.add_argument("--options", nargs="*", type=key_value, default=[], metavar="KEY=VALUE", help="of the reader")
    one.add_argument("--list", type=Path, help="file that names the images, one a line: of the official split, say")


def _add_protocol(one: argparse.ArgumentParser) -> None:
    one.add_argument("--protocol", help="a variant of the set: paper (default), midas, marigold, …")
    one.add_argument("--metric", action="store_true", help="metric depth: by default the variant zoedepth")
    one.add_argument(
        "--change", nargs="*", type=key_value, default=[], metavar="KEY=VALUE", help="of the protocol, crop=none say"
    )
    one.add_argument("--minimum", type=positive, help="depth in meters that counts")
    one.add_argument("--maximum", type=positive, help="depth in meters that counts")


def _add_robustness(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--robustness",
        nargs="*",
        metavar="KIND",
        help="measure on corrupted images too, by default each of: fog, night, defocus_blur, motion_blur, noise, jpeg",
    )
    one.add_argument("--severities", nargs="+", type=_count, default=[1, 3, 5], help="1 to 5 (default: 1 3 5)")


def evaluate(given: argparse.Namespace) -> None:
    """Print the metrics of models on a set, with bootstrap intervals and the difference to the first model; write a
    table of every image (Parquet), a summary, examples and the worst twenty as pictures. Stopped, the same command goes
    on.

    Raises UserError for a wrong model, set, protocol, reader, root or option, and when nothing could be measured.
    """
    from depth_model.comparison.compare import Plan, compare, draw
    from depth_model.evaluation.summary import summary_lines
    from tasks.commands import evaluate_pairs, evaluate_published, evaluate_robustness
    from tasks.commands.evaluate_run import chosen_cases, tell, titles

    if given.calibrate:
        evaluate_published.measure_published(given)
        return
    if not given.model:
        raise UserError("--model: name at least one")
    if given.set == evaluate_pairs.SET:
        evaluate_pairs.evaluate_pairs_of(given)
        return
    protocol = chosen_protocol(given)
    cases = chosen_cases(_source(given, protocol), given.list)
    models = {title: str(model_path(model)) for title, model in titles(given.model).items()}
    folder = given.out / (given.set or given.reader) / protocol.name.rpartition("/")[2]
    plan = Plan(
        given.set or given.reader, models, settings_of(given, protocol), cases, protocol, folder, given.processes
    )
    if given.robustness is not None:
        evaluate_robustness.measure_robustness(plan, given)
        return
    summary, table = compare(plan)
    tell(plan, summary, table)
    if not given.no_pictures:
        draw(plan, table)
    print("\n".join(summary_lines(summary)))
    print(os.path.relpath(folder), file=sys.stderr)


def settings_of(given: argparse.Namespace, protocol: Protocol) -> Settings:
    """Return how models are run, by the command line and the protocol."""
    from depth_model.comparison.adapters import Settings

    return Settings(
        given.short_side, protocol.network_size, given.model_maximum, given.version, given.predictions, given.unit
    )


def chosen_protocol(given: argparse.Namespace) -> Protocol:
    """Return the protocol that the command line describes; raises UserError for one that there is not."""
    from depth_model.evaluation import protocols
    from tasks.commands.evaluate_run import changed

    if (given.set is None) == (given.reader is None):
        raise UserError("name the data by one of --set (with protocols) and --reader (any layout)")
    variant = given.protocol or (protocols.DEFAULT_METRIC if given.metric and given.set else "")
    try:
        protocol = protocols.get(f"{given.set}/{variant}".rstrip("/") if given.set else variant or "generic")
    except KeyError as error:
        raise UserError(f"--protocol {variant or given.set}: {error.args[0]}") from error
    if given.metric and not given.set and not given.protocol:
        protocol = replace(protocol, alignment="none", name="generic-metric")
    if given.metric and not protocol.is_metric:
        raise UserError(f"--protocol {protocol.name} aligns predictions: it is not for metric depth")
    changes = [(name, str(value)) for name in ("minimum", "maximum") if (value := getattr(given, name)) is not None]
    if given.minimum and given.maximum and given.minimum >= given.maximum:
        raise UserError(f"--minimum {given.minimum:g} must be less than --maximum {given.maximum:g}")
    return changed(protocol, [*changes, *given.change])


def _source(given: argparse.Namespace, protocol: Protocol) -> params.Source:
    """Return the source that the command line describes, with its options checked."""
    own = {key: value_of(value) for key, value in given.options}
    options = {**protocol.options, **own} if given.set else own
    source = checked_source(given.reader or str(protocol.reader), given.root, options)
    if given.root is not None and not Path(given.root).is_dir():
        raise UserError(f"--root {given.root}: there is no such folder")
    return source


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return value
