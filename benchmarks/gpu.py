"""What one GPU does, in one run of at most eight minutes: the marked tests, peers side by side, feed, memory.

    python benchmarks/gpu.py --out results               # docs/measurements/gpu.md says how on a bare machine
    python benchmarks/gpu.py --out results --dry         # the same code on the CPU, in seconds

Each part is kept as soon as it is there: results/gpu.json, results/gpu.md, and results/plan.yaml with the figures for
depth_model/planning/plan.yaml. Every comparison is in bfloat16 (by autocast unless it says weights), with the same
weights and the same images, in turns; `ratio` is to transformers' model. `--official` is a file that defines Depth
Anything operation by operation.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import gpu_measuring as gpu
import inference
import measuring
import numpy as np
import pseudo_label
import torch
import training_step
import yaml
from gpu_measuring import Rows, Setup
from torch import Tensor, nn

from depth_model import files, readers
from depth_model.errors import UserError
from depth_model.networks import DepthAnything
from depth_model.networks.variants import VARIANTS
from depth_model.prediction.precision import bfloat16_copy
from depth_model.prediction.predictor import DepthPredictor
from depth_model.pseudo_label.labeling import Labeling, label_source
from depth_model.reading.collecting import collect_source
from depth_model.shards.pool import SamplePool
from depth_model.shards.source import SourceFolder
from depth_model.training.batches import loader
from depth_model.training.optimizers import fused_adamw, parameter_groups
from depth_model.training.sampling import WHOLE
from depth_model.training.settings import FeatureAlignment, StudentSettings, TrainingMachine, TrainingSettings
from depth_model.training.student import student_batch, train_student

REFERENCE = "transformers"
ROOT = Path(__file__).resolve().parents[1]
BFLOAT16 = "bfloat16"


class Official(nn.Module):
    """The definition in the file `path` as a module, with the weights of `model`."""

    def __init__(self, model: DepthAnything, path: Path) -> None:
        super().__init__()
        specification = importlib.util.spec_from_file_location("official", path)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        self._disparity, self._names = module.official_disparity, list(model.official_state())
        self._heads, self._blocks = VARIANTS[model.encoder.size].heads, model.blocks
        self.weights = nn.ParameterList(nn.Parameter(one.clone()) for one in model.official_state().values())

    def forward(self, images: Tensor) -> Tensor:
        """Return disparity (B, H, W)."""
        return self._disparity(dict(zip(self._names, self.weights)), images, self._heads, self._blocks)


def compiled(model: nn.Module) -> nn.Module:
    """Return `model` with its parts compiled, as `machine.training.compile` does it."""
    for part in model.children():
        part.compile()
    return model


def marked_tests(where: Setup) -> Rows:
    """Run the tests of the marker `gpu`; a dry run has none, as `make test` runs their code on the CPU."""
    if where.dry:
        return [{"ended with": 0, "said": "not run"}]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", "tests/gpu"]
    words += ["--junitxml", str((where.out / "tests.xml").absolute())]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    files.write_text(where.out / "tests.txt", done.stdout + done.stderr)
    return [{"ended with": done.returncode, "said": (done.stdout.strip().splitlines() or ["nothing"])[-1]}]


def peaks(where: Setup) -> Rows:
    """Measure the card's own matrix products and copies, of which the others are shares."""
    return [gpu.rates(where)]


def _images(where: Setup, batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, where.side, where.side, generator=generator)
    return images.to(where.device), torch.rand(batch, where.side, where.side, generator=generator).to(where.device)


def _rows(found: dict[str, dict[str, Any]], size: str, batch: int, work: int, peak: float) -> Rows:
    gpu.ratios(found, REFERENCE)
    for one in found.values():
        if "ms" in one:
            one |= {"images/s": 1000 * batch / one["ms"], "of peak": work / one["ms"] * 1000 / peak}
    return [{"size": size, "batch": batch, "variant": name, **one} for name, one in found.items()]


def predictions(where: Setup) -> Rows:
    """Compare forward passes."""
    rows: Rows = []
    peak = gpu.rates(where)["bfloat16 TFLOP/s"] * 1e12
    for size, batch in where.batches.items():
        model, (images, _) = measuring.ours(size).eval(), _images(where, batch)
        theirs = partial(measuring.transformers_model, model, "sdpa")
        models = {
            "ours": (bfloat16_copy(model), images, "float32"),  # its weights are bfloat16, as labeling has them
            "ours, autocast": (model, images, BFLOAT16),
            REFERENCE: (theirs().eval(), images, BFLOAT16),
            f"{REFERENCE}, weights in bfloat16": (theirs().eval().bfloat16(), images.bfloat16(), "float32"),
            "official definition": (Official(model, where.official).eval(), images, BFLOAT16),
        }
        runs = {name: inference.forward(one.to(where.device), *rest) for name, (one, *rest) in models.items()}
        rows += _rows(gpu.in_turns(runs, where), size, batch, measuring.operations(runs["ours"]), peak)
        _forget()
    return rows


def steps(where: Setup, compiling: bool = False) -> Rows:
    """Compare training steps: forward, loss, backward, AdamW; `compiling` ours and the official definition."""
    rows: Rows = []
    peak = gpu.rates(where)["bfloat16 TFLOP/s"] * 1e12
    for size, batch in where.batches.items():
        model, given = measuring.ours(size), _images(where, batch)
        work = measuring.operations(_step(model, *given))
        peer, official = measuring.transformers_model(model, "sdpa"), Official(model, where.official)
        name = ", compiled" if compiling else ""
        really = compiling and not where.dry  # a compiler's minutes are no dry run
        runs = {
            REFERENCE: _step(peer, *given),
            f"ours{name}": _step(compiled(model) if really else model, *given),
            f"official definition{name}": _step(official, *given, torch.compile if really else _as_it_is),
        }
        rows += _rows(gpu.in_turns(runs, where), size, batch, work, peak)
        del runs, peer, model, official
        _forget()
    return rows


def _as_it_is(model: nn.Module) -> nn.Module:
    return model


def _step(
    model: nn.Module, images: Tensor, target: Tensor, wrap: Callable[[nn.Module], Any] = _as_it_is
) -> Callable[[], float]:
    model = model.to(images.device)
    trainable = [one for one in model.parameters() if one.requires_grad]
    ours = isinstance(model, DepthAnything)
    groups = parameter_groups(model, 1e-5, 1e-4, 0.01) if ours else [{"params": trainable, "lr": 1e-5}]
    return training_step.step(wrap(model), fused_adamw(groups), images, target, BFLOAT16)


def memory(where: Setup) -> Rows:
    """Measure the peak memory of a training step by batch, with and without checkpointing."""
    rows: Rows = []
    for size in where.batches:
        for checkpointing in (False, True):
            model = measuring.ours(size).to(where.device)
            model.encoder.checkpointing = checkpointing
            for batch in where.memory_batches:
                one = {"size": size, "checkpointing": checkpointing, "batch": batch}
                rows.append(one | gpu.peak_memory(_step(model, *_images(where, batch)), where))
            del model
            _forget()
    return rows


def labeling(where: Setup) -> Rows:
    """Compare pseudo-labeling, from stored JPEGs to finished shards, with the bare network on batches in memory."""
    size, batch = list(where.batches)[-1], 8
    with tempfile.TemporaryDirectory(dir=where.out) as name:
        folder = Path(name)
        source, model = pseudo_label.collected(folder, where.images), measuring.ours(size)
        model.save(folder / "teacher")
        device = "cpu" if where.dry else "gpu"
        one = Labeling({folder / "teacher": 1.0}, "0" * 64, where.side, 14, batch, "bf16", device=device)
        predictor = DepthPredictor(model.to(where.device), where.side, precision="bf16")
        ready = pseudo_label.ready_batches(source, where.side, batch)
        variants = {
            "bare network": lambda: [predictor.batch_disparity(inputs) for inputs in ready],
            "labeling": partial(pseudo_label.label, source, one, folder, 1),
        }
        found = measuring.interleaved(variants, "bare network", 1 if where.dry else 3, "wall")
    return [
        {"size": size, "what": what, "images/s": where.images / timing.seconds, "of the bare network": timing.ratio}
        for what, timing in found.items()
    ]


def pools(folder: Path, where: Setup) -> tuple[SamplePool, SamplePool]:
    """Return a labeled pool and a pseudo-labeled one of photographs of 640x480, as they are collected and labeled."""
    (folder / "rgb").mkdir()
    (folder / "depth").mkdir()
    for number, picture in enumerate(measuring.photographs(where.images, 480, 640)):
        depth = 1000 + 20 * cv2.GaussianBlur(picture, (0, 0), 3)[..., 0].astype(np.uint16)
        cv2.imwrite(str(folder / "rgb" / f"{number}.jpg"), picture[..., ::-1])
        cv2.imwrite(str(folder / "depth" / f"{number}.png"), depth)
    data, teacher = folder / "data", folder / "teacher"
    DepthAnything("tiny").save(teacher)
    _collected(data / "labeled" / "all", "rgbd_folder", folder, color="rgb/*.jpg", depth="depth/*.png", unit=1000.0)
    source = _collected(data / "unlabeled" / "all", "image_folder", folder / "rgb")
    labeling = Labeling({teacher: 1.0}, "0" * 64, where.side // 14 * 14, 14, 8)
    label_source(source, labeling, folder / "labels", data / "pseudo" / "all", lambda images: None)
    catalog = {"all": {"samples": where.images}}
    return SamplePool(data, "labeled", catalog), SamplePool(data, "unlabeled", catalog, "pseudo")


def _collected(result: Path, name: str, root: Path, **options: Any) -> SourceFolder:
    reader = readers.get(name)
    settings = {"max_side": 1024, "minimum_side": 32, "samples_per_shard": 64, "workers": 1}
    collect_source(reader, root, reader.options(**options), result.with_name("scratch"), result, **settings)
    return SourceFolder(result)


def feed(where: Setup) -> Rows:
    """Measure how many images a second are prepared, by a core and by all, and what the whole loop of a student takes;
    leave the curve of a run that was killed and resumed."""
    size = next(iter(where.batches))
    third = max(1, where.batches[size] // 3)
    chosen = StudentSettings(encoder=size, labeled_per_batch=third, unlabeled_per_batch=2 * third)
    workers = 0 if where.dry else max(1, (os.cpu_count() or 1) - 2)
    with tempfile.TemporaryDirectory(dir=where.out) as name:
        labeled, unlabeled = pools(Path(name), where)
        make = partial(student_batch, labeled, unlabeled, chosen, where.side, 0)
        rates = {
            "one core prepares": _consumed(make, where.steps // 4 + 2, 0, 3 * third),
            f"{workers} workers prepare": _consumed(make, where.steps, workers, 3 * third),
        }
        learn = partial(_learned, labeled, unlabeled, chosen, where, workers)
        seen, speeds = learn(Path(name, "whole"))
        learn(Path(name, "killed"), where.steps // 2)
        again, _ = learn(Path(name, "killed"))
    rates[f"student {size}: the whole loop takes"] = statistics.median(speeds[len(speeds) // 2 :])
    curve = [f"{step},{whole!r},{again[step]!r}" for step, whole in seen.items() if step in again]
    files.write_text(where.out / "resumed.csv", "\n".join(["step,undisturbed,killed and resumed", *curve, ""]))
    apart = max(abs(again[step] / whole - 1) for step, whole in seen.items() if step in again)
    rows = [{"what": what, "images/s": rate} for what, rate in rates.items()]
    return [*rows, {"what": f"killed and resumed: the loss is at most {apart:.2g} of itself away"}]


def _consumed(make: Callable[..., Any], steps: int, workers: int, images: int) -> float:
    """Return the images a second of `steps` batches, from the second on."""
    batches = loader(make, [WHOLE], 0, steps, workers, torch.cuda.is_available())
    next(batches)
    started = time.perf_counter()
    count = sum(1 for _ in batches)
    return count * images / (time.perf_counter() - started)


def _learned(
    labeled: SamplePool,
    unlabeled: SamplePool,
    chosen: StudentSettings,
    where: Setup,
    workers: int,
    scratch: Path,
    stop: int = 0,
) -> tuple[dict[int, float], list[float]]:
    """Train a student, to step `stop` only if it is given; return its loss by step and images a second."""
    losses: dict[int, float] = {}
    speeds: list[float] = []

    def seen(step: int, metrics: Mapping[str, float]) -> None:
        losses[step] = metrics["loss"]
        speeds.append(metrics.get("images_per_second", 0.0))
        if step == stop:
            raise KeyboardInterrupt

    chosen = replace(chosen, epochs=where.steps * chosen.unlabeled_per_batch / len(unlabeled))
    training = TrainingSettings(crop=where.side, precision="bf16")
    alignment = FeatureAlignment(alpha=0.85, block=VARIANTS[chosen.encoder].depth - 3)
    machine = TrainingMachine(workers=workers, checkpoint_every=max(1, where.steps // 4))
    with suppress(KeyboardInterrupt, UserError):  # so few steps teach nothing, which is no matter here
        train_student(labeled, unlabeled, "none", chosen, alignment, training, 0, scratch, seen, machine)
    return losses, speeds


def plan_figures(results: Mapping[str, Rows]) -> dict[str, Any]:
    """Return the entry of depth_model/planning/plan.yaml, of what was measured."""
    forward = _by_size(results.get("predictions", []))
    step = _by_size([*results.get("training steps", []), *results.get("compiled training steps", [])])
    share = [one["of the bare network"] for one in results.get("labeling", []) if one.get("what") == "labeling"]
    found: dict[str, Any] = {"kind": "gpu", "milliseconds": forward}
    card = ", ".join(f"{name} {value}" for name, value in results["card"][0].items())
    found["source"] = f"measured by benchmarks/gpu.py in bfloat16: {card}"
    found["training_factor"] = {size: step[size] / forward[size] for size in step if size in forward}
    found["memory"] = {size: _line(results["memory"], size) for size in _sizes(results.get("memory", []))}
    return found | ({"labeling_share": share[0]} if share else {})


def _by_size(rows: Rows) -> dict[str, float]:
    """Return milliseconds an image of the fastest of our variants by size."""
    found: dict[str, float] = {}
    for one in rows:
        if one.get("variant", "").startswith("ours") and "ms" in one:
            found[one["size"]] = min(one["ms"] / one["batch"], found.get(one["size"], float("inf")))
    return found


def _sizes(rows: Rows) -> list[str]:
    counted = Counter(one["size"] for one in rows if "peak_GiB" in one and not one["checkpointing"])
    return [size for size, count in counted.items() if count > 1]


def _line(rows: Rows, size: str) -> dict[str, float]:
    """Return GiB that a training needs for the network, and for each image of a batch."""
    own = [one for one in rows if one["size"] == size and not one["checkpointing"] and "peak_GiB" in one]
    image, network = np.polyfit([one["batch"] for one in own], [one["peak_GiB"] for one in own], 1)
    return {"network": round(float(network), 3), "image": round(float(image), 3)}


def _forget() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


PARTS = {
    "peaks": peaks,
    "tests": marked_tests,
    "predictions": predictions,
    "training steps": steps,
    "labeling": labeling,
    "feed": feed,
    "memory": memory,
    "compiled training steps": partial(steps, compiling=True),  # last, for compiling takes minutes
}


def main() -> None:
    """Measure part by part until the time is up."""
    parser = gpu.arguments(__doc__, minutes=7.5)
    parser.add_argument("--official", type=Path, default=ROOT / "tests/depth_model/networks/official_definition.py")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="(default: all)")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    where = gpu.setup(given)
    results: dict[str, Rows] = {"card": [gpu.card(where.device)]}
    print(results["card"][0], flush=True)
    for name in given.parts:
        started = time.monotonic()
        try:
            results[name] = PARTS[name](where) if where.left() > 0 else [{"left out": "no time"}]
        except Exception as error:  # the other parts are worth having
            results[name] = [{"failed": f"{type(error).__name__}: {error}"}]
            traceback.print_exc()
        gpu.keep(results, where.out, "gpu")
        print(f"\n{name} ({time.monotonic() - started:.0f} s)\n{gpu.markdown(results[name])}", flush=True)
        _forget()
    files.write_text(where.out / "plan.yaml", yaml.safe_dump({"card": plan_figures(results)}, sort_keys=False))
    sys.exit(any("failed" in row or row.get("ended with") for rows in results.values() for row in rows))


if __name__ == "__main__":
    main()
