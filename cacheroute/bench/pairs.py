"""Questions that ask for two facts at once: how many of the facts are found, clause by clause."""

from collections.abc import Sequence
from random import Random

from msgspec import Struct

from cacheroute.bench.catalogue import Catalogue
from cacheroute.bench.questions import Article, Asked, asked_of
from knowledge.retrieval.match import Gate, Limits

PAIRS = 200


class TwoFacts(Struct, frozen=True, kw_only=True):
    """`recall`: facts whose block was injected / facts asked for; `precision`: those / blocks injected;
    `both`: the share of questions that got both."""

    questions: int
    max_blocks: int
    recall: float
    precision: float
    both: float


def two_facts(where: Catalogue, articles: Sequence[Article], max_blocks: int = 3) -> TwoFacts:
    """Joins questions on different paragraphs at random, the same ones every time."""
    rng = Random(0)
    asked = asked_of(articles)
    found = injected = both = 0
    for _ in range(PAIRS):
        first, second = rng.sample(asked, 2)
        while second.source == first.source:
            second = rng.choice(asked)
        accepted = where.search(_joined(first, second), Gate(), Limits(max_blocks=max_blocks)).accepted
        kids = {match.kid for match in accepted}
        hits = [bool(kids & where.kids(each.source)) for each in (first, second)]
        found, injected, both = found + sum(hits), injected + len(accepted), both + all(hits)
    return TwoFacts(
        questions=PAIRS,
        max_blocks=max_blocks,
        recall=round(found / (2 * PAIRS), 4),
        precision=round(found / max(injected, 1), 4),
        both=round(both / PAIRS, 4),
    )


def _joined(first: Asked, second: Asked) -> str:
    rest = second.question.strip()
    return f"{first.question.rstrip(' ?.')} and {rest[:1].lower()}{rest[1:]}"
