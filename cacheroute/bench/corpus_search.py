"""Labelled questions searched through the scheduler: is the right document found, and is nothing found where there is
nothing? At document level. Asks a running scheduler; knows neither the corpus nor who registered it.
"""

import time
from collections.abc import Mapping, Sequence
from statistics import median

from msgspec import Struct

from cacheroute.bench.corpus_files import is_of
from cacheroute.client import Client
from cacheroute.wire.retrieval import Labelled
from knowledge.retrieval.match import Matches

CONSIDERED = 5
WARM_UP = ("What is this about?", "How is a list sorted?", "Where is the temporary folder?")


class SearchRow(Struct, frozen=True, kw_only=True):
    """One question. `rank`: of the first block of the right document, 0 if it is not among the first five."""

    question: str
    document: str
    rank: int
    kid: str
    """That block; empty if there is none."""
    best: str
    """Source of the best block found."""
    confidence: float
    """Of the best block."""
    accepted: tuple[str, ...]
    """Sources of the blocks that a prompt would get, best first."""
    ms: float

    @property
    def is_right(self) -> bool:
        """Whether what a prompt would get first is of the right document."""
        return bool(self.accepted) and is_of(self.accepted[0], self.document)


class SearchResult(Struct, frozen=True, kw_only=True):
    """`precision`: right / injected; `recall`: answerable that got the right document / answerable; `abstained`: of
    the unanswerable, those that got nothing. `p50_ms` is a median at the client."""

    answerable: int
    unanswerable: int
    r_at_1: float
    r_at_5: float
    precision: float | None
    recall: float
    abstained: int
    threshold: float
    p50_ms: float
    p95_ms: float
    rows: tuple[SearchRow, ...]


async def search_all(client: Client, asked: Sequence[Labelled], source_of: Mapping[str, str]) -> SearchResult:
    """`source_of`: the source of each block by its kid. Raises CacheRouteError."""
    for text in WARM_UP:
        await client.search(text, CONSIDERED)
    rows: list[SearchRow] = []
    threshold = 0.0
    for each in asked:
        began_s = time.perf_counter()
        matches = await client.search(each.question, CONSIDERED)
        rows.append(_row(each, matches, source_of, (time.perf_counter() - began_s) * 1000))
        threshold = matches.threshold
    return _summed(rows, threshold)


def _row(asked: Labelled, matches: Matches, source_of: Mapping[str, str], ms: float) -> SearchRow:
    kids = [match.kid for match in matches.considered[:CONSIDERED]]
    sources = [source_of.get(kid, "") for kid in kids]
    rank = next((place for place, source in enumerate(sources, 1) if is_of(source, asked.document)), 0)
    return SearchRow(
        question=asked.question,
        document=asked.document,
        rank=rank,
        kid=kids[rank - 1] if rank else "",
        best=sources[0] if sources else "",
        confidence=round(matches.considered[0].confidence, 3) if matches.considered else 0.0,
        accepted=tuple(source_of.get(match.kid, "") for match in matches.accepted),
        ms=round(ms, 2),
    )


def _summed(rows: Sequence[SearchRow], threshold: float) -> SearchResult:
    answerable = [row for row in rows if row.document]
    unanswerable = [row for row in rows if not row.document]
    injected = sum(bool(row.accepted) for row in rows)
    right = sum(row.is_right for row in answerable)
    ms = sorted(row.ms for row in rows)
    return SearchResult(
        answerable=len(answerable),
        unanswerable=len(unanswerable),
        r_at_1=round(sum(row.rank == 1 for row in answerable) / len(answerable), 3),
        r_at_5=round(sum(row.rank > 0 for row in answerable) / len(answerable), 3),
        precision=round(right / injected, 3) if injected else None,
        recall=round(right / len(answerable), 3),
        abstained=sum(not row.accepted for row in unanswerable),
        threshold=round(threshold, 3),
        p50_ms=round(median(ms), 1),
        p95_ms=round(ms[int(0.95 * (len(ms) - 1))], 1),
        rows=tuple(rows),
    )
