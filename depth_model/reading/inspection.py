"""What a data set holds, counted while it is read: samples, refusals, sizes, labels and their range."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from depth_model.errors import BadInput
from depth_model.reading.reader import Reader, rooted
from depth_model.shards.disparity import labeled_pixels
from depth_model.shards.images import decode_rgb
from depth_model.shards.sample import Sample
from depth_model.shards.target_statistics import implausible


@dataclass
class Statistics:
    """Running statistics of the samples of one data set; a few numbers per sample stay in memory.

    `sizes`: (height, width) -> samples. `refused`: reason -> samples. `valid`: share of labeled pixels of each sample
    with a target. `medians`: of the labels of each sample. `low`, `high`: of all labels. `kinds`: target kind ->
    samples.
    """

    samples: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    valid: list[float] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, sample: Sample) -> None:
        """Count one sample; its image is decoded. Raises BadInput for an image that cannot be read."""
        height, width, _ = decode_rgb(sample.image).shape
        if sample.target is not None and sample.target.shape != (height, width):
            raise BadInput(f"target of shape {sample.target.shape}, but the image is {height} x {width} pixels")
        self.samples += 1
        self.sizes[height, width] += 1
        if sample.target is not None:
            self._add_target(sample.target, str(sample.target_kind))

    def _add_target(self, target: np.ndarray, kind: str) -> None:
        labeled = labeled_pixels(target, kind)
        self.kinds[kind] += 1
        self.valid.append(float(labeled.mean()))
        if labeled.any():
            known = target[labeled]
            self.medians.append(float(np.median(known)))
            self.low, self.high = min(self.low, float(known.min())), max(self.high, float(known.max()))

    def lines(self) -> list[str]:
        """Return the statistics as lines of text."""
        shown = [f"samples read   {self.samples}"]
        shown += [f"size           {height} x {width}: {count}" for (height, width), count in self.sizes.most_common(5)]
        shown += [f"target         {kind}: {count}" for kind, count in self.kinds.most_common()]
        if self.valid:
            low, mean, high = min(self.valid), float(np.mean(self.valid)), max(self.valid)
            shown.append(f"labeled        {mean:.1%} of the pixels ({low:.1%} to {high:.1%} of an image)")
        if self.kinds and not self.medians:
            shown.append("warning        no pixel has a label: all values are missing, or none is positive")
        if self.low <= self.high:
            meters = set(self.kinds) == {"metric_depth"}
            shown.append(f"labels         {self.low:.6g} to {self.high:.6g}{' m' if meters else ''}")
            if meters and (strange := implausible(self.low, self.high, float(np.median(self.medians)))):
                shown.append(f"warning        {strange}")
        refused = self.refused.most_common(5)
        return shown + [f"refused        {count}: {reason}" for reason, count in refused]


def inspected(reader: Reader, root: Path, options: Any, limit: int | None = None) -> Statistics:
    """Return the statistics of what `reader` finds below `root`, of the first `limit` samples if given.

    A sample that cannot be read is counted with its reason. Raises BadInput for a root that is missing or incomplete.
    """
    found, place = Statistics(), rooted(root, options)
    for item in islice(reader.everything(root, options), limit):
        try:
            if item.fault:
                raise BadInput(item.fault)
            found.add(reader.load(place, item, options))
        except (BadInput, OSError) as error:
            found.refused[str(error)] += 1
    return found
