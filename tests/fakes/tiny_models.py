"""Hugging Face directories with random weights, a few layers small: what costs nothing to load."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig

TINY = {"vocab_size": 256, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def tiny_llama(kv_heads: int = 2, positions: int = 256) -> LlamaConfig:
    return LlamaConfig(**TINY, intermediate_size=96, num_key_value_heads=kv_heads, max_position_embeddings=positions)


def write_model(config: PreTrainedConfig, directory: Path) -> Path:
    """Weights of a fixed seed; no tokenizer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(directory)
    return directory
