"""Any segmentation model of the transformers library: a sky segmenter, if it knows a class "sky"; or all its classes.

SegFormer, UperNet and the like give a score per class and pixel; MaskFormer, Mask2Former and OneFormer give masks
with a class each. Weights are read from safetensors only and no code from a model's repository is run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from depth_model.errors import UserError

MASK_MODELS = ("maskformer", "mask2former", "oneformer")
MOST_CLASSES = 255
_TASK = "the task is semantic"
Inputs = Callable[[np.ndarray], dict[str, torch.Tensor]]
"""From an image, uint8 (H, W, 3), to what a model is called with."""
Probabilities = Callable[[np.ndarray], torch.Tensor]
"""From an image, uint8 (H, W, 3), to the probabilities of its classes, float32 (C, H, W)."""


def load_transformers_segmenter(name: str, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from image, uint8 (H, W, 3), to the probability of sky, float32 (H, W) in [0, 1].

    `name` is a folder or the id of a model on the hub, which computes on `device`. Raises UserError when transformers
    is not installed, the model cannot be read, is of another kind, or has no class "sky".
    """
    probabilities, labels = _segmenter(name, device, "sky segmenter", "packaged_probe, none")
    sky = _sky_class(name, labels)
    return lambda image: probabilities(image)[sky].cpu().numpy()


def load_class_segmenter(name: str, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from image, uint8 (H, W, 3), to the most probable class of each pixel, uint8 (H, W).

    `name` and what is raised are as in `load_transformers_segmenter`; more than 255 classes are a UserError, too.
    """
    probabilities, labels = _segmenter(name, device, "segmenter", "labels, a folder of maps")
    if len(labels) > MOST_CLASSES:
        raise UserError(f"segmenter {name!r}: {len(labels)} classes, a map holds {MOST_CLASSES}")
    return lambda image: probabilities(image).argmax(0).to(torch.uint8).cpu().numpy()


def _segmenter(name: str, device: torch.device, what: str, others: str) -> tuple[Probabilities, dict[int, str]]:
    """Return the model `name` as what gives the probabilities (C, H, W) of an image, and the names of the classes.

    `what` it is for and what `others` there are is said when it cannot be had.
    """
    transformers = _transformers(name, what, others)
    inputs, model = _read(transformers, name, what, others)
    model.to(device)
    scores = _from_masks if model.config.model_type in MASK_MODELS else _from_logits

    @torch.inference_mode()
    def probabilities(image: np.ndarray) -> torch.Tensor:
        output = model(**{key: value.to(device) for key, value in inputs(image).items()})
        return scores(output, image.shape[:2])

    return probabilities, model.config.id2label


def _transformers(name: str, what: str, others: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            f"{what} {name!r} needs the library transformers: pip install 'open-depth-anything[sky]', or give {others}"
        ) from error
    return transformers


def _read(transformers: Any, name: str, what: str, others: str) -> tuple[Inputs, Any]:
    """Return what makes the model's inputs of an image, and the model."""
    try:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
        kind = (
            transformers.AutoModelForUniversalSegmentation
            if config.model_type in MASK_MODELS
            else transformers.AutoModelForSemanticSegmentation
        )
        model = kind.from_pretrained(name, use_safetensors=True, trust_remote_code=False)
        read = _inputs_with_task if config.model_type == "oneformer" else _inputs
        inputs = read(transformers, name, config)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{what} {name!r} cannot be loaded ({reason[:300]}); give {others}, or the folder or hub id of a semantic "
            "segmentation model with safetensors weights"
        ) from error
    return inputs, model.eval().requires_grad_(False)


def _inputs(transformers: Any, name: str, _config: Any) -> Inputs:
    processor = transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    return lambda image: {"pixel_values": processor(images=image, return_tensors="pt")["pixel_values"]}


def _inputs_with_task(transformers: Any, name: str, config: Any) -> Inputs:
    """Return what makes OneFormer's inputs: the image and the tokens of its task, with zeros after their end."""
    # As it stands, the processor fetches names of classes from another repository, which only training reads.
    processor = transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False, class_info_file=None)
    tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    text = tokenizer([_TASK], padding="max_length", max_length=config.task_seq_len, return_tensors="pt")
    if tokenizer.decode(text["input_ids"][0], skip_special_tokens=True).strip() != _TASK:
        raise ValueError(f"its tokenizer cannot say {_TASK!r}: is tokenizer.json (or vocab.json, merges.txt) there?")
    task = text["input_ids"] * text["attention_mask"]

    def inputs(image: np.ndarray) -> dict[str, torch.Tensor]:
        pixels = processor(images=image, task_inputs=["semantic"], return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixels, "task_inputs": task}

    return inputs


def _sky_class(name: str, id2label: dict[int, str]) -> int:
    """Return the number of the class one of whose comma-separated names is "sky"."""
    numbers = [k for k, label in id2label.items() if "sky" in (part.strip().lower() for part in label.split(","))]
    if len(numbers) != 1:
        raise UserError(
            f"sky segmenter {name!r}: {len(numbers)} of its {len(id2label)} classes are named 'sky', one is needed"
        )
    return int(numbers[0])


def _from_logits(output: Any, size: tuple[int, int]) -> torch.Tensor:
    return _resized(output.logits, size).softmax(1)[0]


def _resized(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return functional.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)


def _from_masks(output: Any, size: tuple[int, int]) -> torch.Tensor:
    """Return the share of each class in the scores of each pixel: mask times class probability, summed over masks."""
    classes = output.class_queries_logits.float().softmax(-1)[0, :, :-1]  # the last class is "no object"
    masks = _resized(output.masks_queries_logits, size)[0].sigmoid()
    scores = torch.einsum("qc,qhw->chw", classes, masks)
    return scores / scores.sum(0).clamp_min(1e-12)
