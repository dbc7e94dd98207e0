"""Depth Anything: a DINOv2 encoder with a DPT decoder, for affine-invariant disparity (docs/paper.md 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from depth_model.networks import checkpoints
from depth_model.networks.checkpoint_names import BadCheckpoint
from depth_model.networks.dpt import CHANNELS, DPT
from depth_model.networks.encoder import DINOV3, SIZES, Encoder, build_encoder, patch_grid

SPREAD_BLOCKS = {"tiny": (0, 1, 2, 3), "vits": (2, 5, 8, 11), "vitb": (2, 5, 8, 11), "vitl": (4, 11, 17, 23)}
SPREAD_BLOCKS |= {f"{size}_reg": blocks for size, blocks in SPREAD_BLOCKS.items()} | {
    f"dinov3_{size}16": blocks for size, blocks in SPREAD_BLOCKS.items()
}
"""Encoder blocks that the second Depth Anything reads, 0-based (docs/paper.md 2.2); the first reads the last four."""


class DepthAnything(nn.Module):
    """Normalised images in, disparity of unknown scale and shift out (larger is closer).

    `size`: "tiny" (tests), "vits", "vitb", "vitl", one of them with "_reg" at its end, or DINOv3's "dinov3_vits16" and
    so on (see `Encoder`). `weights` initialise the encoder only, as the paper starts teacher and student: "none",
    "hub", "packaged" or a path (see `build_encoder`); the decoder is always random. `seed` draws everything that is
    random, without touching the global generator. `position_embedding` is "official" or "exact" (see `Encoder`).
    `blocks`: the four encoder blocks the decoder reads, 0-based and increasing, the last one the final block; by
    default the last four, as in the first Depth Anything. Raises ValueError for a bad argument, UserError for weights
    that cannot be had.
    """

    def __init__(
        self,
        size: str,
        weights: str = "none",
        seed: int = 0,
        position_embedding: str = "official",
        blocks: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.encoder: Encoder = build_encoder(size, weights, seed, position_embedding)
        self.decoder = DPT(self.encoder.dimension, *CHANNELS[size], seed=seed, patch=self.encoder.patch)
        self.blocks = _checked_blocks(blocks, self.encoder.depth)

    def forward(self, images: Tensor) -> Tensor:
        """Return disparity (B, H, W) float32, >= 0, of `images` (B, 3, H, W).

        The images are RGB, normalised with ImageNet mean and deviation; H and W are multiples of the encoder's patch.
        Raises ValueError for other shapes.
        """
        return self.decoder(self.encoder(images, self.blocks), *patch_grid(images, self.encoder.patch))

    def predict_with_tokens(self, images: Tensor, block: int) -> tuple[Tensor, Tensor]:
        """Return what `forward` returns and the patch tokens (B, N, D) of one encoder block, from one pass.

        `block` is 0-based; its tokens have gone through the final LayerNorm and lack the class token, as feature
        alignment (equation 9) compares them.
        """
        tokens = self.encoder(images, [*self.blocks, block])
        return self.decoder(tokens[:4], *patch_grid(images, self.encoder.patch)), tokens[4]

    @classmethod
    def load(
        cls, path: str | Path, blocks: Sequence[int] | None = None, position_embedding: str | None = None
    ) -> DepthAnything:
        """Load a whole model: a folder written by `save`, a transformers folder or an official .pth.

        Recognised by content; size, blocks and position embedding follow from it. A bare file cannot tell which
        blocks it was trained with: the last four are assumed, `blocks` says otherwise (the second Depth Anything
        reads 2, 5, 8, 11, or 4, 11, 17, 23 for ViT-L). `position_embedding` overrules what the folder says, or the
        default of a bare file, "official". Raises BadCheckpoint, and ValueError for blocks that do not exist.
        """
        state = our_state(checkpoints.read_model(path))
        settings = checkpoints.read_settings(path)
        if blocks is not None:
            settings["blocks"] = blocks
        if position_embedding is not None:
            settings["position_embedding"] = position_embedding
        model = cls(size_of(state, path), **settings)
        checkpoints.load_strictly(model, state, str(path))
        return model

    def save(self, folder: str | Path) -> None:
        """Write config.json, model.safetensors and preprocessor_config.json to `folder`.

        transformers' DepthAnythingForDepthEstimation.from_pretrained and its depth-estimation pipeline load the
        folder as it is; at sizes other than 518x518 transformers resizes the position embedding its own way
        ("exact"). A folder with registers or of DINOv3 is for this project alone: transformers' decoder does not know
        them. Equal models give equal bytes.
        """
        size = self.encoder.size
        features, out_channels = CHANNELS[size]
        settings = {
            "size": size,
            "blocks": self.blocks,
            "position_embedding": self.encoder.position_embedding,
            "patch": self.encoder.patch,
            "heads": self.encoder.blocks[0].attn.num_heads,
            "features": features,
            "out_channels": out_channels,
        }
        checkpoints.write_folder(Path(folder), self.official_state(), settings)

    def official_state(self) -> dict[str, Tensor]:
        """Return the state dict under the names of the official `depth_anything_vit*14.pth`."""
        return official_state(self.state_dict())


def official_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate `encoder.*` and `decoder.*`, as named here, to the official `pretrained.*` and `depth_head.*`."""
    return {
        name.replace("encoder.", "pretrained.", 1).replace("decoder.", "depth_head.", 1): value
        for name, value in state.items()
    }


def our_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate the official names to this project's: the inverse of `official_state`."""
    return {
        name.replace("pretrained.", "encoder.", 1).replace("depth_head.", "decoder.", 1): value
        for name, value in state.items()
    }


def _checked_blocks(blocks: Sequence[int] | None, depth: int) -> list[int]:
    if blocks is None:
        return list(range(depth - 4, depth))
    # Blocks after the last tap would be parameters that never get a gradient.
    if len(blocks) != 4 or sorted(set(blocks)) != list(blocks) or blocks[0] < 0 or blocks[-1] != depth - 1:
        raise ValueError(f"blocks={list(blocks)}: give four increasing numbers from 0, the last one {depth - 1}")
    return list(blocks)


def size_of(state: dict[str, Tensor], path: str | Path) -> str:
    """Tell the model size from the width of its fusion path and its registers, which in DINOv3 have no table beside.

    `state` has the names of this module; raises BadCheckpoint, naming `path`, for a decoder of another width.
    """
    convolution = state.get("decoder.scratch.output_conv1.weight")
    registers, table = (f"encoder.{name}" in state for name in ("register_tokens", "pos_embed"))
    for size in SIZES:
        if (size.endswith("_reg"), size in DINOV3) != (registers and table, registers and not table):
            continue
        if convolution is not None and convolution.shape[1:2] == (CHANNELS[size][0],):
            return size
    raise BadCheckpoint(f"{path} has a decoder of no known size; known are {', '.join(SIZES)}")
