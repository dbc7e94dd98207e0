"""How sources become shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from depth_model.settings import Engine, Positive, setting

Labels = bool | Literal["classes"]
"""What of a sample's labels is kept: all, none, or the class labels alone."""


@dataclass(frozen=True, kw_only=True)
class CollectSettings:
    """Limits of images (pixels) and the size of shards."""

    max_side: Positive = setting("pixels; larger images are re-encoded; not published", 2048)
    minimum_side: Positive = setting("pixels; smaller images go to quarantine", 32)
    decode_budget: str = setting("what one file may decode to, B to GB; larger ones go to quarantine", "1 GB")
    samples_per_shard: Positive = setting("at most; a shard holds at least half as many", 2000)

    def __post_init__(self) -> None:
        from depth_model.shards.decoding import bytes_of

        bytes_of(self.decode_budget)


@dataclass(frozen=True, kw_only=True)
class CollectMachine:
    """Where and in how many processes sources are read."""

    workers: Positive = setting("processes that read", 2)
    engine: Engine = setting("processes of this machine, or tasks on a Ray cluster", "local")
