"""A request's trace while it grows: the serving side fills it in, and whoever lists requests sees what is known."""

from datetime import UTC, datetime

from cacheroute import sanitise
from cacheroute.scheduler.body import ClientRequest
from cacheroute.scheduler.retrieval import Retrieved
from cacheroute.scheduler.traces import AnswerTail
from cacheroute.telemetry import Stopwatch
from cacheroute.wire.decision import Decision, HopReport, RequestTrace
from cacheroute.wire.serve import INJECTION_HEADER, INSTANCE_HEADER, KNOWLEDGE_HEADER, REASON_HEADER

UNDER_WAY = 0
MAX_MODEL_CHARS = 200
"""Of a model's name in a trace: a client may ask for one that is as long as a body."""


class Draft:
    """A request's trace, as it grows. Keeps no body and no text: the ring keeps it long after the request."""

    def __init__(self, request_id: str, asked: ClientRequest) -> None:
        self.request_id = request_id
        self.watch = Stopwatch()
        self.retrieved = Retrieved(knowledge=(), reason="")
        self.conversation = ""
        self.status = UNDER_WAY
        self.tail = AnswerTail()
        self.error = self.pool = ""
        self.decision: Decision | None = None
        self.kdn: Decision | None = None
        self.hops: tuple[HopReport, ...] = ()
        self.shown: dict[str, str] = {}
        self._endpoint, self._model = asked.endpoint, sanitise.for_line(asked.model, MAX_MODEL_CHARS)
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._ttft_ms: float | None = None
        self._total_ms: float | None = None

    def first_byte(self) -> None:
        self._ttft_ms = round(self.watch.elapsed_ms, 3)

    def end(self) -> None:
        if self.status == UNDER_WAY:  # nothing said what happened
            self.status, self.error = 500, "a mistake of ours; the scheduler's log explains it"
        self._total_ms = round(self.watch.elapsed_ms, 3)

    @property
    def knowledge(self) -> tuple[str, ...]:
        """The kids in the prompt, in its order, as the pool says."""
        return tuple(kid for kid in self.shown.get(KNOWLEDGE_HEADER, "").split(",") if kid)

    def trace(self) -> RequestTrace:
        scheduler = HopReport(hop="scheduler", parts_ms=self.watch.parts_ms, decision=self.decision, kdn=self.kdn)
        return RequestTrace(
            request_id=self.request_id,
            endpoint=self._endpoint,
            model=self._model,
            started_at=self._started_at,
            status=self.status,
            error=self.error,
            knowledge=self.knowledge,
            retrieval=self.retrieved.reason,
            considered=self.retrieved.considered,
            conversation=self.conversation,
            pool=self.pool,
            instance=self.shown.get(INSTANCE_HEADER, ""),
            injection=self.shown.get(INJECTION_HEADER, ""),
            reason=self.shown.get(REASON_HEADER, ""),
            ttft_ms=self._ttft_ms,
            total_ms=self._total_ms,
            usage=self.tail.usage(),
            hops=(scheduler, *self.hops),
        )
