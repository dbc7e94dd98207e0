"""Self-attention of the encoder, written out where torch's fused kernel is the slower one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_model.networks.rotary import Rotation, rotated


class SelfAttention(nn.Module):
    """Multi-head self-attention without mask and dropout, as in the blocks of DINOv2 and DINOv3.

    Takes over the layers `qkv` and `proj` of timm's `attention`, so names and order of parameters stay.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.num_heads: int = attention.num_heads
        self.qkv: nn.Linear = attention.qkv
        self.proj: nn.Linear = attention.proj

    def forward(self, tokens: Tensor, rotation: Rotation | None = None) -> Tensor:
        """Return what tokens (B, N, D) take from each other, in the same shape; `rotation` turns queries and keys."""
        heads = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = heads.contiguous() if prefers_contiguous(heads) else heads
        if rotation is not None:
            queries, keys = rotated(queries, rotation), rotated(keys, rotation)
        attend = plain_attention if prefers_plain(queries) else functional.scaled_dot_product_attention
        return self.proj(attend(queries, keys, values).transpose(1, 2).flatten(2))


def prefers_contiguous(heads: Tensor) -> bool:
    """Return whether attention is faster when every head of `heads` is copied to a place of its own first.

    So it is in float32 on the CPU, where the products of torch's fused kernel read rows three embeddings apart.
    """
    return heads.is_cpu and heads.dtype == torch.float32


def prefers_plain(queries: Tensor) -> bool:
    """Return whether plain attention is faster for `queries`: bfloat16 on the CPU, with a gradient to come.

    There torch's fused kernel computes the weights again in the backward pass, in more time than it takes to keep them
    (docs/measurements/speed.md). It is the faster one without gradients, in float32 and on a GPU.
    """
    return queries.requires_grad and queries.is_cpu and queries.dtype == torch.bfloat16


def plain_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return softmax(Q K^T / sqrt(d)) V, (B, heads, N, d) like its arguments.

    Keeps the weights (B, heads, N, N) for the backward pass: 23 MB for a picture of 518x518, ViT-S and one block.
    """
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-2, -1)
    return scores.softmax(dim=-1) @ values
