"""Where the time of fine-tuning goes: one step of metric bins or Mask2Former, and the sliding window, part by part.

    python benchmarks/finetuning.py metric --height 392 --width 518
    python benchmarks/finetuning.py bins --height 392 --width 518
    python benchmarks/finetuning.py semantic --preset demo --side 126 --batch 8
    python benchmarks/finetuning.py semantic --preset paper-vitl --side 518 --batch 1
    python benchmarks/finetuning.py deformable --preset demo --side 126 --batch 8
    python benchmarks/finetuning.py windows --preset demo --side 126 --image 512 1024

Shares of one thread's own time, medians over rounds. A step is cut at the borders of its parts, so that each has its
own backward pass; the whole is the sum. Random weights, images and labels: labels of eight classes in 64 blocks.
`bins` compares the head alone with transformers' of ZoeDepth, forward and backward, in interleaved rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import torch
from torch import Tensor, nn
from transformers import ZoeDepthConfig
from transformers.models.zoedepth.modeling_zoedepth import ZoeDepthMetricDepthEstimationHead

from depth_model.metric.heads.bins import ATTRACTORS, BINS, EMBEDDING, HIDDEN, MetricBins
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.networks import DepthAnything, build_encoder
from depth_model.networks.dpt import CHANNELS, DecoderMaps
from depth_model.objectives import silog_loss
from depth_model.semantic.classes import class_lists
from depth_model.semantic.heads import segmentation
from depth_model.semantic.heads.mask2former import (
    LOSS_WEIGHTS,
    QueryOutput,
    query_criterion,
    query_losses,
)
from depth_model.semantic.heads.settings import Mask2FormerSettings
from depth_model.semantic.prediction import predictor
from depth_model.training.optimizers import adamw
from tasks.settings import presets

Part = tuple[str, Callable[[list[Tensor]], list[Tensor]]]
Times = dict[str, float]
PRESETS = Path(__file__).parents[1] / "presets"
CLASSES_SHOWN = 8


class Watch:
    """Seconds of this process by name, added up."""

    def __init__(self) -> None:
        self.seconds: Times = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time inside to `name`."""
        started = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - started

    @contextmanager
    def call(self, owner: Any, attribute: str, name: str) -> Iterator[None]:
        """Add to `name` the time of every call of `owner.attribute` while inside."""
        original = getattr(owner, attribute)

        def timed(*given: Any, **named: Any) -> Any:
            with self.part(name):
                return original(*given, **named)

        setattr(owner, attribute, timed)
        yield
        setattr(owner, attribute, original)


def step(parts: Sequence[Part], images: Tensor, optimizer: torch.optim.Optimizer, watch: Watch) -> None:
    """Make one training step through `parts`, of which the last gives the loss, and time each of them both ways."""
    given, passes = [images], []
    for name, part in parts:
        with watch.part(f"{name}, forward"):
            output = part(given)
        passes.append((name, given, output))
        given = [one.detach().requires_grad_(one.is_floating_point()) for one in output]
    optimizer.zero_grad(set_to_none=True)
    gradients: list[Tensor | None] = [torch.ones(())]
    for name, inputs, output in reversed(passes):
        pairs = [(one, slope) for one, slope in zip(output, gradients) if slope is not None and one.requires_grad]
        with watch.part(f"{name}, backward"):
            torch.autograd.backward([one for one, _ in pairs], [slope for _, slope in pairs])
        gradients = [one.grad for one in inputs]
    with watch.part("optimizer"):
        optimizer.step()


def metric_step(given: argparse.Namespace) -> Callable[[Watch], None]:
    """Return a step of metric bins at the size asked for."""
    model = MetricDepth(DepthAnything(given.size), "bins", 10.0).train()
    optimizer = adamw(model, 1e-5, 1e-4, 0.01)
    images = torch.randn(given.batch, 3, given.height, given.width)
    depth = 1 + 8 * torch.rand(given.batch, given.height, given.width)
    grid = given.height // 14, given.width // 14

    def decoder(tokens: list[Tensor]) -> list[Tensor]:
        maps = model.decoder.maps(tokens, *grid)
        return [maps.bottleneck, *maps.paths, maps.hidden, maps.output]

    def head(maps: list[Tensor]) -> list[Tensor]:
        return [model.head(DecoderMaps(maps[0], tuple(maps[1:5]), maps[5], maps[6]))]

    parts = [
        ("encoder", lambda shown: model.encoder(shown[0], model.blocks)),
        ("decoder", decoder),
        ("metric bins", head),
        ("loss", lambda found: [silog_loss(found[0], depth, torch.ones_like(depth, dtype=torch.bool))]),
    ]
    return lambda watch: step(parts, images, optimizer, watch)


def bins(given: argparse.Namespace) -> str:
    """Return the table of our head beside transformers', both on the maps of the decoder."""
    features, rows, columns = CHANNELS[given.size][0], given.height // 14, given.width // 14
    generator = torch.Generator().manual_seed(0)
    shapes = [(features, rows * scale, columns * scale) for scale in (1, 2, 4, 8)]
    shapes += [(features, -(-rows // 2), -(-columns // 2)), (32, given.height, given.width)]
    drawn = [torch.randn(given.batch, *shape, generator=generator) for shape in shapes]
    *paths, coarse, hidden = (one.to(memory_format=torch.channels_last).requires_grad_() for one in drawn)
    disparity = torch.rand(given.batch, given.height, given.width, generator=generator).requires_grad_()
    maps, theirs = DecoderMaps(coarse, tuple(paths), hidden, disparity), transformers_bins(features)
    ours = MetricBins(features)
    heads = {"ours": lambda: ours(maps), "transformers": lambda: theirs(hidden, coarse, paths, disparity)[0]}
    runs = {f"{name}, forward": torch.no_grad()(head) for name, head in heads.items()}
    runs |= {f"{name}, with backward": lambda head=head: head().sum().backward() for name, head in heads.items()}
    timings = {}
    for part in ("forward", "with backward"):
        chosen = {name: run for name, run in runs.items() if name.endswith(part)}
        timings |= measuring.interleaved(chosen, f"transformers, {part}", given.rounds, "cpu")
    rows = [[name, f"{1000 * one.seconds:.0f}", f"{one.ratio:.2f}"] for name, one in timings.items()]
    return measuring.table(["head", "ms", "× transformers"], rows)


def transformers_bins(features: int) -> nn.Module:
    """Return transformers' head of metric bins at the sizes of ours."""
    config = ZoeDepthConfig(
        bottleneck_features=features,
        fusion_hidden_size=features,
        bin_embedding_dim=EMBEDDING,
        num_attractors=list(ATTRACTORS),
        bin_centers_type="softplus",
        attractor_kind="mean",
        num_relative_features=HIDDEN,
        bin_configurations=[{"n_bins": BINS, "min_depth": 1e-3, "max_depth": 10.0}],
    )
    return ZoeDepthMetricDepthEstimationHead(config)


def head_settings(preset: str, **changes: int) -> Mask2FormerSettings:
    """Return the sizes of Mask2Former in a preset, with `changes`."""
    chosen = presets.load(PRESETS / f"{preset}.yaml").finetune_semantic["cityscapes"].chosen_head
    return replace(chosen, **changes)


def labels_of(batch: int, side: int) -> Tensor:
    """Return uint8 (B, side, side): 64 blocks of eight classes."""
    drawn = torch.randint(0, CLASSES_SHOWN, (batch, 1, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    return nn.functional.interpolate(drawn, size=(side, side)).to(torch.uint8)[:, 0]


def segmentation_model(given: argparse.Namespace, **changes: int) -> segmentation.Segmentation:
    """Return a random model with the head of the preset, with `changes`."""
    head = "linear" if given.preset == "linear" else head_settings(given.preset, **changes)
    return segmentation.Segmentation(build_encoder(given.size), class_lists()["cityscapes"], head, given.side)


def semantic_step(given: argparse.Namespace, **changes: int) -> Callable[[Watch], None]:
    """Return a step of Mask2Former at the sizes asked for, with `changes`."""
    model = segmentation_model(given, **changes).train()
    head, depth, side = model.head, model.encoder.depth, given.side // 14
    optimizer = adamw(model, 1e-5, 1e-4, 0.05)
    criterion = query_criterion(len(model.classes), head.settings)
    images, labels = torch.randn(given.batch, 3, given.side, given.side), labels_of(given.batch, given.side)

    def pyramid(tokens: list[Tensor]) -> list[Tensor]:
        return head.pyramid([one.transpose(1, 2).unflatten(2, (side, side)) for one in tokens])

    def pixels(maps: list[Tensor]) -> list[Tensor]:
        found = head.pixel_decoder(maps, output_attentions=False, output_hidden_states=False, return_dict=True)
        return [found.mask_features, *found.multi_scale_features]

    def queries(maps: list[Tensor]) -> list[Tensor]:
        decoded = head.transformer(maps[1:], maps[0])
        classes = [head.classifier(one.transpose(0, 1)) for one in decoded.intermediate_hidden_states]
        return [*classes, *decoded.masks_queries_logits]

    def loss(output: list[Tensor]) -> list[Tensor]:
        half = len(output) // 2
        terms = query_losses(QueryOutput(output[:half], output[half:]), labels, criterion, 0)
        return [sum(LOSS_WEIGHTS[name] * term for name, term in terms.items())]

    def run(watch: Watch) -> None:
        layers = [layer.self_attn for layer in head.pixel_decoder.encoder.layers]
        with watch.call(criterion.matcher, "forward", "of the losses: matching"):
            for layer in layers:
                layer.forward = _timed(layer, watch)
            step(parts, images, optimizer, watch)
            for layer in layers:
                del layer.forward

    parts = [
        ("encoder", lambda shown: model.encoder(shown[0], range(depth - segmentation.MAPS, depth))),
        ("pyramid", pyramid),
        ("pixel decoder", pixels),
        ("queries", queries),
        ("losses", loss),
    ]
    return run


def _timed(layer: nn.Module, watch: Watch) -> Callable[..., Any]:
    def forward(*given: Any, **named: Any) -> Any:
        with watch.part("of the pixel decoder: deformable attention, forward"):
            return type(layer).forward(layer, *given, **named)

    return forward


def windows(given: argparse.Namespace) -> Callable[[Watch], None]:
    """Return the labelling of one image by windows."""
    model = segmentation_model(given)
    segmenter = predictor.Segmenter(model, short_side=given.short_side, stride=given.stride)
    image = np.random.default_rng(0).integers(0, 256, (*given.image, 3), np.uint8)

    def run(watch: Watch) -> None:
        with (
            watch.call(predictor, "network_image", "image for the network"),
            watch.call(model.encoder, "forward", "encoder"),
            watch.call(model.head, "forward", "head"),
            watch.call(segmentation, "query_scores", "scores of queries"),
            watch.call(predictor, "largest", "labels at the image's size"),
            watch.part("whole"),
        ):
            segmenter(image)
        whole = watch.seconds.pop("whole")
        watch.seconds["rest"] = whole - sum(watch.seconds.values())

    return run


def measured(run: Callable[[Watch], None], rounds: int, warm_up: int) -> Times:
    """Return the median seconds of each part over `rounds`, after `warm_up` rounds in which memory is fetched."""
    watches = [Watch() for _ in range(warm_up + rounds)]
    for watch in watches:
        run(watch)
    return {name: statistics.median(one.seconds[name] for one in watches[warm_up:]) for name in watches[0].seconds}


def shares(times: Times) -> str:
    """Return a table of parts; those named "of ..." are already in another one."""
    whole = sum(seconds for name, seconds in times.items() if not name.startswith("of "))
    rows = [[name, f"{1000 * seconds:.0f}", f"{seconds / whole:.0%}"] for name, seconds in times.items()]
    return measuring.table(["part", "ms", "share"], [*rows, ["all", f"{1000 * whole:.0f}", ""]])


def deformable(given: argparse.Namespace) -> str:
    """Return the table of whole steps with the pixel decoder's deformable layers and without them."""
    found = head_settings(given.preset).pixel_layers
    steps = {f"{layers} layers": semantic_step(given, pixel_layers=layers) for layers in (found, 0)}
    runs = {name: lambda run=run: run(Watch()) for name, run in steps.items()}
    timings = measuring.interleaved(runs, "0 layers", given.rounds, "cpu")
    rows = [[name, f"{1000 * one.seconds:.0f}", f"{1 / one.ratio:.2f}"] for name, one in timings.items()]
    return measuring.table(["deformable attention", "ms a step", "× without"], rows)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["metric", "bins", "semantic", "deformable", "windows"])
    parser.add_argument("--size", default="vits")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=int, default=3, help="rounds before, in which memory is fetched")
    parser.add_argument("--height", type=int, default=126)
    parser.add_argument("--width", type=int, default=168)
    parser.add_argument("--preset", choices=["demo", "paper-vitl", "linear"], default="demo")
    parser.add_argument("--side", type=int, default=126, help="of crops and windows")
    parser.add_argument("--image", type=int, nargs=2, default=[512, 1024], help="height and width")
    parser.add_argument("--short-side", type=int, help="of the image for the network")
    parser.add_argument("--stride", type=int)
    given = parser.parse_args()
    measuring.prepare(1, keep_memory=True)  # as in our stages
    torch.manual_seed(0)
    print(given)
    tables = {"deformable": deformable, "bins": bins}
    if given.what in tables:
        print(tables[given.what](given))
        return
    run = {"metric": metric_step, "semantic": semantic_step, "windows": windows}[given.what](given)
    print(shares(measured(run, given.rounds, given.warm_up)))


if __name__ == "__main__":
    main()
