from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from cacheroute.engine.embedded.kernels import KEY_BLOCK, Linear, attend, causal_mask, packs_weights, rms_norm, rotate

KV_HEADS, GROUP, DIM = 3, 3, 64


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, start: int = 0) -> torch.Tensor:
    """Attention of `q` `[kv_heads, tokens, group, dim]` at positions from `start` on, in one go."""
    scaled = (q * DIM**-0.5).reshape(len(q), -1, DIM)
    return attend(scaled, k, v, start, causal_mask(q.shape[2])).view(q.shape)


@pytest.mark.parametrize("tokens", [1, 31, 33, 130, 300, KEY_BLOCK + 100])
def test_attention_is_causal_softmax_attention(tokens: int) -> None:
    q, k, v = (
        randn(KV_HEADS, tokens, GROUP, DIM),
        randn(KV_HEADS, 1152, DIM, seed=1),
        randn(KV_HEADS, 1152, DIM, seed=2),
    )
    scores = torch.einsum("htgd,hsd->hgts", q.float(), k[:, :tokens].float()) * DIM**-0.5
    scores.masked_fill_(torch.ones(tokens, tokens).triu(1).bool(), float("-inf"))
    expected = torch.einsum("hgts,hsd->htgd", scores.softmax(-1), v[:, :tokens].float())
    assert torch.allclose(attended(q, k, v).float(), expected, atol=0.03)


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 199), max_size=6, unique=True),
    first=st.sampled_from([0, 5, KEY_BLOCK - 100, KEY_BLOCK]),
    group=st.sampled_from([1, 3]),
    seed=st.integers(0, 1000),
)
def test_attention_has_the_same_bits_however_the_queries_are_cut(
    cuts: list[int], first: int, group: int, seed: int
) -> None:
    q, k, v = (randn(2, 200, group, DIM, seed=seed), randn(2, 1280, DIM, seed=seed + 1), randn(2, 1280, DIM, seed=2))
    bounds = [0, *sorted(cuts), 200]
    pieces = [attended(q[:, start:end] * 8, k, v, first + start) for start, end in pairwise(bounds)]
    assert torch.equal(torch.cat(pieces, dim=1), attended(q * 8, k, v, first))


def test_attention_ignores_what_lies_behind_the_last_key() -> None:
    q, k, v = randn(KV_HEADS, 5, GROUP, DIM), randn(KV_HEADS, 64, DIM, seed=1), randn(KV_HEADS, 64, DIM, seed=2)
    clean = attended(q, k, v)
    k[:, 5:], v[:, 5:] = 1e30, -1e30
    assert torch.equal(attended(q, k, v), clean)


@pytest.mark.parametrize(
    "packed", [False, pytest.param(True, marks=pytest.mark.skipif(not packs_weights(), reason="no oneDNN bf16"))]
)
@pytest.mark.parametrize(("inner", "outer"), [(576, 960), (1536, 576), (64, 96)])
def test_a_rows_product_has_the_same_bits_in_any_company(packed: bool, inner: int, outer: int) -> None:
    linear, x = Linear(randn(outer, inner) * 0.05, packed), randn(300, inner, seed=1)
    whole = linear(x)
    for start, end in [(0, 1), (1, 3), (5, 45), (64, 128), (17, 300), (299, 300)]:
        assert torch.equal(linear(x[start:end]), whole[start:end])


def test_the_product_is_the_linear_layers() -> None:
    weight, x = randn(96, 64), randn(7, 64, seed=1)
    assert torch.equal(Linear(weight, False)(x), torch.nn.functional.linear(x, weight))
    if packs_weights():
        assert torch.allclose(Linear(weight, True)(x).float(), x.float() @ weight.float().T, rtol=0.01, atol=0.1)


def test_the_norm_is_llamas_to_the_bit() -> None:
    norm, x = LlamaRMSNorm(576, eps=1e-5).bfloat16(), randn(50, 576) * 3
    norm.weight.data.copy_(randn(576, seed=1))
    with torch.inference_mode():
        assert torch.equal(rms_norm(x, norm.weight, 1e-5), norm(x))


def test_the_rotation_is_llamas_to_the_bit() -> None:
    x, angle = randn(50, 9, DIM), torch.randn(50, DIM // 2).repeat(1, 2)
    cos, sin = angle.cos().bfloat16(), angle.sin().bfloat16()
    query = x.transpose(0, 1)[None]
    expected, _ = apply_rotary_pos_emb(query, query, cos[None], sin[None])
    assert torch.equal(rotate(x, cos[:, None], sin[:, None]), expected[0].transpose(0, 1))
