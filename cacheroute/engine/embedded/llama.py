"""A Llama forward of our own for CPU: packed weights, KV written straight into the slab, exact splitting.

It computes what transformers' LlamaForCausalLM computes, rounding to bf16 at the same places, in well under
half of its overhead. It serves a model only after it agreed with the reference on it (`forward.py`).
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional
from transformers import LlamaForCausalLM

from cacheroute.engine.embedded import kernels
from cacheroute.engine.embedded.kernels import Linear
from cacheroute.engine.embedded.reference import ReferenceModel, UnsupportedModel
from cacheroute.engine.embedded.slab import KVSlab


class LlamaModel:
    """`Model` for Llama architectures; every row of every result is the same however the work is cut."""

    @torch.inference_mode()
    def __init__(self, reference: ReferenceModel) -> None:
        network = reference.network
        if not isinstance(network, LlamaForCausalLM):
            raise UnsupportedModel(f"{type(network).__name__} is not a Llama")
        config, packed = network.config, kernels.packs_weights()
        if config.attention_bias or config.mlp_bias or config.hidden_act != "silu":
            raise UnsupportedModel("it has biases, or another activation than SiLU")
        if network.model.rotary_emb.rope_type in ("dynamic", "longrope"):
            raise UnsupportedModel("its rotation depends on the length of the sequence")
        self.spec = replace(reference.spec, forward="llama-mkldnn" if packed else "llama-linear")
        self._embedding = network.get_parameter("model.embed_tokens.weight")
        self._layers = [_Layer(layer, packed) for layer in network.model.layers]
        self._norm = network.get_parameter("model.norm.weight")
        self._eps = config.rms_norm_eps
        self._head = Linear(network.lm_head.get_parameter("weight"), packed)
        self._cos, self._sin = _rotary_tables(network)
        self._heads = config.num_attention_heads
        self._scale = self.spec.head_dim**-0.5
        self._mask = kernels.causal_mask(self._heads // self.spec.kv_heads)

    @torch.inference_mode()
    def prefill(self, slab: KVSlab, ids: Sequence[int], start: int) -> torch.Tensor:
        slab.claim(start, len(ids))
        logits = self._forward([(slab, start, len(ids))], ids)[0]
        slab.length = start + len(ids)
        return logits

    @torch.inference_mode()
    def decode(self, slabs: Sequence[KVSlab], ids: Sequence[int]) -> torch.Tensor:
        for slab in slabs:
            slab.claim(slab.length, 1)
        logits = self._forward([(slab, slab.length, 1) for slab in slabs], ids)
        for slab in slabs:
            slab.length += 1
        return logits

    def _forward(self, runs: Sequence[tuple[KVSlab, int, int]], ids: Sequence[int]) -> torch.Tensor:
        """Rows of several sequences together: `runs` are (slab, first position, tokens), in the order of `ids`."""
        positions = torch.cat([torch.arange(start, start + tokens) for _, start, tokens in runs])
        cos, sin = self._cos[positions], self._sin[positions]
        last = torch.tensor([tokens for _, _, tokens in runs]).cumsum(0) - 1
        x = functional.embedding(torch.tensor(ids), self._embedding)
        for index, layer in enumerate(self._layers):
            qkv = layer.qkv(kernels.rms_norm(x, layer.input_norm, self._eps))
            mixed = self._attention(index, qkv.view(len(ids), -1, self.spec.head_dim), cos, sin, runs)
            if index == len(self._layers) - 1:
                x, mixed = x[last], mixed[last]  # only these rows are asked for
            x = x + layer.out(mixed)
            gate, up = layer.gate_up(kernels.rms_norm(x, layer.post_norm, self._eps)).chunk(2, dim=-1)
            x = x + layer.down(functional.silu(gate).mul_(up))
        return self._head(kernels.rms_norm(x, self._norm, self._eps)).float()

    def _attention(
        self,
        layer: int,
        qkv: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        runs: Sequence[tuple[KVSlab, int, int]],
    ) -> torch.Tensor:
        """Writes K and V of the new rows `[n, heads + 2 kv_heads, dim]` to their slabs, and attends to all."""
        heads, kv_heads, dim = self._heads, self.spec.kv_heads, self.spec.head_dim
        rotated = kernels.rotate(qkv[:, : heads + kv_heads], cos, sin)
        queries = rotated[:, :heads] * self._scale
        keys, values = rotated[:, heads:], qkv[:, heads + kv_heads :]
        mixed = torch.empty((len(qkv), heads * dim), dtype=torch.bfloat16)
        row = 0
        for slab, start, tokens in runs:
            rows = slice(row, row + tokens)
            kv = slab.kv[layer]
            kv[0, :, start : start + tokens] = keys[rows].transpose(0, 1)
            kv[1, :, start : start + tokens] = values[rows].transpose(0, 1)
            folded = queries[rows].view(tokens, kv_heads, -1, dim).transpose(0, 1).reshape(kv_heads, -1, dim)
            attended = kernels.attend(folded, kv[0], kv[1], start, self._mask)
            mixed[rows].view(tokens, kv_heads, -1, dim).copy_(attended.view(kv_heads, tokens, -1, dim).transpose(0, 1))
            row += tokens
        return mixed


class _Layer:
    """One decoder layer's weights; projections that share their input are one product."""

    __slots__ = ("down", "gate_up", "input_norm", "out", "post_norm", "qkv")

    def __init__(self, layer: nn.Module, packed: bool) -> None:
        def linear(*names: str) -> Linear:
            return Linear(torch.cat([layer.get_parameter(f"{name}.weight") for name in names]), packed)

        self.input_norm = layer.get_parameter("input_layernorm.weight")
        self.post_norm = layer.get_parameter("post_attention_layernorm.weight")
        self.qkv = linear("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        self.out = linear("self_attn.o_proj")
        self.gate_up = linear("mlp.gate_proj", "mlp.up_proj")
        self.down = linear("mlp.down_proj")


def _rotary_tables(network: LlamaForCausalLM) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin `[max_positions, 1, head_dim]` from transformers' own module, so its scalings hold."""
    positions = torch.arange(network.config.max_position_embeddings)[None]
    cos, sin = network.model.rotary_emb(torch.empty(0, dtype=torch.bfloat16), positions)
    return cos[0, :, None], sin[0, :, None]
