"""Ablations on one GPU without DVC: render, teacher, pseudo labels, students, evaluation, in one process.

    python benchmarks/gpu_ablation.py --scale gpu --weights weights.safetensors    # as many seeds as time allows
    python benchmarks/gpu_ablation.py --scale dry --out dry.jsonl                  # the same code on a CPU
    python benchmarks/gpu_ablation.py --tables auxiliary                           # another table than 9 and 12

The setting is `presets/ablation.yaml` with the changes of its scale (SCALES). Unlike the pipeline it leaves no image
out as a near duplicate, and it needs `depth_model` alone. A line of results/ablations.jsonl follows each student; what
stands there with the same setting is not made again. A run that is cut leaves what it had.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from depth_model import files, readers
from depth_model.comparison.ablations import RESULTS, read_results
from depth_model.evaluation import protocols
from depth_model.evaluation.cases import CollectedCases
from depth_model.evaluation.harness import evaluate
from depth_model.evaluation.summary import means
from depth_model.memory import keep_freed_memory
from depth_model.networks import DepthAnything
from depth_model.networks.device import inference_device
from depth_model.prediction.estimator import of_predictor
from depth_model.prediction.predictor import DepthPredictor
from depth_model.pseudo_label.labeling import Labeling, label_source
from depth_model.pseudo_label.settings import LabelSettings
from depth_model.reading.collecting import collect_source
from depth_model.shards.pool import SamplePool
from depth_model.shards.source import SourceFolder
from depth_model.sky.class_maps import ClassMapping, map_source
from depth_model.sky.masks import Masking, mask_source
from depth_model.training import collapse
from depth_model.training.settings import (
    AlignmentSettings,
    FeatureAlignment,
    StudentSettings,
    TeacherSettings,
    TrainingMachine,
    TrainingSettings,
)
from depth_model.training.student import train_student
from depth_model.training.teacher import train_teacher
from experiments.results import TABLES, Row, add_result

DEFAULT = ("table-9", "table-12")
PRESET = Path("presets/ablation.yaml")
SCALES: dict[str, tuple[str, ...]] = {
    "preset": (),
    # Twice the images, batches of 16 and 48, 252 pixels; students take 1.5 times as many steps as their teacher.
    "gpu": (
        *("images=2.0", "training.crop=252", "pseudo_label.short_side=252", "pseudo_label.batch=32"),
        *("teacher.batch=16", "teacher.epochs=10", "student.labeled_per_batch=16", "student.unlabeled_per_batch=32"),
        "student.epochs=30.0",
    ),
    "dry": (
        *(
            "images=0.01",
            "picture=[64, 96]",
            "weights=none",
            "training.crop=56",
            "pseudo_label.short_side=56",
            "short_side=56",
        ),
        *("teacher.encoder=tiny", "teacher.epochs=1", "teacher.batch=4", "feature_alignment.block=3"),
        *("student.encoder=tiny", "student.epochs=1.0", "student.labeled_per_batch=2", "student.unlabeled_per_batch=4"),
    ),
}
"""What a scale changes; `images` multiplies the numbers of rendered training images."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The parameters of the preset that matter here, beside `images` (see SCALES); `short_side` is that of evaluation,
    `picture` height and width of what is rendered, all in pixels."""

    sources: Mapping[str, Mapping[str, Any]]
    class_map: Mapping[str, str]
    collect: Mapping[str, int]
    weights: str
    short_side: int
    images: float = 1.0
    picture: Sequence[int] = (192, 256)
    alpha: float = 0.85
    training: TrainingSettings = field(default_factory=TrainingSettings)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    pseudo_label: LabelSettings = field(default_factory=LabelSettings)
    student: StudentSettings = field(default_factory=StudentSettings)
    feature_alignment: AlignmentSettings = field(default_factory=AlignmentSettings)


def setting_of(changes: Sequence[str]) -> Setting:
    """Return the setting of the preset with `changes`, each "key=value" or "section.key=value"."""
    content = yaml.safe_load(PRESET.read_text(encoding="utf-8"))
    setting = Setting(
        sources=content["sources"],
        class_map=content["class_map"],
        collect=content["collect"],
        weights=content["encoder"]["weights"],
        short_side=content["evaluation"]["short_side"],
        training=TrainingSettings(**content["training"]),
        teacher=TeacherSettings(**content["teacher"]),
        pseudo_label=LabelSettings(**content["pseudo_label"]),
        student=StudentSettings(**content["student"]),
        feature_alignment=AlignmentSettings(**content["feature_alignment"]),
    )
    return changed(setting, changes)


def changed(setting: Any, changes: Sequence[str]) -> Any:
    """Return `setting` with "path=value" changed for each of `changes`; raises TypeError for a key it has not."""
    for change in changes:
        path, _, value = change.partition("=")
        name, _, rest = path.partition(".")
        new = changed(getattr(setting, name), [f"{rest}={value}"]) if rest else yaml.safe_load(value)
        setting = replace(setting, **{name: new})
    return setting


def code() -> str:
    """Return the SHA-256 of the code that measures, which needs no git."""
    paths = [*sorted(Path("depth_model").rglob("*.py")), Path("benchmarks", Path(__file__).name)]
    return files.sha256_of_json([[path.as_posix(), files.sha256(path)] for path in paths])


def rows(tables: Sequence[str]) -> list[tuple[str, Row]]:
    """Return table and row of all students."""
    return [(table, row) for table in tables for row in TABLES[table]]


class Small:
    """The small world in a folder, collected once, and the models that are learned on it."""

    def __init__(self, setting: Setting, folder: Path, workers: int) -> None:
        self.setting, self.folder, self.data, self.workers = setting, folder, folder / "data", workers
        self.machine = TrainingMachine(workers=0 if workers < 3 else min(14, workers - 2), checkpoint_every=10**9)
        roles = ("labeled", "unlabeled", "evaluation")
        each = [(role, *one) for role in roles for one in setting.sources[role].items()]
        with ThreadPoolExecutor(1 if workers == 1 else len(each)) as beside:  # workers start slowly, so all at once
            list(beside.map(lambda one: self._collect(*one), each))

    def _collect(self, role: str, name: str, source: Mapping[str, Any]) -> None:
        reader, options = readers.get(source["reader"]), dict(source["options"])
        if "count" in options and (role != "evaluation" or self.setting.images < 1):
            options["count"] = max(2, round(options["count"] * self.setting.images))
        if "count" in options:
            options |= dict(zip(("height", "width"), self.setting.picture, strict=True))
        result, scratch = self.data / role / name, self.folder / "scratch" / role / name
        sizes = {"max_side": self.setting.collect["max_side"], "minimum_side": 32, "workers": max(1, self.workers // 4)}
        # Small ones, so that every core has a shard to render.
        sizes["samples_per_shard"] = min(16, self.setting.collect["samples_per_shard"])
        collect_source(reader, self.folder, reader.options(**options), scratch, result, **sizes)
        if role == "labeled":
            masking = Masking("none", reader.sky_label, 0.5, threads=1, device="cpu")  # its class labels say it all
            sky = scratch / "sky", self.data / "sky" / name
            mask_source(self.source(role, name), masking, *sky, lambda images: None)
        if role == "unlabeled" and name in self.setting.class_map:
            mapping = ClassMapping(self.setting.class_map[name], threads=1)
            maps = scratch / "classes", self.data / "class_map" / name
            map_source(self.source(role, name), mapping, *maps, lambda images: None)

    def source(self, role: str, name: str) -> SourceFolder:
        """Return a collected source."""
        return SourceFolder((self.data / role / name).absolute())

    def _catalog(self, role: str) -> dict[str, Any]:
        return {name: {"samples": len(self.source(role, name))} for name in self.setting.sources[role]}

    def teach(self, seed: int) -> DepthAnything:
        """Return the teacher of `seed`, and leave its pseudo labels."""
        setting = self.setting
        pool = SamplePool(self.data, "labeled", self._catalog("labeled"), "sky")
        scratch, where = self.folder / f"teacher-{seed}", (lambda step, metrics: None, self.machine)
        model, _ = train_teacher(
            pool, setting.weights, setting.teacher, setting.training, seed, scratch / "training", *where
        )
        model.save(scratch / "model")
        digest = files.sha256(scratch / "model" / "model.safetensors")
        chosen = setting.pseudo_label
        labeling = Labeling(
            {scratch / "model": 1.0}, digest, chosen.short_side, chosen.bits, chosen.batch, chosen.precision
        )
        for name in setting.sources["unlabeled"]:
            made = self.data / f"pseudo-{seed}" / name
            label_source(self.source("unlabeled", name), labeling, scratch / name, made, lambda images: None)
        pseudo = self.data / "pseudo"
        pseudo.unlink(missing_ok=True)
        pseudo.symlink_to(f"pseudo-{seed}")
        return model

    def learn(self, seed: int, row: Row) -> DepthAnything:
        """Return the student of `row` and `seed`, from the pseudo labels that `teach` left last."""
        setting = changed(self.setting, row.changes)
        labeled = SamplePool(self.data, "labeled", self._catalog("labeled"), "sky")
        mapped = list(setting.class_map) if setting.student.auxiliary_semantics else ()
        unlabeled = SamplePool(self.data, "unlabeled", self._catalog("unlabeled"), "pseudo", class_maps=mapped)
        alignment = FeatureAlignment(alpha=setting.alpha, **vars(setting.feature_alignment))
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            where = Path(scratch), lambda step, metrics: None, self.machine
            given = setting.weights, setting.student, alignment, setting.training, seed
            return train_student(labeled, unlabeled, *given, *where)[0]

    def measure(self, models: Mapping[str, DepthAnything]) -> dict[str, Any]:
        """Return set -> model -> metric -> value, and the mean over the sets under "mean"."""
        device, side = inference_device(), self.setting.short_side
        predictors = {name: of_predictor(DepthPredictor(one.to(device), side)) for name, one in models.items()}
        found: dict[str, Any] = {}
        for name in self.setting.sources["evaluation"]:
            cases = CollectedCases(self.source("evaluation", name))
            found[name] = means(evaluate(predictors, cases, protocols.get("generic"))[0])
        return found | {"mean": _mean(list(found.values()))}


def _mean(sets: Sequence[Mapping[str, Mapping[str, float | None]]]) -> dict[str, dict[str, float]]:
    """Return model -> metric -> mean over `sets`, of the metrics that all of them have."""
    average: dict[str, dict[str, float]] = {}
    for model, metrics in sets[0].items():
        common = [key for key in metrics if all(one[model][key] is not None for one in sets)]
        average[model] = {key: float(np.mean([one[model][key] for one in sets])) for key in common}
    return average


def run(
    setting: Setting,
    seeds: Sequence[int],
    out: Path,
    commit: str,
    end: float,
    workers: int,
    tables: Sequence[str] = DEFAULT,
) -> None:
    """Add a line to `out` for each student of `tables` that `end` (time.monotonic) still lets begin."""
    parameters = asdict(setting)
    digest = files.sha256_of_json([parameters, code()])
    done = {(one["table"], one["row"], one["seed"]) for one in read_results(out) if one["setting"] == digest}
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    with tempfile.TemporaryDirectory() as folder:
        small = Small(setting, Path(folder), workers)
        _say(end, "the world is there")
        for seed in seeds:
            missing = [(table, row) for table, row in rows(tables) if (table, row.label, seed) not in done]
            if not missing or time.monotonic() > end:
                continue
            before, measured = small.measure({"teacher": small.teach(seed)}), {}
            _say(end, f"seed {seed}: the teacher is there")
            for table, row in missing:
                if time.monotonic() > end:
                    break
                same = repr(changed(setting, row.changes))  # one row stands in both tables
                if same not in measured:
                    own = small.measure({"student": small.learn(seed, row)})
                    measured[same] = {name: before[name] | one for name, one in own.items()}
                metrics = measured[same]
                result = {"table": table, "row": row.label, "seed": seed, "setting": digest, "commit": commit}
                result |= {"experiment": f"gpu-{table}-{row.label}-seed{seed}", "card": card, "changes": row.changes}
                add_result(result | {"parameters": parameters, "metrics": metrics}, out)
                score = {name: f"{one['abs_rel']:.4f}" for name, one in metrics["mean"].items()}
                _say(end, f"{table}, {row.label}, seed {seed}: mean AbsRel {score}")


def _say(end: float, text: str) -> None:
    print(f"{end - time.monotonic():.0f} s left: {text}", flush=True)


def main() -> None:
    """Run the ablations at one scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=list(SCALES), default="preset")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes after those of the scale")
    parser.add_argument("--tables", nargs="+", choices=[one for one in TABLES if TABLES[one]], default=list(DEFAULT))
    parser.add_argument("--weights", help="of the encoder: a file, where the packaged ones are not installed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--minutes", type=float, default=5.5, help="no student begins later (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--commit", help="of the code (default: git says)")
    given = parser.parse_args()
    keep_freed_memory()
    if given.scale == "dry":
        collapse.CONSTANT = math.inf  # so few steps teach nothing
    end = time.monotonic() + 60 * given.minutes
    setting = setting_of([*SCALES[given.scale], *given.set])
    weights = given.weights or setting.weights
    words = ["git", "rev-parse", "HEAD"]
    commit = given.commit or subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    workers = 1 if given.scale == "dry" else len(os.sched_getaffinity(0))
    run(replace(setting, weights=weights), given.seeds, given.out, commit, end, workers, given.tables)


if __name__ == "__main__":
    main()
