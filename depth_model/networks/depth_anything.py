"""Depth Anything: a DINOv2 encoder with a DPT decoder, for affine-invariant disparity (docs/paper.md 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from depth_model.networks import checkpoints, releases
from depth_model.networks.checkpoint_names import BadCheckpoint
from depth_model.networks.dpt import DPT
from depth_model.networks.encoder import Encoder, build_encoder, patch_grid
from depth_model.networks.variants import VARIANTS, Version


class DepthAnything(nn.Module):
    """Normalized images in, disparity of unknown scale and shift out (larger is closer).

    `size` is one of `VARIANTS` (see `Encoder`). `weights` initialize the encoder only, as the paper starts teacher and
    student: "none", "hub", "packaged" or a path (see `build_encoder`); the decoder is always random. `seed` draws
    everything that is random, without touching the global generator. `position_embedding` is "official" or "exact" (see
    `Encoder`). `blocks`: the four encoder blocks the decoder reads, 0-based and increasing, the last one the final
    block; by default the last four, as in the first Depth Anything. Raises ValueError for a bad argument, UserError or
    BadCheckpoint for weights that cannot be had.
    """

    def __init__(
        self,
        size: str,
        weights: str = "none",
        seed: int = 0,
        position_embedding: str = "official",
        blocks: Sequence[int] | None = None,
        version: Version | None = None,
    ) -> None:
        super().__init__()
        self.encoder: Encoder = build_encoder(size, weights, seed, position_embedding)
        self.decoder = DPT(VARIANTS[size], seed, patch=self.encoder.patch)
        row = VARIANTS[size]
        self.version: Version = version or (blocks is not None and row.version_of(blocks)) or "v1"
        blocks = row.out_indices("spread" if self.version == "v2" else "last") if blocks is None else blocks
        self.blocks = _checked_blocks(blocks, self.encoder.depth)

    def forward(self, images: Tensor) -> Tensor:
        """Return disparity (B, H, W) float32, >= 0, of `images` (B, 3, H, W).

        The images are RGB, normalized with ImageNet mean and deviation; H and W are multiples of the encoder's patch.
        Raises ValueError for other shapes.
        """
        return self.of_tokens(self.encoder(images, self.blocks), *patch_grid(images, self.encoder.patch))

    def of_tokens(self, tokens: Sequence[Tensor], rows: int, columns: int) -> Tensor:
        """Return what `forward` does of the tokens (B, rows * columns, D) of the four `blocks`."""
        return self.decoder(tokens, rows, columns)

    def predict_with_tokens(self, images: Tensor, block: int) -> tuple[Tensor, Tensor]:
        """Return what `forward` returns and the patch tokens (B, N, D) of one encoder block, from one pass.

        `block` is 0-based; its tokens have gone through the final LayerNorm and lack the class token, as feature
        alignment (equation 9) compares them.
        """
        tokens = self.encoder(images, [*self.blocks, block])
        return self.decoder(tokens[:4], *patch_grid(images, self.encoder.patch)), tokens[4]

    @classmethod
    def load(
        cls,
        path: str | Path,
        version: Version | None = None,
        blocks: Sequence[int] | None = None,
        position_embedding: str | None = None,
    ) -> DepthAnything:
        """Load a whole model: a folder written by `save`, a transformers folder or an official .pth.

        Recognized by content; size, blocks and position embedding follow from it. Whether a bare file is of the first
        or the second Depth Anything no tensor tells: its released name does, `version`, or `blocks` of one of them.
        `blocks` overrules those of the version, `position_embedding` what the folder says, or the default of a bare
        file, "official". Raises BadCheckpoint, also for a version that cannot be known and for the name of a metric
        model, and ValueError for blocks that do not exist.
        """
        release = releases.release_of(path)
        settings = checkpoints.read_settings(path)
        if release and release.metric and not settings:
            raise BadCheckpoint(f"{path} is a metric model by its name, and has another end than a relative one")
        state = our_state(checkpoints.read_model(path))
        size = size_of(state, path)
        stated = settings.get("version") or ("blocks" in settings and VARIANTS[size].version_of(settings["blocks"]))
        settings["version"] = releases.known_version(path, size, version, stated or None, blocks)
        if blocks is not None:
            settings["blocks"] = blocks
        if position_embedding is not None:
            settings["position_embedding"] = position_embedding
        model = cls(size, **settings)
        checkpoints.load_strictly(model, state, str(path))
        return model

    def save(self, folder: str | Path) -> None:
        """Write config.json, model.safetensors and preprocessor_config.json to `folder`.

        transformers' DepthAnythingForDepthEstimation.from_pretrained and its depth-estimation pipeline load the
        folder as it is; at sizes other than 518x518 transformers resizes the position embedding its own way
        ("exact"). A folder with registers or of DINOv3 is for this project alone: transformers' decoder does not know
        them. Equal models give equal bytes.
        """
        settings = {
            "size": self.encoder.size,
            "blocks": self.blocks,
            "position_embedding": self.encoder.position_embedding,
            "version": self.version,
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
    # Blocks after the last one read would be parameters that never get a gradient.
    if len(blocks) != 4 or sorted(set(blocks)) != list(blocks) or blocks[0] < 0 or blocks[-1] != depth - 1:
        raise ValueError(f"blocks={list(blocks)}: give four increasing numbers from 0, the last one {depth - 1}")
    return list(blocks)


def size_of(state: dict[str, Tensor], path: str | Path) -> str:
    """Tell the model size from the width of its fusion path and its registers, which in DINOv3 have no table beside.

    `state` has the names of this module; raises BadCheckpoint, naming `path`, for a decoder of another width.
    """
    convolution = state.get("decoder.scratch.output_conv1.weight")
    registers, table = (f"encoder.{name}" in state for name in ("register_tokens", "pos_embed"))
    for size, row in VARIANTS.items():
        if (bool(row.registers), row.rotary) == (registers, registers and not table):
            if convolution is not None and convolution.shape[1:2] == (row.features,):
                return size
    raise BadCheckpoint(f"{path} has a decoder of no known size; known are {', '.join(VARIANTS)}")
