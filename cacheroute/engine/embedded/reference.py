"""The reference forward: transformers' own modelling code, for any causal LM whose KV fits a slab.

It is what a faster forward is held against, and what serves a model for which there is none. transformers
is made to write its keys and values into the slab by a cache of ours, so nothing is copied between the two.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin

from cacheroute.engine.embedded.model import ModelSpec
from cacheroute.engine.embedded.slab import KVSlab


class UnsupportedModel(ValueError):
    """A model whose KV cache has no place in a slab; the message says why."""


class ReferenceModel:
    """`Model` by transformers. Its batched decode is a loop: right, and no faster than one by one."""

    def __init__(self, network: PreTrainedModel, spec: ModelSpec) -> None:
        self.network = network
        self.spec = spec

    @torch.inference_mode()
    def prefill(self, slab: KVSlab, ids: Sequence[int], start: int) -> torch.Tensor:
        slab.claim(start, len(ids))
        output = self.network(
            input_ids=torch.tensor([ids]),
            past_key_values=_slab_cache(slab),
            use_cache=True,
            logits_to_keep=1,
        )
        slab.length = start + len(ids)
        return output.logits[0, -1].float()

    def decode(self, slabs: Sequence[KVSlab], ids: Sequence[int]) -> torch.Tensor:
        steps = zip(slabs, ids, strict=True)
        return torch.stack([self.prefill(slab, [token], slab.length) for slab, token in steps])


def load_reference(path: Path, digest: str, attention: str | None = None) -> ReferenceModel:
    """Loads a Hugging Face directory as it is (bf16, CPU, nothing fetched, no code of the model's own run).

    `attention` is transformers' name of an implementation, by default the fastest that the architecture has.

    Raises `UnsupportedModel` where layers keep something else than one K and V of the same shape a token,
    `OSError` where files are missing.
    """
    network = cast(
        PreTrainedModel,
        AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.bfloat16, attn_implementation=attention, local_files_only=True
        ),
    )
    network.eval()
    try:
        model = ReferenceModel(network, _spec(network, digest))
        model.prefill(model.spec.slab(capacity=4), [0, 1, 2], 0)
    except (RuntimeError, AttributeError, TypeError, ValueError, IndexError) as error:
        raise UnsupportedModel(f"the KV cache of {type(network).__name__} does not fit a slab: {error}") from error
    return model


def _spec(network: PreTrainedModel, digest: str) -> ModelSpec:
    config = network.config.get_text_config()
    attention = config._attn_implementation  # pyright: ignore[reportPrivateUsage]  # there is no public name
    return ModelSpec(
        layers=config.num_hidden_layers,
        kv_heads=getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        hidden=config.hidden_size,
        vocab=config.vocab_size,
        max_positions=config.max_position_embeddings,
        eos_ids=_eos_ids(network),
        dtype="bfloat16",
        digest=digest,
        forward=f"reference-{attention}",
    )


class _SlabLayer(CacheLayerMixin):
    """One layer's place in a slab, as transformers' cache sees it."""

    is_sliding = False

    def __init__(self, slab: KVSlab, layer: int) -> None:
        super().__init__()
        self._slab = slab
        self._kv = slab.kv[layer]
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to make: the slab is there."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start = self._slab.length
        end = start + key_states.shape[2]
        self._kv[0, :, start:end] = key_states[0]
        self._kv[1, :, start:end] = value_states[0]
        return self._kv[0, None, :, :end], self._kv[1, None, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._slab.length + query_length, 0

    def get_seq_length(self) -> int:
        return self._slab.length

    def get_max_length(self) -> int:
        return self._slab.capacity


def _slab_cache(slab: KVSlab) -> Cache:
    return Cache(layers=[_SlabLayer(slab, layer) for layer in range(slab.kv.shape[0])])


def _eos_ids(network: PreTrainedModel) -> frozenset[int]:
    generation = network.generation_config
    eos = (generation.eos_token_id if generation else None) or network.config.eos_token_id
    if eos is None:
        return frozenset()
    return frozenset([eos] if isinstance(eos, int) else eos)
