"""LSUN: ten kinds of scenes, each an LMDB database of encoded pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from depth_model.datasets import image_sets
from depth_model.datasets.sample import Reader


@dataclass(frozen=True)
class Options:
    """`split`: "train" or "val", which is part of the name of each database."""

    split: Literal["train", "val"] = "train"


@cache
def _set(options: Options) -> image_sets.ImageSet:
    return image_sets.ImageSet(
        archives=re.compile(rf"(?:.*/)?[a-z_]+_{options.split}_lmdb/data\.mdb"),
        images=re.compile(rf"(?:.*/)?([a-z_]+)_{options.split}_lmdb/data\.mdb/(.+)"),
    )


READER = Reader(
    name="lsun",
    options=Options,
    items=lambda root, options: _set(options).items(root),
    load=lambda root, item, options: image_sets.load(root, item),
    watch=lambda root, options: _set(options).watch(root),
    layout="""
church_outdoor_train_lmdb/data.mdb        key -> encoded picture (WebP)
bedroom_train_lmdb/data.mdb
...                                       (unpacked from church_outdoor_train_lmdb.zip etc.)
""",
    description="Pictures of ten kinds of scenes. All that LSUN has of objects (`airplane`, `cat`, …) is not part of the paper's number and only read when its database has such a name.",
    licence="none named by the authors: research use",
    images="9.9M in ten scene categories",
    where="https://github.com/fyu/lsun",
    paper="unlabeled (Table 1)",
)
