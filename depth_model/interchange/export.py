"""A model as other programs take it: official `.pth`, torch.export; ONNX (see `onnx_file`) begins with the latter.

A program holds one graph for any batch and for any height and width that are multiples of the patch, from three patches
on, or for one image of one size. The position embedding of the size at hand is computed in the graph, in either variant
(see `Encoder`), as two matrix products: bicubic resizing is linear and separable, and an operator that resizes by a
number known only at run time is not the same in every runtime. Folders are written by `DepthAnything.save`.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from depth_model import files
from depth_model.errors import UserError
from depth_model.metric.heads.metric_depth import MetricDepth
from depth_model.networks.depth_anything import DepthAnything, official_state
from depth_model.networks.encoder import Encoder
from depth_model.semantic.heads.mask2former import Mask2FormerHead
from depth_model.semantic.heads.segmentation import Segmentation

AnyModel = DepthAnything | MetricDepth | Segmentation

LEAST_ROWS = 3
"""Below, the coarsest map of the decoder would be a single pixel, for which export needs another graph."""

MOST_ROWS = 1000
BICUBIC = -0.75
"""The parameter a of the cubic kernel that torch.nn.functional.interpolate has, without antialiasing."""
ANTIALIASED = -0.5
"""The same with antialiasing."""


class AnySize(nn.Module):
    """`model` as a graph without branches on the size of the image; the same function to rounding."""

    def __init__(self, model: AnyModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return what the model does of normalized `images` (B, 3, H, W), sides multiples of the patch."""
        encoder = self.model.encoder
        patches = encoder.patch_embed.proj(images)
        rows, columns = patches.shape[2:]
        tokens, first = patches.flatten(2).transpose(1, 2), encoder.cls_token
        if encoder.pos_embed is not None:
            tokens, first = tokens + self._positions(rows, columns), first + encoder.pos_embed[:, :1]
        tokens = encoder.with_registers(torch.cat([first.expand(images.shape[0], -1, -1), tokens], dim=1))
        tokens = tokens.to(encoder.norm.weight.dtype)
        turned, taken = encoder.rotation(rows, columns), []
        for index, block in enumerate(encoder.blocks[: max(self.model.blocks) + 1]):
            tokens = block(tokens, turned)
            if index in self.model.blocks:
                taken.append(encoder.norm(tokens)[:, encoder.prefix :])
        return self.model.of_tokens(taken, rows, columns)

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Return the position embedding of a rows x columns grid, (rows * columns, D)."""
        table = self.model.encoder.pos_embed[0, 1:]
        native = math.isqrt(len(table))
        # Counted in the graph: as Python numbers they would be frozen at the size that was traced.
        tall, wide = (torch.ones(1).expand(side).sum() for side in (rows, columns))
        excess = torch.zeros(())
        if self.model.encoder.position_embedding == "official":
            # A product, as Core ML's converter knows no "and".
            excess = 0.1 * (1 - (tall == native).float() * (wide == native).float())
        if self.model.encoder.register_tokens is not None:
            by_row, by_column = (antialiased_matrix(native, *side) for side in ((rows, tall), (columns, wide)))
        else:
            by_row = bicubic_matrix(native, rows, (tall + excess) / native)
            by_column = bicubic_matrix(native, columns, (wide + excess) / native)
        resized = torch.einsum("ri,ijd->rjd", by_row, table.unflatten(0, (native, native)))
        return torch.einsum("cj,rjd->rcd", by_column, resized).flatten(0, 1)


def bicubic_matrix(found: int, wanted: int, scale: Tensor) -> Tensor:
    """Return the matrix (wanted, found) of bicubic resizing by `scale`, without antialiasing, edges repeated."""
    places = (torch.arange(wanted) + 0.5) / scale - 0.5
    first = places.floor()
    taps = torch.arange(-1.0, 3.0)
    distance = (taps - (places - first)[:, None]).abs()
    weights = _cubic(distance, BICUBIC)
    sources = (first[:, None] + taps).clamp(0, found - 1)
    return (weights[:, :, None] * (sources[:, :, None] == torch.arange(found))).sum(dim=1)


def antialiased_matrix(found: int, wanted: int, count: Tensor) -> Tensor:
    """Return the matrix (wanted, found) of bicubic resizing with antialiasing; `count` is `wanted` as a tensor.

    Each row sums to one: what the kernel would take beyond an edge is left out, not repeated.
    """
    step = found / count
    places = (torch.arange(wanted) + 0.5) * step
    distance = (torch.arange(found) + 0.5 - places[:, None]).abs() / step.clamp(min=1)
    weights = torch.where(distance < 2, _cubic(distance, ANTIALIASED), 0.0)
    return weights / weights.sum(dim=1, keepdim=True)


def _cubic(distance: Tensor, a: float) -> Tensor:
    """Return Keys' cubic kernel with parameter `a` at `distance` from 0 to 2."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return torch.where(distance <= 1, near, far)


def export_official(model: nn.Module, path: Path) -> None:
    """Write the state dict in the layout of the released `depth_anything_vit*14.pth` (docs/paper.md 8.1).

    `model` is a `DepthAnything`, or a metric one with a sigmoid, whose released files have the same names.
    """
    buffer = io.BytesIO()
    torch.save({name: value.detach().cpu() for name, value in official_state(model.state_dict()).items()}, buffer)
    files.write_bytes(path, buffer.getvalue())


def exported(model: AnyModel, size: tuple[int, int] | None = None) -> torch.export.ExportedProgram:
    """Return `model` as a torch.export program of one input `images` (B, 3, H, W): of any batch and size (see above),
    or of one image of `size` (H, W). Raises UserError for a model that is exported for one size only, without one."""
    model = model.cpu().eval()
    graph = AnySize(model) if isinstance(model.encoder, Encoder) else model
    if size is not None:
        return torch.export.export(graph, (torch.zeros(1, 3, *size),))
    # The sizes of its maps are numbers in the library's pixel decoder, which an export would freeze.
    if graph is model or isinstance(getattr(model, "head", None), Mask2FormerHead):
        raise UserError("a Mask2Former, or MiDaS's encoder, is exported for one size of images only: name it (--size)")
    batch = torch.export.Dim("batch", min=1, max=1024)
    rows, columns = (torch.export.Dim(name, min=LEAST_ROWS, max=MOST_ROWS) for name in ("rows", "columns"))
    patch = model.encoder.patch
    shapes = {"images": {0: batch, 2: patch * rows, 3: patch * columns}}
    # An example away from every special case: more than one image, not square, not the native grid.
    example = torch.zeros(2, 3, 6 * patch, 9 * patch)
    return torch.export.export(graph, (example,), dynamic_shapes=shapes)


def export_program(model: AnyModel, path: Path, size: tuple[int, int] | None = None) -> None:
    """Write what `exported` returns, which `torch.export.load(path).module()` runs without this project."""
    buffer = io.BytesIO()
    torch.export.save(exported(model, size), buffer)
    files.write_bytes(path, buffer.getvalue())
