"""Pseudo labels a second, reading to finished shard, as a share of what the bare network does in the same run.

    python benchmarks/pseudo_label.py --side 252
    python benchmarks/pseudo_label.py --side 518 --bfloat16

Bare: the network alone on batches that lie ready in memory. The source is photographs of scikit-image, cut into JPEGs
of 640x480, in shards as collected. Both alternate, round by round. `--clock cpu` counts the time that this process
has used on all its threads, for a machine that is at work: with `--threads 1` and one worker only, which runs here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import measuring
import numpy as np
from PIL import Image

from depth_model import readers
from depth_model.networks.preprocessing import network_size
from depth_model.prediction.predictor import DepthPredictor, network_image
from depth_model.pseudo_label.labeling import Labeling, label_source
from depth_model.reading.collecting import collect_source
from depth_model.shards.source import SourceFolder

BARE = "bare network"


def collected(folder: Path, count: int) -> SourceFolder:
    """Return a collected source of `count` JPEG photographs of 640x480, half of them upright."""
    (folder / "images").mkdir()
    for number, picture in enumerate(measuring.photographs(count, 480, 640)):
        Image.fromarray(np.rot90(picture, number % 2)).save(folder / "images" / f"{number:04d}.jpg", quality=90)
    reader = readers.get("image_folder")
    settings = {"max_side": 1024, "minimum_side": 32, "samples_per_shard": count // 2, "workers": 1}
    collect_source(reader, folder / "images", reader.options(), folder / "s", folder / "data", **settings)
    return SourceFolder(folder / "data")


def ready_batches(source: SourceFolder, side: int, batch: int) -> list[np.ndarray]:
    """Return the network's inputs of the whole source, bucketed by shape as the engine does it, in memory."""
    by_size: dict[tuple[int, int], list[np.ndarray]] = {}
    for row in range(len(source)):
        image = source.image(row)
        size = network_size(*image.shape[:2], side)
        by_size.setdefault(size, []).append(network_image(image, size))
    return [np.stack(same[at : at + batch]) for same in by_size.values() for at in range(0, len(same), batch)]


def main() -> None:
    """Print images a second of both, and the median share."""
    parser = measuring.arguments(__doc__, rounds=3, batch=8, side=252)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--processes", type=int, nargs="*", default=[1], help="numbers of workers to compare")
    given = parser.parse_args()
    if given.clock == "cpu" and (given.threads, given.processes) != (1, [1]):
        parser.error("--clock cpu does not see other processes, and threads that wait: give --threads 1")
    measuring.prepare(given.threads, True)
    precision = "bf16" if given.bfloat16 else "fp32"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, model = collected(folder, given.count), measuring.ours(given.size)
        model.save(folder / "teacher")
        labeling = Labeling({folder / "teacher": 1.0}, "0" * 64, given.side, 14, given.batch, precision)
        predictor = DepthPredictor(model, given.side, precision=precision)
        batches = ready_batches(source, given.side, given.batch)
        variants: dict[str, Callable[[], object]] = {
            BARE: lambda: [predictor.batch_disparity(one) for one in batches],
            **{
                f"{count} worker(s), {max(1, given.threads // count)} thread(s) each": partial(
                    label, source, replace(labeling, threads=max(1, given.threads // count)), folder, count
                )
                for count in given.processes
            },
        }
        timings = measuring.interleaved(variants, BARE, given.rounds, given.clock)
    rows = [[name, f"{given.count / one.seconds:.1f}", f"{one.ratio:.0%}"] for name, one in timings.items()]
    print(given)
    print(measuring.table(["what", "images/s", "of the bare network"], rows))


def label(source: SourceFolder, labeling: Labeling, folder: Path, processes: int) -> None:
    """Label the whole source anew."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        label_source(source, labeling, Path(out, "s"), Path(out, "r"), lambda _: None, processes=processes)


if __name__ == "__main__":
    main()
