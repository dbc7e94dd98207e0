"""`depth-anything train`: from folders of images to a model of your own, through params.yaml and `dvc repro`.

A way in, not a second pipeline: it looks at the folders, writes params.yaml, starts DVC, and tells what came out. All
else is done by the stages, and can be edited and repeated without this command.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model import files
from depth_model.errors import UserError, named
from depth_model.networks.variants import VARIANTS
from depth_model.shown import shown
from tasks.commands import own_images
from tasks.commands.repro import check_project, reproduce
from tasks.commands.shared import positive, purpose
from tasks.settings import own, params
from tasks.settings.sections import Evaluation
from tasks.tracking.named_models import MODEL_NAMES, find_model

if TYPE_CHECKING:
    from depth_model.networks import DepthAnything
    from depth_model.planning.fitting import Fit, Machine
    from tasks.commands.own_images import Folder

PARAMS = Path("params.yaml")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TIME = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_NOT_OF_THE_RUN = {"-n", "--dry-run", "--force"}


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("train", help="a model of your own, from your images", description=purpose(train))
    one.add_argument("--images", required=True, metavar="DIR", help="images without depth, folders included")
    one.add_argument("--color", metavar="PATTERN", help="images with depth: 'rgb/*.png'")
    one.add_argument("--depth", metavar="PATTERN", help="their depth, * as in --color: 'depth/*.png'")
    one.add_argument("--unit", type=float, default=1000.0, help="stored value of one meter (default: 1000)")
    one.add_argument("--labels", metavar="DIR", help="folder of both patterns (default: what both begin with)")
    one.add_argument("--from", dest="start", metavar="MODEL", help=f"start from {MODEL_NAMES} (default: an encoder)")
    one.add_argument("--teacher", metavar="MODEL", help="what labels the images (default: one trained on the pairs)")
    one.add_argument("--size", choices=VARIANTS, help="of the new model (default: that of --from, or vits)")
    one.add_argument("--metric", type=positive, metavar="METERS", help="fine-tune to meters as well, up to so many")
    one.add_argument("--time", type=_seconds, default=3600.0, help="90s, 30m, 2h or 1d for everything (default: 1h)")
    one.add_argument("--gpu", metavar="CARD", help="plan and write for T4, L4, A10, A100, H100, 'RTX 4090'; run there")
    one.add_argument("-n", "--dry-run", action="store_true", help="show the plan, write nothing, run nothing")
    one.add_argument("--force", action="store_true", help="replace a params.yaml that is yours, or work it out anew")
    one.add_argument("-o", "--out", type=Path, metavar="FILE", help="write the parameters there, run nothing")
    one.set_defaults(run=train, reads=("images", "labels"))


def train(given: argparse.Namespace) -> None:
    """Train a model on your own images: look at them, write a params.yaml that fits them and the machine, run the
    pipeline, and say whether the new model is better than the old one.

    Without images with depth (--color, --depth) it distils: --teacher labels all. Stopped, the same command continues.
    Raises UserError for what is missing or does not fit, before anything runs.
    """
    check_project()
    command = shown(shlex.join(one for one in sys.argv[1:] if one not in _NOT_OF_THE_RUN))
    target = given.out or PARAMS
    kept = None if given.out or given.dry_run else _kept(target, command, given.force)
    if kept:
        print(kept)
    else:
        text = _planned(given, command)
        if given.dry_run:
            return
        files.write_text(target, text)
        print(f"\n{target} is written: every decision with its reason, to edit as you like.")
    if given.out or given.gpu:
        print("Nothing runs here." + " On the machine with this card: 'dvc repro'." * bool(given.gpu))
        return
    _run()


def _seconds(text: str) -> float:
    found = _TIME.fullmatch(text)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r}: a number and s, m, h or d: 90s, 30m, 2h, 1d")
    return float(found[1]) * UNITS[found[2]]


def _kept(path: Path, command: str, force: bool) -> str:
    """Return what is said of a params.yaml that stays, "" when it is to be written.

    It stays when this very command wrote it, so that the command continues, also where it was edited. Raises UserError
    for one of somebody else.
    """
    if force or not path.exists():
        return ""
    content = path.read_text(encoding="utf-8", errors="replace")
    unedited = own.is_unedited(content)
    if own.is_of(content, command):
        params.load(path)
        edited = "" if unedited else ", with what you edited"
        return f"{path} is of this command and stays as it is{edited}; --force works it out anew."
    if unedited:
        return ""
    raise UserError(
        f"{path}: was edited, not for this command; 'dvc repro' runs it, --force replaces it, -o FILE writes another"
    )


def _planned(given: argparse.Namespace, command: str) -> str:
    """Look at the folders and the machine, show what is planned, and return params.yaml."""
    from depth_model.planning import fitting

    images, labels = own_images.unlabeled(given.images), own_images.labeled(given)
    if labels is None and given.teacher is None:
        raise UserError("without --color and --depth the labels come from a teacher: name one with --teacher MODEL")
    print("\n".join(own_images.lines("images", images)))
    print("\n".join(own_images.lines("images with depth", labels)) if labels else "images with depth: none, it distils")
    models, start, teacher_size = _models(given)
    size = given.size or (start.encoder.size if start else "vits")
    teacher_size = teacher_size or size
    _check_size(given, size, start)
    machine = fitting.card(given.gpu) if given.gpu else fitting.this_machine({size, teacher_size})
    share, held_out = own_images.held_out(labels) if labels else (0.0, 0)
    wanted = fitting.Wanted(
        labeled=labels.listed if labels else 0,
        held_out=held_out,
        unlabeled=images.listed,
        short_side=min(one.short_side for one in (images, labels) if one),
        student=size,
        teacher=teacher_size,
        trains_teacher=given.teacher is None,
        sky=labels is not None and labels.shows_sky,
        metric=given.metric is not None,
        seconds=given.time,
    )
    fit = fitting.fit(wanted, machine)
    print("\n".join(_plan_lines(fit, machine, given.time)))
    if labels:
        print(_held_out_line(held_out, labels.listed))
    found = {one.partition("_")[0]: one for one in models}
    spread = start is not None and start.blocks == list(VARIANTS[size].out_indices("spread"))
    chosen = own.Choices(
        images=images.content,
        labels=labels.content if labels else None,
        held_out=share,
        unlabeled=wanted.unlabeled,
        models=models,
        start=found.get("start", ""),
        teacher=found.get("teacher", ""),
        size=size,
        out_indices="spread" if spread else "last",
        metric=given.metric,
        precision=machine.precision,
        sky=wanted.sky,
        fit=fit,
        told=_told(images, labels, machine, given),
    )
    return own.text(chosen, command)


def _models(given: argparse.Namespace) -> tuple[dict[str, str], DepthAnything | None, str | None]:
    """Return the models from elsewhere, name in params.yaml -> source; the one to start from; the size of the teacher.

    Names hold the content, so that another model under the same source is another model. Warns of licenses.
    """
    from tasks.resolve_model import provenance_of

    models, start, size = {}, None, None
    for role, option, source in (("start", "--from", given.start), ("teacher", "--teacher", given.teacher)):
        if source is None:
            continue
        with named(option):
            found = find_model(source)
        if warning := provenance_of(found, params.Model(source=found.origin)).warning:
            print(f"warning: {option} {source}: {warning}", file=sys.stderr)
        models[f"{role}_{files.sha256_of_json(files.hashes(found.path))[:8]}"] = found.origin
        model = _loaded(f"{option} {source}", found.path, may_be_any=role == "teacher")
        start, size = (model, size) if role == "start" else (start, model.encoder.size if model else None)
    return models, start, size


def _loaded(where: str, path: Path, may_be_any: bool) -> DepthAnything | None:
    """Return the relative Depth Anything at `path`, or None for another model where it may be any; raises UserError."""
    from depth_model.comparison import adapters
    from depth_model.networks import DepthAnything

    try:
        return DepthAnything.load(path)
    except (ValueError, UserError) as error:
        if not may_be_any:
            raise UserError(f"{where}: no relative Depth Anything to start from: {error}") from error
    with named(where, ValueError):
        adapters.load(str(path), adapters.Settings())
    return None


def _check_size(given: argparse.Namespace, size: str, start: DepthAnything | None) -> None:
    if start is not None and start.encoder.size != size:
        raise UserError(
            f"--size {size}: the model of --from {given.start} is a {start.encoder.size}; leave one of both out, "
            "or label with it: --teacher"
        )


def _plan_lines(fit: Fit, machine: Machine, wanted: float) -> Iterator[str]:
    yield f"\nplan for {machine.name} ({machine.row['source']})"
    batch = f"{fit.labeled_per_batch} + {fit.unlabeled_per_batch} images a step"
    yield f"  crop {fit.crop} pixels, {machine.precision}, {batch}"
    for name, seconds in fit.seconds.items():
        if seconds >= 1:
            yield f"  {name:20}{_duration(seconds):>10}"
    yield f"  {'all':20}{_duration(fit.total):>10} of {_duration(wanted)}, computed"
    yield f"  {'memory of a step':20}{fit.memory / 1e9:8.1f} GB of {machine.memory / 1e9:.1f} GB, computed"
    if fit.total > 1.05 * wanted:
        yield f"  the time is too short: {_duration(fit.total)} is the least that makes sense"


def _held_out_line(held_out: int, labeled: int) -> str:
    needed = Evaluation().minimum_images
    return f"  {'held out':20}{held_out:>10} of {labeled} pairs; {needed} are needed to tell what is better"


def _duration(seconds: float) -> str:
    unit, divisor = ("s", 1) if seconds < 120 else ("min", 60) if seconds < 7200 else ("h", 3600)
    return f"{seconds / divisor:.{int(unit == 'h')}f} {unit}"


def _told(images: Folder, labels: Folder | None, machine: Machine, given: argparse.Namespace) -> dict[str, str]:
    """Return the comments of params.yaml on what was worked out, by path of the key."""
    asked = f"to fit {_duration(given.time)} and {machine.name}"
    told = {
        f"sources.unlabeled.{own.IMAGES}": f"{images.listed} images",
        "training.crop": f"pixels; the largest {asked}",
        "training.precision": f"fp32 | bf16: what {machine.name} is best at",
        "student.epochs": f"over the unlabeled images, {asked}",
    }
    if labels:
        told[f"sources.labeled.{own.LABELS}"] = f"{labels.listed} pairs, {own_images.depth_range(labels)}"
        told["sky.segmenter"] = f"labels {'reach beyond' if labels.shows_sky else 'end within'} a room"
    if given.teacher is None:
        told["teacher.epochs"] = f"over the labeled images, {asked}"
    return told


def _run() -> None:
    """Run the pipeline and tell what came out."""
    from tasks.commands.summary import verdict

    print()
    reproduce()
    print("\n" + "\n".join([*verdict(), *_metric_lines(), *_where()]))


def _metric_lines() -> Iterator[str]:
    """Yield how the model in meters did on held-out images while it learned."""
    import pandas as pd

    for name in params.load().finetune_metric:
        table = pd.read_csv(Path("models/metric", name, "history.csv"))
        if "validation/abs_rel" in table:
            found = table["validation/abs_rel"].min()
            yield f"In meters, on held-out images: AbsRel {found:.3f} (models/metric/{name})."


def _where() -> Iterator[str]:
    yield "\nmodel    models/student, which transformers opens too"
    yield "report   reports/index.html"
    side = params.load().evaluation.short_side
    yield f"next     depth-anything predict PICTURE --model models/student --short-side {side} -o out/"
    yield "         depth-anything convert models/student --to onnx -o student.onnx"
    yield "         depth-anything runs"
