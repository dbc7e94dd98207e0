"""`depth-anything controlnet`: a ControlNet for depth, of the pipeline's images and pseudo labels (paper, figure 4)."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_model import files
from depth_model.controlnet.settings import TINY_SETTINGS, ControlNetSettings
from depth_model.errors import BadInput, UserError, named
from depth_model.settings import DOC
from tasks.commands.outputs import add_out
from tasks.commands.shared import purpose
from tasks.workspace.paths import catalog_path

if TYPE_CHECKING:
    from depth_model.controlnet.examples import Examples
    from tasks.tracking.mlflow_runs import Run

MODEL = "controlnet"
WEIGHTS = "diffusion_pytorch_model.safetensors"
FOLLOWING = "following.json"


def base_argument(one: argparse.ArgumentParser) -> None:
    """Add the option --base."""
    one.add_argument(
        "--base",
        default="tiny",
        help="Stable Diffusion 1 or 2: folder, hub id, or tiny: random weights (default: tiny)",
    )


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("controlnet", help="train a ControlNet on depth", description=purpose(controlnet))
    base_argument(one)
    one.add_argument("--caption", default="a photograph", help="of every image without its own (default: a photograph)")
    one.add_argument("--captions", type=Path, help="JSON file: source/key of an image -> its caption")
    for field in fields(ControlNetSettings):
        tiny = getattr(TINY_SETTINGS, field.name)
        defaults = f"{field.default:g}" if tiny == field.default else f"{field.default:g}, of the tiny base {tiny:g}"
        option = f"--{field.name.replace('_', '-')}"
        one.add_argument(option, type=type(field.default), help=f"{field.metadata[DOC]} (default: {defaults})")
    one.add_argument("--checkpoint-every", type=int, default=200, help="steps (default: 200)")
    add_out(one, "folder for the ControlNet, as diffusers loads it", "captions", "base")
    one.set_defaults(run=controlnet)


def controlnet(given: argparse.Namespace) -> None:
    """Train a ControlNet on the project's unlabeled images and their pseudo labels, write it as diffusers loads it,
    register it, and measure on images held out whether it follows its conditioning: the denoising loss with the right
    depth, with that of another image, and without. Stopped, the same command goes on.

    Raises UserError for a base that cannot be had, a project without pseudo labels, and wrong options.
    """
    from depth_model.controlnet.base import load_base
    from depth_model.controlnet.train import following, train_controlnet
    from tasks.tracking import mlflow_runs, registry
    from tasks.workspace.work import RUN_ID

    settings = _settings(given)
    base, examples = load_base(given.base), _examples(given, settings.side)
    made_from = asdict(settings) | {"base": given.base, "caption": given.caption, "captions": _hash(given.captions)}
    scratch = given.out / "checkpoints" / files.sha256_of_json(made_from)[:12]
    scratch.mkdir(parents=True, exist_ok=True)
    tags = mlflow_runs.run_tags(MODEL, files.sha256_of_json(made_from))
    with mlflow_runs.kept_run(scratch / RUN_ID, scratch / mlflow_runs.POINTS, f"{MODEL}-{given.base}", tags) as run:
        _log_inputs(run, made_from)
        arguments = base, examples, settings, scratch, run.metric_callback, given.checkpoint_every
        trained = train_controlnet(*arguments)
        figures = following(base, trained, examples, settings) if settings.held_out > 1 else {}
        run.log_metrics({f"following/{name}": value for name, value in figures.items()})
        _write(given.out, trained, made_from | {"following": figures})
        version = registry.register_files(MODEL, _result(given.out, scratch), files.sha256(given.out / WEIGHTS), run)
    print(f"{registry.registered_name(MODEL)} version {version}: {given.out}")
    print(_said(figures), file=sys.stderr)


def _settings(given: argparse.Namespace) -> ControlNetSettings:
    from pydantic import TypeAdapter, ValidationError

    start = TINY_SETTINGS if given.base == "tiny" else ControlNetSettings()
    names = [field.name for field in fields(ControlNetSettings)]
    chosen = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    settings = replace(start, **chosen)
    try:
        return TypeAdapter(ControlNetSettings).validate_python(asdict(settings))
    except ValidationError as error:
        faults = [f"--{str(one['loc'][0]).replace('_', '-')}: {one['msg']}" for one in error.errors()]
        raise UserError("\n".join(faults)) from error


def _examples(given: argparse.Namespace, side: int) -> Examples:
    from depth_model.controlnet.examples import Examples
    from tasks.training.stage import pool

    if not catalog_path("pseudo").is_file():
        raise UserError(f"{catalog_path('pseudo')} is not there: 'dvc repro validate_pseudo' makes pseudo labels first")
    captions: Any = {}
    if given.captions is not None:
        with named(f"--captions {given.captions}", OSError, ValueError):
            captions = files.read_json(given.captions)
        if not isinstance(captions, dict) or not all(isinstance(one, str) for one in captions.values()):
            raise BadInput(f"--captions {given.captions}: must be a mapping of source/key to text")
    return Examples(pool("unlabeled", "pseudo"), side, given.caption, captions)


def _hash(path: Path | None) -> str:
    return "" if path is None else files.sha256(path)


def _log_inputs(run: Run, made_from: dict[str, Any]) -> None:
    from tasks.tracking import mlflow_runs

    client = mlflow_runs.connect()
    for name, value in mlflow_runs.flatten(made_from, f"{MODEL}.").items():
        client.log_param(run.id, name, value)
    for role in ("unlabeled", "pseudo"):
        mlflow_runs.log_data_sets(client, run.id, catalog_path(role))


def _write(folder: Path, trained: Any, facts: dict[str, Any]) -> None:
    """Write the ControlNet as `save_pretrained` of diffusers would, but atomically, and what was found of it."""
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in trained.state_dict().items()}
    files.write_bytes(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    files.write_text(folder / "config.json", trained.to_json_string())
    files.write_json(folder / FOLLOWING, facts)


def _result(folder: Path, scratch: Path) -> Path:
    """Return a folder with what was made alone, without checkpoints."""
    place = scratch / "result"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name in (WEIGHTS, "config.json", FOLLOWING):
        os.link(folder / name, place / name)
    return place


def _said(figures: dict[str, float]) -> str:
    if not figures:
        return "fewer than two images are held out: not measured"
    return (
        "denoising loss on {images} images held out: {right:.4f} with their depth, {shuffled:.4f} with that of "
        "another, {none:.4f} without a ControlNet; another's depth costs {difference:.4f} ± {standard_error:.4f}"
    ).format(**figures)
