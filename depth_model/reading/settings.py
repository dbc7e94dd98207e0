"""How sources become shards."""

from __future__ import annotations

from dataclasses import dataclass

from depth_model.settings import Engine, Positive, setting


@dataclass(frozen=True, kw_only=True)
class CollectSettings:
    """Limits of images (pixels) and the size of shards."""

    max_side: Positive = setting("pixels; larger images are re-encoded; not published", 2048)
    minimum_side: Positive = setting("pixels; smaller images go to quarantine", 32)
    samples_per_shard: Positive = setting("at most; a shard holds at least half as many", 2000)


@dataclass(frozen=True, kw_only=True)
class CollectMachine:
    """Where and in how many processes sources are read."""

    workers: Positive = setting("processes that read", 2)
    engine: Engine = setting("processes of this machine, or tasks on a Ray cluster", "local")
