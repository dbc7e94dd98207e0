"""Class maps of every image of a source: what the student's auxiliary task learns (paper 3.3).

The paper makes them by RAM, GroundingDINO and HQ-SAM; here by any semantic or panoptic model of transformers, from maps
that were made elsewhere, or from the labels that the data set came with. Written to the sidecar `data/class_map/<name>`
shard by shard, as sky masks are: by several processes, on GPUs or a Ray cluster, and a killed run goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import torch

from depth_model.errors import BadInput, named
from depth_model.networks.device import torch_threads, worker_device
from depth_model.reading.engines import HELPERS, ahead, over_shards, slot
from depth_model.settings import Engine
from depth_model.shards import rasters
from depth_model.shards.sample import check_key
from depth_model.shards.source import SourceFolder, join_sidecar, write_sidecar_shard
from depth_model.shards.store import Bucket
from depth_model.sky.settings import LABELS

SUFFIX = "classes.png"
IGNORE = 255


@dataclass(frozen=True)
class ClassMapping:
    """Everything that a class map depends on, and where it is made; cheap to send to another process.

    `segmenter` is LABELS, a folder of maps (`<key>.png`, or named by the path of the image; gray, 8 bits, 255 = no
    class), or the folder or hub id of a segmentation model of transformers. `threads` and `device` are those of
    `depth_model.sky.masks.Masking`.
    """

    segmenter: str
    threads: int = 0
    device: Literal["auto", "cpu", "gpu"] = "auto"


def map_source(
    source: SourceFolder,
    mapping: ClassMapping,
    scratch: Path,
    result: Path,
    progress: Callable[[int], None],
    engine: Engine = "local",
    processes: int = 1,
    store: Bucket | None = None,
) -> None:
    """Write the class maps of every sample of `source` to `result`: shards and sidecar.parquet.

    The table says `largest`, the largest class of a map, -1 without any, and `labeled_fraction`. The other arguments,
    and what is raised beside BadInput for a map that is not there, are as in `depth_model.sky.masks.mask_source`.
    """
    for images in over_shards(_map_shard, source, mapping, scratch, progress, engine, processes, store):
        progress(images)
    join_sidecar(scratch, result, source)


def _map_shard(source: SourceFolder, shared: tuple[ClassMapping, Path, Bucket | None]) -> int:
    """Write the maps of `source`, the samples of one shard, into a folder; return how many they are."""
    mapping, scratch, store = shared
    [(shard, rows)] = source.shards()
    read = _reader(source, mapping, worker_device(mapping.device, slot()))
    encoded, columns = [], {"largest": [], "labeled_fraction": []}
    with torch_threads(mapping.threads):
        for found in read(rows):
            known = found[found != IGNORE]
            encoded.append(rasters.encode_labels(found))
            columns["largest"].append(int(known.max()) if known.size else -1)
            columns["labeled_fraction"].append(known.size / found.size)
    write_sidecar_shard(scratch, source, shard, SUFFIX, encoded, columns, store)
    return len(rows)


def _reader(source: SourceFolder, mapping: ClassMapping, device: torch.device) -> Callable:
    """Return what yields the class map, uint8 (h, w), of each of some rows of `source`."""
    if mapping.segmenter == LABELS:
        return lambda rows: (_labels(source, int(row)) for row in rows)
    if is_folder_of_maps(mapping.segmenter):
        return lambda rows: (_stored(source, int(row), Path(mapping.segmenter)) for row in rows)
    segmenter = _segmenter(mapping.segmenter, device)
    return lambda rows: (segmenter(image) for image in ahead(source.image, map(int, rows), HELPERS))


def is_folder_of_maps(segmenter: str) -> bool:
    """Whether `segmenter` is a folder without a model."""
    return Path(segmenter).is_dir() and not Path(segmenter, "config.json").is_file()


def _labels(source: SourceFolder, row: int) -> np.ndarray:
    found = source.semantic(row)
    return np.full((1, 1), IGNORE, np.uint8) if found is None else found


def _stored(source: SourceFolder, row: int, folder: Path) -> np.ndarray:
    key, path = source.names(row)
    check_key(key)
    inside = PurePosixPath(path)
    names = [key, *([] if inside.is_absolute() or ".." in inside.parts else [path, str(inside.with_suffix(""))])]
    file = next((file for name in names if (file := folder / f"{name}.png").is_file()), None)
    with named(f"{source.folder.name}/{key}"):
        if file is None:
            raise BadInput(f"{folder} holds no {key}.png; take the image out or give it a map of 255")
        return rasters.decode_labels(file.read_bytes())


@lru_cache(maxsize=1)
def _segmenter(name: str, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    from depth_model.sky.transformers_segmenter import load_class_segmenter

    with named("params.yaml: class_map"):
        return load_class_segmenter(name, device)
