"""A model that OpenVINO compiles for this CPU: the same function, in less time (docs/measurements/speed.md).

It goes through ONNX, and is compiled once for every shape of a batch, in a second or two.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from depth_model.errors import UserError
from depth_model.interchange.export import LEAST_ROWS
from depth_model.interchange.onnx_file import OnnxOptions, onnx_bytes
from depth_model.networks.depth_anything import DepthAnything

SHAPES = 16
"""How many compiled shapes are kept, those used last."""
ATTENTION = 23
"""The first opset of ONNX in which attention is one operator, as OpenVINO has it."""
HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoModel:
    """`model`, as it is now, for disparity on the CPU: called like it, in float32 or with most work in bfloat16.

    Runs as many threads as torch does at the time. A CPU without bfloat16 computes "bf16" in float32. Raises
    ValueError for a model on another device, and UserError without the packages openvino and onnxscript.
    """

    def __init__(self, model: DepthAnything, precision: Literal["fp32", "bf16"] = "fp32") -> None:
        if next(model.parameters()).device.type != "cpu":
            raise ValueError("OpenVINO is for the CPU, and the model is on another device")
        self._core = _core()
        self.least = LEAST_ROWS * model.encoder.patch
        self._network = self._core.read_model(onnx_bytes(copy.deepcopy(model), OnnxOptions(ATTENTION)))
        self._settings = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        self._compiled = lru_cache(maxsize=SHAPES)(self._compile)

    def __call__(self, images: Tensor) -> Tensor:
        """Return disparity (B, H, W) float32, >= 0, of normalized `images` (B, 3, H, W) on the CPU.

        H and W are multiples of the patch. Raises ValueError for a side of fewer than three patches.
        """
        if min(images.shape[2:]) < self.least:
            raise ValueError(f"images of {tuple(images.shape[2:])} pixels: OpenVINO's graph begins at {self.least}")
        found = self._compiled(tuple(images.shape)).infer({0: images.numpy()})[0]
        return torch.from_numpy(found.copy())

    def _compile(self, shape: tuple[int, ...]) -> Any:
        network = self._network.clone()
        network.reshape(list(shape))
        return self._core.compile_model(network, "CPU", self._settings).create_infer_request()


@lru_cache(maxsize=1)
def _core() -> Any:
    """Return OpenVINO, the same for all models and until the process ends.

    Its plugin for the CPU gives the thread that first uses it another stack for signals, and frees that stack when it
    goes itself. When another thread lets go of it the stack is still in use then, and the next signal that Python
    handles, such as one that ends a training, is a segmentation fault (OpenVINO 2026.4).
    """
    try:
        import openvino
    except ImportError as error:
        raise UserError("this needs openvino: pip install 'open-depth-anything[openvino]'") from error
    return openvino.Core()
