"""What this engine says of itself: its fingerprint, its key namespace, and why it may take no KV.

Everything that changes the bytes of a stored chunk goes in; two engines with one fingerprint may share KV.
"""

import platform

import torch
import transformers

from cacheroute.engine.embedded.model import ModelSpec
from cacheroute.engine.prepare import PreparedModel
from cacheroute.wire.engine import EngineInfo, Fingerprint

KV_LAYOUT = "L,2,Hkv,C,D"
"""Raw values of one chunk: layer, key or value, KV head, position in the chunk, dimension."""


def describe(
    prepared: PreparedModel,
    spec: ModelSpec,
    *,
    served_name: str,
    max_model_len: int,
    chunk_tokens: int,
    cut_tokens: int,
    threads: int,
    no_kv_reason: str,
) -> EngineInfo:
    fingerprint = Fingerprint(
        weights=prepared.weights_sha256,
        tokenizer=prepared.tokenizer_sha256,
        template=prepared.template_sha256,
        dtype=spec.dtype,
        chunk_tokens=chunk_tokens,
        block_tokens=cut_tokens,
        kv_layout=KV_LAYOUT,
        cpu_isa=f"{platform.machine()}-{torch.backends.cpu.get_cpu_capability()}",
        threads=threads,
        kernel=f"{spec.forward}/torch-{torch.__version__}/transformers-{transformers.__version__}",
    )
    return EngineInfo(
        kind="embedded",
        model=served_name,
        max_model_len=max_model_len,
        fingerprint=fingerprint,
        key_model=f"embedded-{fingerprint.id}",  # not the name: under another one its KV is as good
        kv_bytes_per_token=spec.bytes_per_token,
        no_kv_reason=no_kv_reason,
    )
