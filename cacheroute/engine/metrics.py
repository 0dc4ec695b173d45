"""What an engine counts, by the names that its `/metrics` shows."""

from collections.abc import Callable

from cacheroute.telemetry import Metrics


class EngineMetrics:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.requests = metrics.counter("requests", "Answers by how they ended", "end")
        self.prompt_tokens = metrics.counter("prompt_tokens_by_source", "Where prompts' KV came from", "source")
        self.generated_tokens = metrics.counter("generated_tokens", "Tokens sampled")
        self.steps = metrics.counter("steps", "Forward passes", "kind")
        self.kv_chunks = metrics.counter("kv_store_chunks", "Chunks by what became of them", "what")
        self.kv_failures = metrics.counter("kv_store_failures", "Times the kv store could not be asked")
        self.ttft_ms = metrics.histogram("ttft_ms", "From request to first token", "source")

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is read when asked for."""
        self._metrics.gauge(name, text).set_function(value)
