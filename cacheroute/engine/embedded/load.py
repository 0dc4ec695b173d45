"""From settings to a running engine: the model prepared and loaded, its KV namespace fixed, its threads started.

Blocking, and slow to import (torch, transformers): for a thread of its own at start-up.
"""

import logging
import os
from pathlib import Path

import torch

from cacheroute.config import Config
from cacheroute.engine.config import EngineConfig
from cacheroute.engine.embedded.compute import ComputeThread
from cacheroute.engine.embedded.engine import EmbeddedEngine
from cacheroute.engine.embedded.forward import load_model
from cacheroute.engine.embedded.identity import describe
from cacheroute.engine.embedded.kv_keeper import KvKeeper
from cacheroute.engine.embedded.kv_link import KvLink
from cacheroute.engine.embedded.kv_reader import ANSWER_S, KvReader
from cacheroute.engine.embedded.kv_writer import KvWriter
from cacheroute.engine.embedded.prefix_cache import PrefixCache
from cacheroute.engine.embedded.text import TextSide
from cacheroute.engine.metrics import EngineMetrics
from cacheroute.engine.prepare import Report, prepare
from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.kvstore.link import Target
from cacheroute.kvstore.store import socket_path, store_url
from cacheroute.tokens import Tokens

log = logging.getLogger(__name__)

CUT_TOKENS = 64
"""Where prefill is cut, and hits end, if a model's bits depend on it; rounded up to whole chunks."""
WRITE_S = 2.0
"""Longest wait for the store's next byte while storing: nobody waits for that."""


def load_engine(
    config: Config, settings: EngineConfig, tokens: Tokens, metrics: EngineMetrics, report: Report
) -> EmbeddedEngine:
    """Raises ConfigError, OSError, ValueError, RuntimeError or ImportError where the model cannot be had."""
    prepared = prepare(settings.model, config.paths.data_dir, report)
    threads = settings.threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    choice = load_model(prepared.path, prepared.weights_sha256)
    model = choice.model
    log.info("%s", choice.why)
    text = TextSide.load(prepared.path)
    context = min(settings.max_model_len or model.spec.max_positions, model.spec.max_positions)
    cut_tokens = chunk_tokens = settings.chunk_tokens
    if not model.spec.splits_freely:
        cut_tokens *= -(-CUT_TOKENS // chunk_tokens)
    has_store = settings.kv_store in config.kvstore
    info = describe(
        prepared,
        model.spec,
        served_name=settings.served_name or prepared.name,
        max_model_len=context,
        chunk_tokens=chunk_tokens,
        cut_tokens=cut_tokens,
        threads=threads,
        no_kv_reason=text.why_not_pinned() if has_store else "no kv store is configured for this engine",
    )
    reader, writer = None, None
    if has_store:
        chunk_nbytes = chunk_tokens * model.spec.bytes_per_token
        target = _target(settings.kv_store, config.kvstore[settings.kv_store], tokens, config.paths.state_dir)
        failed = metrics.kv_failures.inc
        reader = KvReader(KvLink(target, ANSWER_S, "load", failed), chunk_tokens, chunk_nbytes, metrics)
        writer = KvWriter(KvLink(target, WRITE_S, "store", failed), metrics)
    prefix_cache = PrefixCache(settings.prefix_cache_mb * 2**20)
    keeper = KvKeeper(info.key_scheme, cut_tokens, prefix_cache, reader, writer)
    compute = ComputeThread(
        model,
        keeper,
        metrics,
        threads=threads,
        max_streams=settings.max_streams,
        cut_tokens=cut_tokens,
        capacity=context,
    )
    metrics.gauge("running", "Streams that hold a slab", lambda: compute.running)
    metrics.gauge("waiting", "Requests that wait for a stream", lambda: compute.waiting)
    metrics.gauge("prefix_cache_bytes", "KV in the engine's own cache", lambda: prefix_cache.nbytes)
    compute.start()
    log.info("model %s loaded, fingerprint %s", info.model, info.fingerprint.id)
    return EmbeddedEngine(
        info,
        model.spec,
        text,
        compute,
        keeper,
        default_max_tokens=settings.default_max_tokens,
        max_streams=settings.max_streams,
        max_waiting=settings.max_waiting,
    )


def _target(name: str, store: KvStoreConfig, tokens: Tokens, state_dir: Path) -> Target:
    return Target(store_url(store, tokens), None if store.url else socket_path(state_dir, name))
