"""What KV of common sets of blocks adds to KV of single blocks, for requests that need two or three.

A made-up workload runs through the shipped code: wishes of its first half are made into advice, the best advice is
kept as far as a byte budget goes, and the second half looks for its KV. Nothing is computed, so "served" means tokens
of knowledge that an engine would load instead. No text, no tokenizer; documents are names and lengths.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Literal

from msgspec import Struct

from cacheroute.kdn.artifacts.artifacts import Artifacts, artifact_id
from cacheroute.kdn.builds.advice import Known, advise
from cacheroute.kdn.builds.wishes import Wish
from cacheroute.prompt import canonical_order
from cacheroute.wire.artifacts import Artifact

Workload = Literal["independent", "topical"]
Order = Literal["by name", "by popularity"]

DOCUMENTS = 400
REQUESTS = 20_000
"""Half of them teach, half are measured."""
TOPIC_DOCUMENTS = 5
BUDGETS = (0.1, 0.25, 1.0)
"""Of the bytes of every document's own KV."""
BYTES_PER_TOKEN = 23_040
CHUNK_TOKENS = 16
CONTEXT_TOKENS = 8192
_FINGERPRINT = "simulated"


class SetRow(Struct, frozen=True, kw_only=True):
    """Shares of the knowledge tokens that were asked for and found as KV, each within the same budget of bytes."""

    workload: Workload
    order: Order
    """Of the blocks in a prompt. `by name` is the shipped one: of a hash, so as good as random."""
    budget: float
    singles: float
    """KV of the blocks that most requests need."""
    advised_singles: float
    """KV of single blocks, as advised: a block's own KV serves only where the block comes first."""
    advised_sets: float
    """KV of what is advised, single or set."""
    set_artifacts: int
    """How many of the latter hold several blocks."""


def run_sets(seed: int = 0, documents: int = DOCUMENTS, requests: int = REQUESTS) -> tuple[SetRow, ...]:
    """Some seconds; the same figures for the same seed."""
    rows: list[SetRow] = []
    workloads: tuple[Workload, ...] = ("independent", "topical")
    orders: tuple[Order, ...] = ("by name", "by popularity")
    for workload in workloads:
        for order in orders:
            world = _World(workload, order, seed, documents, requests)
            rows += [world.row(budget) for budget in BUDGETS]
    return tuple(rows)


class _World:
    """One workload. The kids are named so that their canonical order is the order to be measured."""

    def __init__(self, workload: Workload, order: Order, seed: int, documents: int, requests: int) -> None:
        rng = Random(seed)
        tokens = [CHUNK_TOKENS * rng.randint(8, 64) for _ in range(documents)]
        ranks = list(range(documents))
        drawn = [_draw(rng, workload, documents) for _ in range(requests)]
        if order == "by name":
            rng.shuffle(ranks)
        else:
            often = Counter(number for numbers in drawn[: requests // 2] for number in numbers)
            for rank, number in enumerate(sorted(ranks, key=lambda number: -often[number])):
                ranks[number] = rank
        names = [f"{rank:06}" for rank in ranks]
        self._workload: Workload = workload
        self._order: Order = order
        self._tokens = dict(zip(names, tokens, strict=True))
        asked = [canonical_order(names[number] for number in numbers) for numbers in drawn]
        self._taught, self._measured = asked[: requests // 2], asked[requests // 2 :]

    def row(self, budget: float) -> SetRow:
        often = Counter(kid for kids in self._taught for kid in kids)
        by_popularity = [(kid,) for kid, _ in often.most_common()]
        advised_singles = self._advice(Counter(kids[:1] for kids in self._taught))
        advised_sets = self._advice(Counter(self._taught))
        nbytes = int(budget * sum(self._tokens.values()) * BYTES_PER_TOKEN)
        singles, _ = self._served(by_popularity, nbytes)
        best_singles, _ = self._served(advised_singles, nbytes)
        sets, held = self._served(advised_sets, nbytes)
        return SetRow(
            workload=self._workload,
            order=self._order,
            budget=budget,
            singles=singles,
            advised_singles=best_singles,
            advised_sets=sets,
            set_artifacts=sum(len(artifact.kids) > 1 for artifact in held),
        )

    def _advice(self, wished: Mapping[tuple[str, ...], int]) -> list[tuple[str, ...]]:
        wishes = {Wish(kids, "chat", _FINGERPRINT): float(count) for kids, count in wished.items()}
        known = Known((), self._tokens, {_FINGERPRINT: CONTEXT_TOKENS})
        return [each.kids for each in advise(wishes, known, limit=len(wished))]

    def _served(self, lists: Iterable[Sequence[str]], nbytes: int) -> tuple[float, tuple[Artifact, ...]]:
        """The share that is served where of `lists`, from the first on, what fits is kept; and what that is."""
        with TemporaryDirectory() as directory:
            artifacts = Artifacts(Path(directory), nbytes)
            try:
                for kids in lists:
                    tokens = self._sum(kids)
                    if artifacts.nbytes + tokens * BYTES_PER_TOKEN <= nbytes:
                        _keep(artifacts, tuple(kids), tokens)
                found = [artifacts.find(kids, "chat", _FINGERPRINT) for kids in self._measured]
                held = artifacts.all()
            finally:
                artifacts.close()
        served = sum(artifact.n_tokens for artifact in found if artifact is not None)
        return round(served / sum(map(self._sum, self._measured)), 4), held

    def _sum(self, kids: Iterable[str]) -> int:
        return sum(self._tokens[kid] for kid in kids)


def _keep(artifacts: Artifacts, kids: tuple[str, ...], tokens: int) -> None:
    """An artifact as a build leaves it, but without its bytes."""
    artifact = Artifact(
        id=artifact_id(kids, "chat", _FINGERPRINT),
        kids=kids,
        rendering="chat",
        fingerprint=_FINGERPRINT,
        n_tokens=tokens,
        whole_tokens=tokens,
        keys=(),
        nbytes=tokens * BYTES_PER_TOKEN,
    )
    with artifacts.building(artifact.id, artifact.nbytes) as draft:
        artifacts.publish(artifact, draft, b"", lambda: True)


def _draw(rng: Random, workload: Workload, documents: int) -> list[int]:
    """Two or three documents, the first ones the most popular (Zipf). Topical: all of one topic, of a few documents."""
    count = rng.choice((2, 3))
    if workload == "independent":
        return _zipf(rng, documents, count)
    (topic,) = _zipf(rng, documents // TOPIC_DOCUMENTS, 1)
    return [topic * TOPIC_DOCUMENTS + number for number in _zipf(rng, TOPIC_DOCUMENTS, count)]


def _zipf(rng: Random, size: int, count: int) -> list[int]:
    """`count` different numbers below `size`; number n is drawn with a weight of 1 / (n + 1)."""
    weights = list(accumulate(1 / (number + 1) for number in range(size)))
    drawn: list[int] = []
    while len(drawn) < count:
        (number,) = rng.choices(range(size), cum_weights=weights)
        if number not in drawn:
            drawn.append(number)
    return drawn
