"""The one table of encoder sizes: what an encoder is, and which decoder it comes with (docs/paper.md 2.2).

Free of torch, so that parameters and plans read it too. A new size is a row here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

OutIndices = Literal["last", "spread"]
Version = Literal["v1", "v2"]
"""The first Depth Anything and the second, whose files have the same tensors (see `releases`)."""
PATCH = 14
"""Side of a patch in pixels, but for DINOv3."""


@dataclass(frozen=True)
class Variant:
    """One size of encoder, and the widths of the DPT decoder behind it.

    `width` of a token, number of blocks (`depth`) and attention heads; the decoder's fusion width (`features`) and the
    widths of its four levels (`out_channels`); `spread`: the blocks that the second Depth Anything reads, 0-based.
    `timm` names the weights of timm's hub, "" for none. `swiglu`: a gated MLP instead of a plain one; `registers`:
    tokens beside the class token; `rotary`: DINOv3, which turns queries and keys where DINOv2 has a table of positions.
    """

    width: int
    depth: int
    heads: int
    features: int
    out_channels: tuple[int, int, int, int]
    spread: tuple[int, int, int, int]
    timm: str = ""
    patch: int = PATCH
    swiglu: bool = False
    registers: int = 0
    rotary: bool = False

    def out_indices(self, which: OutIndices) -> tuple[int, ...]:
        """Return the four blocks (0-based) the decoder reads: "last" as in the first Depth Anything, or "spread"."""
        return self.spread if which == "spread" else tuple(range(self.depth - 4, self.depth))

    def version_of(self, blocks: Sequence[int]) -> Version | None:
        """Return the version whose decoder reads `blocks`, None for neither."""
        if tuple(blocks) == self.out_indices("last"):
            return "v1"
        return "v2" if tuple(blocks) == self.spread else None


_DINOV2 = {
    "tiny": Variant(48, 4, 3, 16, (8, 16, 24, 32), (0, 1, 2, 3)),
    "vits": Variant(384, 12, 6, 64, (48, 96, 192, 384), (2, 5, 8, 11), "vit_small_patch14_dinov2"),
    "vitb": Variant(768, 12, 12, 128, (96, 192, 384, 768), (2, 5, 8, 11), "vit_base_patch14_dinov2"),
    "vitl": Variant(1024, 24, 16, 256, (256, 512, 1024, 1024), (4, 11, 17, 23), "vit_large_patch14_dinov2"),
    "vitg": Variant(1536, 40, 24, 384, (1536,) * 4, (9, 19, 29, 39), "vit_giant_patch14_dinov2", swiglu=True),
}


def _with_registers(row: Variant) -> Variant:
    return replace(row, registers=4, timm=row.timm.replace("patch14", "patch14_reg4"))


def _dinov3(row: Variant) -> Variant:
    timm = row.timm.replace("patch14_dinov2", "patch16_dinov3")
    return replace(row, registers=4, timm=timm, patch=16, rotary=True)


VARIANTS = {
    **_DINOV2,
    **{f"{size}_reg": _with_registers(row) for size, row in _DINOV2.items()},
    **{f"dinov3_{size}16": _dinov3(row) for size, row in _DINOV2.items() if size != "vitg"},
}
"""Every size by its name; the "tiny" ones exist for tests and trial runs."""
PATCHES = sorted({row.patch for row in VARIANTS.values()})


def variant(size: str) -> Variant:
    """Return the row of `size`; raises ValueError that names the sizes there are."""
    if size not in VARIANTS:
        raise ValueError(f"size={size!r}: choose one of {', '.join(VARIANTS)}")
    return VARIANTS[size]
