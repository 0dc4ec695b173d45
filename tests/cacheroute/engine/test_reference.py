from pathlib import Path

import pytest
import torch
from fakes.tiny_models import TINY, tiny_llama, write_model
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    MambaConfig,
    PreTrainedConfig,
    Qwen2Config,
)

from cacheroute.engine.embedded.reference import UnsupportedModel, load_reference

IDS = [(37 * index) % 256 for index in range(90)]
ARCHITECTURES: list[PreTrainedConfig] = [
    tiny_llama(),
    Qwen2Config(**TINY, intermediate_size=96, num_key_value_heads=2),
    Gemma3TextConfig(**TINY, intermediate_size=96, num_key_value_heads=2, head_dim=16, sliding_window=32),
    GPT2Config(vocab_size=256, n_embd=64, n_layer=2, n_head=4, n_positions=256, bos_token_id=0, eos_token_id=0),
]


@pytest.mark.parametrize("config", ARCHITECTURES, ids=lambda config: config.model_type)
def test_any_architecture_computes_through_a_slab_what_it_computes_alone(
    tmp_path: Path, config: PreTrainedConfig
) -> None:
    model = load_reference(write_model(config, tmp_path), "digest")
    alone = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    with torch.inference_mode():
        expected = alone(torch.tensor([IDS])).logits[0, -1].float()
    slab = model.spec.slab(128)
    for start, end in [(0, 50), (50, 51), (51, 90)]:
        logits = model.prefill(slab, IDS[start:end], start)
    assert torch.allclose(logits, expected, atol=0.05)
    assert slab.length == 90
    assert model.spec.digest == "digest"


def test_a_batch_is_decoded_one_by_one_at_each_slabs_own_length(tmp_path: Path) -> None:
    model = load_reference(write_model(tiny_llama(), tmp_path), "")
    slabs = [model.spec.slab(64), model.spec.slab(64)]
    model.prefill(slabs[0], IDS[:10], 0)
    model.prefill(slabs[1], IDS[:30], 0)
    logits = model.decode(slabs, [IDS[10], IDS[30]])
    assert [slab.length for slab in slabs] == [11, 31]
    assert torch.allclose(logits[1], model.prefill(model.spec.slab(64), IDS[:31], 0), atol=0.02)


def test_a_cache_that_does_not_fit_a_slab_is_refused_by_name(tmp_path: Path) -> None:
    write_model(MambaConfig(vocab_size=256, hidden_size=64, num_hidden_layers=2), tmp_path)
    with pytest.raises(UnsupportedModel, match="MambaForCausalLM"):
        load_reference(tmp_path, "")
