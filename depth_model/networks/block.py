"""The transformer block of DINOv2 and DINOv3: attention and MLP, each after a LayerNorm and before a LayerScale.

Of ViT-G the MLP is gated (SwiGLU), with DINOv2's own names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_model.networks.attention import SelfAttention
from depth_model.networks.rotary import Rotation


class Block(nn.Module):
    """tokens + gamma1 * attention(norm1(tokens)), then + gamma2 * mlp(norm2(.)).

    Takes over the layers of timm's `block`, so names and order of parameters stay.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.norm1, self.attn, self.ls1 = block.norm1, SelfAttention(block.attn), block.ls1
        self.norm2, self.mlp, self.ls2 = block.norm2, block.mlp, block.ls2

    def forward(self, tokens: Tensor, rotation: Rotation | None = None) -> Tensor:
        """Return tokens (B, N, D) in the same shape; `rotation` is that of DINOv3's queries and keys, if it is one."""
        # Scale and sum in one pass over the tokens; in bfloat16 with one rounding instead of two.
        tokens = torch.addcmul(tokens, self.attn(self.norm1(tokens), rotation), self.ls1.gamma)
        return torch.addcmul(tokens, self.mlp(self.norm2(tokens)), self.ls2.gamma)


class SwiGLU(nn.Module):
    """w3(silu(a) * b) with (a, b) = w12(tokens), in place of timm's MLP, which it is constructed like.

    Two thirds of the hidden width of a plain MLP, in multiples of 8 ("GLU Variants Improve Transformer", arXiv
    2002.05202), so that it has about as many parameters.
    """

    def __init__(self, in_features: int, hidden_features: int, **ignored: object) -> None:
        super().__init__()
        width = (int(hidden_features * 2 / 3) + 7) // 8 * 8
        self.w12 = nn.Linear(in_features, 2 * width)
        self.w3 = nn.Linear(width, in_features)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, D) to the same shape."""
        gate, values = self.w12(tokens).chunk(2, dim=-1)
        return self.w3(functional.silu(gate) * values)
