"""The four operations of a Llama layer on CPU, so written that a row's bits do not depend on its neighbours.

Prefill may then be cut anywhere: a token's KV is the same whether it came in a piece of one or of a
thousand tokens (docs/decisions/0006-prefill-boundaries.md has the measurements). Three things keep it so:
the matrix products here sum over their inner dimension in one order whatever the number of rows; keys are
taken in groups of `LANES`, the tail masked, so that softmax sums by absolute position; and products over
keys never span more than `KEY_BLOCK` of them, where oneDNN starts to split sums by shape.
Nothing here knows of layers, tokens or slabs: tensors in, tensors out.
"""

import torch
from torch.nn import functional

LANES = 32
"""bf16 values in an AVX-512 register: softmax treats what is left over beyond a multiple differently."""
KEY_BLOCK = 1024
"""The longest sum that oneDNN takes in one go."""
QUERY_BLOCK = 128
"""Query tokens at a time: large enough for the kernels, small enough to skip most of the upper triangle."""


def packs_weights() -> bool:
    """Whether this machine has oneDNN's bf16 kernels behind torch's packed linear operator."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Linear:
    """`x @ weight.T`, the weight `[out, in]` reordered once for oneDNN where `packed`."""

    __slots__ = ("_packed", "_weight")

    def __init__(self, weight: torch.Tensor, packed: bool) -> None:
        self._packed = packed
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, 64) if packed else weight

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) == 1:  # a lone row takes another kernel, whose long sums run in another order
            return self(x.expand(2, -1))[:1]
        if self._packed:
            return torch.ops.mkldnn._linear_pointwise(x, self._weight, None, "none", [], "")
        return functional.linear(x, self._weight)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Root mean square norm of each row, in float32, rounded to bf16 before the weight as Llama does."""
    wide = x.float()
    return wide.mul_(torch.rsqrt(wide.square().mean(-1, keepdim=True).add_(eps))).bfloat16().mul_(weight)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of `[n, heads, dim]` by `cos`, `sin` `[n, 1, dim]` (half-split pairs)."""
    first, second = x.chunk(2, dim=-1)
    return (x * cos).add_(torch.cat((-second, first), dim=-1).mul_(sin))


def causal_mask(group: int) -> torch.Tensor:
    """What a query block may not see of the keys from its own first position on.

    Rows are `(token, head of the group)`, so any shorter block's mask is a corner of this one.
    """
    token = torch.arange(QUERY_BLOCK).repeat_interleave(group)
    return torch.arange(QUERY_BLOCK + LANES) > token[:, None]


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, start: int, mask: torch.Tensor) -> torch.Tensor:
    """Causal attention of `n` tokens at positions `[start, start + n)`, the query heads of a KV head as rows.

    `q` is `[kv_heads, n * group, dim]`, already scaled; `k` and `v` are `[kv_heads, capacity, dim]`, finite
    everywhere, their capacity a multiple of `LANES`. Returns `[kv_heads, n * group, dim]`.
    """
    rows, group = q.shape[1], mask.shape[0] // QUERY_BLOCK
    step = QUERY_BLOCK * group
    if rows <= step:
        return _attend_block(q, k, v, start, start + rows // group, mask)
    blocks = [
        _attend_block(q[:, row : row + step], k, v, start + row // group, start + (row + step) // group, mask)
        for row in range(0, rows - step, step)
    ]
    last = (rows - 1) // step * step
    blocks.append(_attend_block(q[:, last:], k, v, start + last // group, start + rows // group, mask))
    return torch.cat(blocks, dim=1)


def _attend_block(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, start: int, end: int, mask: torch.Tensor
) -> torch.Tensor:
    keys = -(-end // LANES) * LANES
    # Dense copies cost 14 us for 1,024 keys; given strided ones, bmm makes its own, K element by element (150 us).
    k, v = k[:, :keys].contiguous(), v[:, :keys].contiguous()
    scores = torch.bmm(q, k.transpose(1, 2))
    scores[:, :, start:].masked_fill_(mask[: q.shape[1], : keys - start], float("-inf"))
    weights = torch.softmax(scores, dim=-1, out=scores)
    if keys <= KEY_BLOCK:
        return torch.bmm(weights, v)
    out = torch.bmm(weights[:, :, :KEY_BLOCK], v[:, :KEY_BLOCK])
    for first in range(KEY_BLOCK, keys, KEY_BLOCK):
        last = min(first + KEY_BLOCK, keys)
        out = torch.baddbmm(out, weights[:, :, first:last], v[:, first:last])
    return out
