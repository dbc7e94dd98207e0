"""Pictures that a base and a ControlNet make of depth, and figure 4: an image, its depth by models, what each gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from depth_model import files
from depth_model.controlnet.base import diffusers_library
from depth_model.errors import UserError

if TYPE_CHECKING:
    from diffusers import ControlNetModel, StableDiffusionPipeline
    from matplotlib.figure import Figure

Row = tuple[np.ndarray, Mapping[str, tuple[np.ndarray, np.ndarray]]]
"""An image, and by the name of each model its conditioning image and the synthesis, all uint8 (H, W, 3)."""
HEADING = 8


def load_controlnet(name: str) -> ControlNetModel:
    """Return the ControlNet in a folder or of a hub; raises UserError when it cannot be had."""
    try:
        read = diffusers_library().ControlNetModel.from_pretrained
        return read(name, use_safetensors=True, low_cpu_mem_usage=False).eval()
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"--controlnet {name}: cannot be loaded ({reason}); name a folder or the id of one on a hub"
        ) from error


def synthesizer(base: StableDiffusionPipeline, controlnet: ControlNetModel, device: torch.device) -> Any:
    """Return diffusers' pipeline of `base` with `controlnet` on `device`."""
    pipeline = diffusers_library().StableDiffusionControlNetPipeline(
        **base.components, controlnet=controlnet, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def synthesized(pipeline: Any, condition: np.ndarray, prompt: str, seed: int, steps: int) -> np.ndarray:
    """Return the picture uint8 (H, W, 3) that `pipeline` makes of a conditioning image, uint8 (H, W, 3), both sides
    multiples of its stride. The same arguments give the same picture."""
    generator = torch.Generator().manual_seed(seed)
    made = pipeline(prompt, image=Image.fromarray(condition), num_inference_steps=steps, generator=generator)
    return np.asarray(made.images[0].convert("RGB"))


def figure(rows: Sequence[Row]) -> Figure:
    """Return the figure of `rows`, of the same models all."""
    from matplotlib import figure as drawing

    titles = ["image", *(part for name in rows[0][1] for part in (f"depth: {name}", f"synthesis: {name}"))]
    drawn = drawing.Figure(figsize=(2.2 * len(titles), 2.0 * len(rows) + 0.3), layout="constrained")
    axes = drawn.subplots(len(rows), len(titles), squeeze=False)
    for line, (image, models) in zip(axes, rows, strict=True):
        pictures = [image, *(picture for pair in models.values() for picture in pair)]
        for place, picture in zip(line, pictures, strict=True):
            place.imshow(picture)
            place.set_axis_off()
    for place, title in zip(axes[0], titles, strict=True):
        place.set_title(title, fontsize=HEADING)
    return drawn


def write_figure(path: Path, rows: Sequence[Row]) -> None:
    """Write `figure` of `rows` as a PNG."""
    with files.atomic_path(path) as temporary:
        figure(rows).savefig(temporary, format="png", dpi=150, metadata={"Software": None})
