"""Stage `evaluate_semantic@<set>`: the segmentation models on one set (paper 4.4; docs/paper.md 4.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_model import files
from depth_model.errors import UserError, named
from tasks.settings import params
from tasks.tracking import champions, evaluations, mlflow_runs
from tasks.tracking.evaluations import details, summary_file
from tasks.workspace.paths import known_sources, summary_path
from tasks.workspace.work import Workplace

if TYPE_CHECKING:
    from depth_model.semantic.classes import ClassList
    from depth_model.semantic.prediction.predictor import Segmenter
    from depth_model.shards.source import SourceFolder

EXAMPLES = 4


def run(workplace: Workplace, settings: params.Params) -> None:
    """Evaluate the segmentation models with the classes of one set; raises UserError when there is none."""
    from depth_model.shards.source import SourceFolder

    name, wanted = workplace.key, settings.section("evaluate_semantic", workplace.key)
    names = applicable(name, settings)
    if not names:
        raise UserError(f"evaluate_semantic.{name}: no model of finetune_semantic has the classes of its source")
    segmenters, where = _segmenters(names, wanted), f"sources.semantic.{wanted.source}"
    source = SourceFolder(Path("data/semantic", wanted.source))
    with mlflow_runs.stage_run(workplace) as run:
        with named(where):
            totals = _measured(where, segmenters, source)
        classes = segmenters[names[0]].model.classes
        summary = summary_of(name, protocol_name(name, settings), len(source), totals, classes, wanted.multi_scale)
        details(workplace).mkdir(exist_ok=True)
        files.write_json(summary_file(workplace), summary)
        every = {model: by_class(one, classes) for model, one in totals.items()}
        files.write_json(details(workplace) / "class_iou.json", every)
        if f"semantic/{name}" in names:
            _write_verdict(workplace, summary, settings)
        _draw(workplace, name, segmenters, source, totals)
        evaluations.log(run, workplace, ("examples.png", "confusion.png"))


def _write_verdict(workplace: Workplace, summary: Mapping[str, Any], settings: params.Params) -> None:
    model, minimum = f"semantic/{workplace.key}", settings.evaluation.minimum_images
    refusal = _learned_from(workplace.key, settings) or refused(summary, model, minimum)
    evaluations.write_verdict(workplace, refusal, _told(summary, model, refusal))


def conclude(key: str, settings: params.Params) -> None:
    """Let the figures of a model on its own set, at one scale, decide on its champion in the registry."""
    model, verdict = f"semantic/{key}", evaluations.read_verdict("semantic", key)
    if verdict is None or settings.evaluate_semantic[key].multi_scale:
        return
    evidence = {model: champions.Evidence(verdict["refusal"])}
    figures = {model: files.read_json(summary_path("semantic", key))["models"][model]}
    for sentence in champions.promote({key: figures, "mean": figures}, _evaluated(key, settings), evidence):
        print(sentence)


def _learned_from(name: str, settings: params.Params) -> str:
    learned, measured = settings.finetune_semantic[name].source, settings.evaluate_semantic[name].source
    return evaluations.learned_from(Path("data/semantic", learned), Path("data/semantic", measured))


def _evaluated(name: str, settings: params.Params) -> str:
    """Return the hash of what the models are measured on: figures may be compared only under the same."""
    wanted = settings.section("evaluate_semantic", name)
    manifest = files.sha256(Path("data/semantic", wanted.source, "manifest.parquet"))
    return files.sha256_of_json({"manifest": manifest, "evaluation": asdict(wanted)})


def applicable(name: str, settings: params.Params) -> list[str]:
    """Return the models, as folders below `models/`, that know the classes of the set `evaluate_semantic.<name>`."""
    sources = known_sources("semantic")
    wanted = sources[settings.section("evaluate_semantic", name).source]["reader"]
    models = settings.finetune_semantic.items()
    return [f"semantic/{model}" for model, one in models if sources[one.source]["reader"] == wanted]


def protocol_name(name: str, settings: params.Params) -> str:
    """Return what the figures of a set are called in the tables; those on the rendered world are no figures of a real
    data set, whatever its layout."""
    source = known_sources("semantic")[settings.section("evaluate_semantic", name).source]
    return f"{source['reader']}/{'rendered' if source['rendered'] else 'paper'}"


def _segmenters(names: list[str], wanted: params.EvaluateSemantic) -> dict[str, Segmenter]:
    from depth_model.networks.device import inference_device
    from depth_model.semantic.heads.segmentation import Segmentation
    from depth_model.semantic.prediction.predictor import MULTI_SCALE, Segmenter

    scales = {"scales": MULTI_SCALE, "flip": True, "of_original": True} if wanted.multi_scale else {}
    models = {name: Segmentation.load(Path("models", name)).to(inference_device()) for name in names}
    return {name: Segmenter(model, wanted.short_side, wanted.stride, **scales) for name, model in models.items()}


def _measured(where: str, segmenters: dict[str, Segmenter], source: SourceFolder) -> dict[str, np.ndarray]:
    """Return the confusion matrix of each model; raises UserError when no picture has labels."""
    from depth_model.metrics.segmentation import confusion_matrix
    from depth_model.progress import progress_bar

    totals = {}
    with progress_bar(f"evaluate {where}", len(source), "images") as bar:
        for number in range(len(source)):
            image, labels = source.image(number), source.semantic(number)
            if labels is None:
                raise UserError(f"{source.key(number)} has no class labels")
            for name, segmenter in segmenters.items():
                found = confusion_matrix(segmenter.at(image, labels.shape), labels, len(segmenter.model.classes))
                totals[name] = totals.get(name, 0) + found
            bar.update()
    if not totals or not all(one.sum() for one in totals.values()):
        raise UserError("no pixel has a label: there is nothing to measure")
    return totals


def summary_of(
    name: str, protocol: str, images: int, totals: dict[str, np.ndarray], classes: ClassList, multi_scale: bool
) -> dict[str, Any]:
    """Return what is told of a set: mIoU and pixel accuracy in percent by model, and over how many classes; beside the
    models what the most frequent label everywhere would have.

    The mIoU of several scales has a name of its own, as in Table 7, so that it never stands for that of one.
    """
    from depth_model.evaluation.verdict import CONSTANT
    from depth_model.metrics.segmentation import mean_iou, of_constant, pixel_accuracy

    totals = totals | {CONSTANT: of_constant(next(iter(totals.values())))}
    metric = "miou_multi_scale" if multi_scale else "miou"
    models = {
        model: {metric: 100 * mean_iou(one), "pixel_accuracy": 100 * pixel_accuracy(one)}
        for model, one in totals.items()
    }
    return {
        "set": name,
        "images": images,
        "protocol": {"name": protocol, "alignment": "none"},
        "models": models,
        "classes": {model: len(by_class(one, classes)) for model, one in totals.items()},
    }


def refused(summary: Mapping[str, Any], model: str, minimum: int) -> str:
    """Return why `model` must not become champion by the figures of `summary_of`, "" for nothing.

    It was measured on fewer than `minimum` images, or is not better than one label everywhere.
    """
    from depth_model.evaluation.verdict import too_few

    ours, constant = _miou_beside_constant(summary, model)
    worse = "" if ours > constant else f"it is not better than a constant: {_beside(summary, model)}"
    return too_few(summary["images"], minimum) or worse


def _miou_beside_constant(summary: Mapping[str, Any], model: str) -> list[float]:
    from depth_model.evaluation.verdict import CONSTANT

    return [next(iter(summary["models"][one].values())) for one in (model, CONSTANT)]


def _beside(summary: Mapping[str, Any], model: str) -> str:
    ours, constant = _miou_beside_constant(summary, model)
    return f"mIoU {ours:.1f} %, that of its most frequent label everywhere {constant:.1f} %"


def _told(summary: Mapping[str, Any], model: str, refusal: str) -> Iterator[str]:
    yield f"The model {model} on {summary['images']} images: {_beside(summary, model)}."
    if refusal:
        yield f"It does not become the champion: {refusal}."


def by_class(confusion: np.ndarray, classes: ClassList) -> dict[str, float]:
    """Return the IoU in percent of every class that is labeled or predicted, by its name."""
    from depth_model.metrics.segmentation import class_iou

    return {name: 100 * float(one) for name, one in zip(classes.classes, class_iou(confusion)) if not np.isnan(one)}


def _draw(workplace: Workplace, name: str, segmenters: dict[str, Segmenter], source: SourceFolder, totals: Any) -> None:
    from depth_model.evaluation.segmentation_figures import LabeledExample, confusion_figure, overlays_figure

    main = f"semantic/{name}" if f"semantic/{name}" in segmenters else next(iter(segmenters))
    classes, folder = segmenters[main].model.classes, details(workplace)
    examples = []
    for number in np.unique(np.linspace(0, len(source) - 1, EXAMPLES).round().astype(int)):
        image, labels = source.image(number), source.semantic(number)
        image = image if image.shape[:2] == labels.shape else _resized(image, labels.shape)
        predicted = {model: segmenter(image) for model, segmenter in segmenters.items()}
        examples.append(LabeledExample(source.key(number), image, labels, predicted))
    files.write_bytes(folder / "examples.png", overlays_figure(examples, classes))
    files.write_bytes(folder / "confusion.png", confusion_figure(totals[main], classes))


def _resized(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_LINEAR)
