"""`depth-anything plan`: what a training costs, before it is started."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from depth_model.networks.variants import VARIANTS
from tasks.commands.shared import purpose
from tasks.settings import params, presets
from tasks.workspace.paths import TEACHER

if TYPE_CHECKING:
    from depth_model.planning.plan import Work

PUBLISHED = "The authors report about 10 days on 128 V100 for ViT-L, 30,720 GPU-hours, without saying of which stages."


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand to the parser."""
    one = commands.add_parser("plan", help="what a training costs", description=purpose(plan))
    one.add_argument("--preset", help="a file of presets/ without .yaml (default: params.yaml)")
    one.add_argument("--encoder", choices=VARIANTS, help="another encoder for the student")
    one.add_argument("--device", default="v100", help="what runs the networks (default: v100)")
    one.add_argument("--workers", type=_positive, default=8, help="how many of them (default: 8)")
    one.add_argument("--cores", type=_positive, default=8, help="CPU cores beside each (default: 8)")
    for role in ("labeled", "unlabeled"):
        one.add_argument(f"--{role}", type=_positive, help=f"{role} images (default: the catalog's, else the paper's)")
    one.set_defaults(run=plan)


def plan(given: argparse.Namespace) -> None:
    """Print hours, device-hours, storage and traffic of each stage, the bottleneck, and where each figure is from.

    Without --preset the images are those of data/catalog; with it, and where there is no catalog, the paper's.
    Raises UserError for an unknown device, an encoder that was not measured on it and wrong parameters.
    """
    from depth_model.planning import scaling
    from depth_model.planning.plan import markdown, sources, stages

    settings = params.load() if given.preset is None else presets.load(presets.path_of(given.preset))
    work, counted = _work(settings, given)
    costs = stages(work, given.device, given.workers, given.cores)
    print(f"{work.labeled:,} labeled and {work.unlabeled:,} unlabeled images ({counted})")
    print(f"teacher {work.teacher}, student {work.student}; {given.workers} x {given.device}, {given.cores} cores each")
    print("\n" + markdown(costs, given.workers))
    if scaling.is_gpu(given.device):
        print("\nThe student on more GPUs:\n\n" + scaling.markdown(work, given.device))
    print("\n" + "\n".join(f"- {line}" for line in sources(given.device)))
    if work.student == "vitl":
        print(f"- {PUBLISHED}")


def _work(settings: params.Params, given: argparse.Namespace) -> tuple[Work, str]:
    from depth_model.planning.plan import Work

    counts, counted = _counts(given)
    student, pseudo = settings.student, settings.pseudo_label
    work = Work(
        labeled=counts["labeled"],
        unlabeled=counts["unlabeled"],
        teacher=settings.teacher.encoder,
        teacher_epochs=0 if settings.teacher.model else settings.teacher.epochs,
        teacher_batch=settings.teacher.batch,
        student=given.encoder or student.encoder,
        student_epochs=student.epochs,
        labeled_per_batch=student.labeled_per_batch,
        unlabeled_per_batch=student.unlabeled_per_batch,
        crop=settings.training.crop,
        label_side=pseudo.short_side,
        passes=len({str(TEACHER), *pseudo.teachers}) + (pseudo.quality == "flip"),
    )
    return work, counted


def _counts(given: argparse.Namespace) -> tuple[dict[str, int], str]:
    """Return the number of images of both roles, and where it is from."""
    from depth_model.planning.plan import table

    counts = {role: thousands * 1000 for role, thousands in table()["images"].items()}
    counted = "the paper's counts"
    paths = {role: Path("data/catalog", f"{role}.json") for role in counts}
    if given.preset is None and all(path.exists() for path in paths.values()):
        catalogs = {role: json.loads(path.read_text(encoding="utf-8")) for role, path in paths.items()}
        counts = {role: sum(one["samples"] for one in catalog.values()) for role, catalog in catalogs.items()}
        counted = "the catalogs"
    asked = {role: getattr(given, role) for role in counts if getattr(given, role) is not None}
    return counts | asked, "as given" if len(asked) == len(counts) else counted


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number above 0")
    return int(text)
