"""Self-attention: timm's in float32, and the written-out one in bfloat16 training on the CPU."""

from __future__ import annotations

import pytest
import torch
from timm.layers import Attention

from depth_model.networks import Encoder
from depth_model.networks import attention as attention_module
from depth_model.networks.attention import SelfAttention, plain_attention, prefers_contiguous, prefers_plain


@pytest.fixture
def timms() -> Attention:
    torch.manual_seed(0)
    return Attention(48, num_heads=3, qkv_bias=True)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_float32_gives_the_bytes_of_timm_with_its_names_in_its_order(timms):
    tokens, ours = random(2, 17, 48).requires_grad_(), SelfAttention(timms)
    expected, found = timms(tokens), ours(tokens)
    assert torch.equal(found, expected)
    gradients = [torch.autograd.grad(one.square().sum(), [tokens, *timms.parameters()]) for one in (expected, found)]
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))
    assert list(ours.state_dict()) == list(timms.state_dict())


def test_plain_attention_agrees_with_the_equation_and_its_gradient():
    queries, keys, values = (random(2, 3, 9, 4, seed=seed).double().requires_grad_() for seed in range(3))
    scores = torch.einsum("bhnd,bhmd->bhnm", queries, keys) / 2
    weights = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)
    found = plain_attention(queries, keys, values)
    assert torch.allclose(found, torch.einsum("bhnm,bhmd->bhnd", weights, values))
    assert torch.autograd.gradcheck(plain_attention, (queries, keys, values))


def gradients(encoder: Encoder) -> torch.Tensor:
    encoder.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        tokens = encoder(random(2, 3, 70, 84), [3])[0]
    tokens.float().square().mean().backward()
    return torch.cat([one.grad.flatten() for one in encoder.parameters() if one.grad is not None])


@pytest.mark.parametrize("checkpointing", [False, True])
def test_bfloat16_training_is_as_near_to_float32_with_either_attention(monkeypatch, checkpointing):
    encoder = Encoder("tiny", seed=1)
    encoder.checkpointing = checkpointing
    used = []
    monkeypatch.setattr(attention_module, "plain_attention", lambda *qkv: used.append(1) or plain_attention(*qkv))
    plain = gradients(encoder)
    assert len(used) == (8 if checkpointing else 4)
    monkeypatch.setattr(attention_module, "prefers_plain", lambda queries: False)
    fused = gradients(encoder)
    monkeypatch.setattr(torch, "autocast", lambda *_: torch.enable_grad())
    exact = gradients(encoder)
    error, fused_error = ((one - exact).norm() / exact.norm() for one in (plain, fused))
    assert error < 0.03 and error < 1.5 * fused_error


def test_only_bfloat16_with_a_gradient_on_the_cpu_is_written_out():
    queries = random(1, 1, 2, 4)
    assert prefers_plain(queries.bfloat16().requires_grad_())
    assert not prefers_plain(queries.requires_grad_())
    assert not prefers_plain(queries.detach().bfloat16())
    assert not prefers_plain(torch.empty(1, 1, 2, 4, dtype=torch.bfloat16, device="meta", requires_grad=True))


def test_heads_are_copied_in_float32_on_the_cpu_alone():
    heads = random(3, 1, 2, 4, 8)
    assert prefers_contiguous(heads)
    assert not prefers_contiguous(heads.bfloat16())
    assert not prefers_contiguous(torch.empty(3, 1, 2, 4, 8, device="meta"))
