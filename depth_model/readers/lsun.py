"""LSUN: ten kinds of scenes, each an LMDB database of encoded pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from depth_model.reading import image_sets


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


def _expected(options: Options) -> tuple[str, ...]:
    return (f"**/*_{options.split}_lmdb",)


READER = image_sets.reader(
    name="lsun",
    options=Options,
    of=_set,
    expected=_expected,
    layout="""
        church_outdoor_train_lmdb/data.mdb        key -> encoded picture (WebP)
        bedroom_train_lmdb/data.mdb
        ...                                       (unpacked from church_outdoor_train_lmdb.zip etc.)
    """,
    description="Pictures of ten kinds of scenes; the databases of objects (`airplane`, `cat`, …) have other names and "
    "are not read, as they are not part of the paper's number.",
    license="none named by the authors: research use",
    images="9.9M in ten scene categories",
    where="https://github.com/fyu/lsun",
    paper="unlabeled (Table 1)",
)
