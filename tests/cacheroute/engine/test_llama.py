"""The exactness that KV reuse stands on: same tokens, same bits, whatever the path."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
import torch
from fakes.tiny_models import TINY, tiny_llama, write_model
from transformers import LlamaConfig, Qwen2Config

from cacheroute.engine.embedded.llama import LlamaModel
from cacheroute.engine.embedded.reference import UnsupportedModel, load_reference
from cacheroute.engine.embedded.slab import KVSlab, SlabError

CHUNK = 16


def random_cuts(tokens: int, most: int, seed: int) -> Iterator[tuple[int, int]]:
    random, start = Random(seed), 0
    while start < tokens:
        end = min(tokens, start + random.choice([1, 2, 7, 16, random.randint(1, most)]))
        yield start, end
        start = end


def prefilled(model: LlamaModel, ids: Sequence[int]) -> tuple[KVSlab, torch.Tensor]:
    slab = model.spec.slab(len(ids) + 64)
    return slab, model.prefill(slab, ids, 0)


def greedy(model: LlamaModel, slab: KVSlab, logits: torch.Tensor, count: int) -> list[int]:
    tokens = [int(logits.argmax())]
    while len(tokens) < count:
        tokens.append(int(model.decode([slab], tokens[-1:])[0].argmax()))
    return tokens


@pytest.mark.parametrize(("tokens", "seed"), [(60, 0), (61, 1), (300, 2), (301, 3)])
def test_prefill_has_the_same_bits_however_it_is_cut(
    model: LlamaModel, prompt: list[int], tokens: int, seed: int
) -> None:
    ids = prompt[:tokens]
    whole, expected = prefilled(model, ids)
    slab = model.spec.slab(tokens)
    for start, end in random_cuts(tokens, tokens // 2, seed):
        logits = model.prefill(slab, ids[start:end], start)
    assert torch.equal(logits, expected)
    assert torch.equal(slab.kv[:, :, :, :tokens], whole.kv[:, :, :, :tokens])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_prefill_has_the_same_bits_beyond_one_key_block(model: LlamaModel, prompt: list[int], seed: int) -> None:
    ids = prompt[:2200]
    whole, expected = prefilled(model, ids)
    slab = model.spec.slab(len(ids))
    for start, end in random_cuts(len(ids), 700, seed):
        logits = model.prefill(slab, ids[start:end], start)
    assert torch.equal(logits, expected)
    assert torch.equal(slab.kv[:, :, :, : len(ids)], whole.kv[:, :, :, : len(ids)])


@pytest.mark.parametrize("tail", [1, 23, 40])
def test_loaded_chunks_answer_as_the_text_does(model: LlamaModel, prompt: list[int], tail: int) -> None:
    ids = prompt[100 : 100 + 10 * CHUNK + tail]
    text, expected = prefilled(model, ids)
    loaded = model.spec.slab(len(ids) + 64)
    loaded.load_chunks(0, CHUNK, [text.chunk_bytes(index, CHUNK) for index in range(10)])
    logits = model.prefill(loaded, ids[10 * CHUNK :], 10 * CHUNK)
    assert torch.equal(logits, expected)
    assert greedy(model, loaded, logits, 8) == greedy(model, text, expected, 8)


def test_a_decoded_token_has_the_bits_of_a_prefilled_one(model: LlamaModel, prompt: list[int]) -> None:
    ids = prompt[:50]
    slab, logits = prefilled(model, ids)
    answer = greedy(model, slab, logits, 6)
    again, _ = prefilled(model, ids + answer[:5])
    assert slab.length == again.length == 55
    assert torch.equal(slab.kv[:, :, :, :55], again.kv[:, :, :, :55])


def test_decoding_in_a_batch_has_the_bits_of_decoding_alone(model: LlamaModel, prompt: list[int]) -> None:
    starts = [prompt[:5], prompt[300:341], prompt[900:1000], prompt[50:83]]
    together = [prefilled(model, ids)[0] for ids in starts]
    alone = [prefilled(model, ids)[0] for ids in starts]
    tokens = [ids[0] for ids in starts]
    for _ in range(3):
        batch = model.decode(together, tokens)
        singles = [model.decode([slab], [token])[0] for slab, token in zip(alone, tokens, strict=True)]
        assert torch.equal(batch, torch.stack(singles))
        tokens = batch.argmax(dim=-1).tolist()


def test_the_number_of_threads_does_not_change_bits(model: LlamaModel, prompt: list[int]) -> None:
    threads = torch.get_num_threads()
    results: list[tuple[KVSlab, torch.Tensor]] = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(prefilled(model, prompt[:150]))
    finally:
        torch.set_num_threads(threads)
    (one, one_logits), (two, two_logits) = results
    assert torch.equal(one_logits, two_logits)
    assert torch.equal(one.kv, two.kv)


def test_what_a_reused_slab_held_does_not_matter(model: LlamaModel, prompt: list[int]) -> None:
    slab, expected = prefilled(model, prompt[:30])
    model.prefill(slab, prompt[200:290], 0)
    assert torch.equal(model.prefill(slab, prompt[:30], 0), expected)
    assert slab.length == 30


def test_a_piece_must_follow_what_is_there(model: LlamaModel, prompt: list[int]) -> None:
    slab = model.spec.slab(64)
    with pytest.raises(SlabError):
        model.prefill(slab, prompt[:4], 1)
    with pytest.raises(SlabError):
        model.prefill(slab, prompt[:65], 0)
    slab.length = 64
    with pytest.raises(SlabError):
        model.decode([slab], [1])


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_any_grouping_of_heads_agrees_with_transformers(tmp_path: Path, kv_heads: int) -> None:
    reference = load_reference(write_model(tiny_llama(kv_heads), tmp_path), "", attention="eager")
    ours = LlamaModel(reference)
    ids = [(37 * index) % 256 for index in range(200)]
    expected = reference.prefill(reference.spec.slab(256), ids, 0)
    assert torch.allclose(ours.prefill(ours.spec.slab(256), ids, 0), expected, atol=0.02)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (LlamaConfig(**TINY, intermediate_size=96, attention_bias=True), "bias"),
        (LlamaConfig(**TINY, intermediate_size=96, hidden_act="gelu"), "SiLU"),
        (Qwen2Config(**TINY, intermediate_size=96, num_key_value_heads=2), "not a Llama"),
        (
            LlamaConfig(
                **TINY, intermediate_size=96, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
            ),
            "length of the sequence",
        ),
    ],
)
def test_what_it_would_compute_wrongly_is_refused(tmp_path: Path, config: LlamaConfig, why: str) -> None:
    reference = load_reference(write_model(config, tmp_path), "")
    with pytest.raises(UnsupportedModel, match=why):
        LlamaModel(reference)
