"""What to build next: which lists of blocks would have saved the most computing, had there been KV of them. Pure.

A list that begins many wishes gathers their requests: KV of [a, b] serves [a, b, c] up to the end of b. Each piece of
advice supposes that those before it are followed, so that two never promise the same tokens.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cacheroute.kdn.builds.wishes import Wish
from cacheroute.wire.artifacts import Advice, Artifact


@dataclass(frozen=True, slots=True)
class Known:
    """What advice is made from. `tokens`: of each kid whose text is there, at least as an estimate; `context`: of each
    live fingerprint, how many tokens its engine takes."""

    artifacts: Iterable[Artifact]
    tokens: Mapping[str, int]
    context: Mapping[str, int]


@dataclass(slots=True, eq=False)
class _Wished:
    requests: float
    covered_tokens: int = 0
    """Those of its head that there is KV of."""
    candidates: "list[_Candidate]" = field(default_factory=list["_Candidate"])
    """What could be built for it, the shortest first."""


@dataclass(slots=True, eq=False)
class _Candidate:
    wish: Wish
    tokens: int
    covered_tokens: int
    wished: list[_Wished] = field(default_factory=list[_Wished])

    @property
    def missing_tokens(self) -> int:
        return max(0, self.tokens - self.covered_tokens)

    @property
    def requests(self) -> int:
        """Those that would compute less with it than without."""
        return round(sum(each.requests for each in self.wished if each.covered_tokens < self.tokens))

    @property
    def gain(self) -> int:
        return self.requests * self.missing_tokens


def advise(wishes: Mapping[Wish, float], known: Known, limit: int) -> tuple[Advice, ...]:
    """Up to `limit` lists, best first: by requests x tokens that had to be computed. What no live engine could hold,
    and what needs a text that is gone, is left out."""
    candidates = _candidates(wishes, known)
    heap = [(-each.gain, number) for number, each in enumerate(candidates)]
    heapq.heapify(heap)
    advice: list[Advice] = []
    while heap and len(advice) < limit:
        promised, number = heapq.heappop(heap)
        best = candidates[number]
        if best.gain != -promised:  # it has lost since: gains only shrink, so the first that holds is the best
            heapq.heappush(heap, (-best.gain, number))
        elif best.gain > 0:
            advice.append(_advice(best))
            _suppose(best)
    return tuple(advice)


def _candidates(wishes: Mapping[Wish, float], known: Known) -> list[_Candidate]:
    whole, covered = _held(known.artifacts)
    found: dict[Wish, _Candidate] = {}
    for wish, requests in wishes.items():
        wished = _Wished(requests)
        covered_tokens = 0
        for prefix in _prefixes(wish):
            covered_tokens = max(covered_tokens, covered.get(prefix, 0))
            tokens = whole.get(prefix) or sum(known.tokens.get(kid, 0) for kid in prefix.kids)
            if prefix.kids[-1] not in known.tokens or tokens >= known.context.get(prefix.fingerprint, 0):
                break
            candidate = found.setdefault(prefix, _Candidate(prefix, tokens, covered_tokens))
            candidate.wished.append(wished)
            wished.candidates.append(candidate)
        wished.covered_tokens = covered_tokens
    return list(found.values())


def _held(artifacts: Iterable[Artifact]) -> tuple[dict[Wish, int], dict[Wish, int]]:
    """Of each list that there is KV of: its tokens, and those of them that the KV has."""
    whole: dict[Wish, int] = {}
    covered: dict[Wish, int] = {}
    for artifact in artifacts:
        kids = Wish(artifact.kids, artifact.rendering, artifact.fingerprint)
        whole[kids] = max(artifact.whole_tokens, artifact.n_tokens)
        covered[kids] = artifact.n_tokens
    return whole, covered


def _suppose(built: _Candidate) -> None:
    """Takes `built` for built, whole."""
    for wished in built.wished:
        wished.covered_tokens = max(wished.covered_tokens, built.tokens)
        for longer in wished.candidates[len(built.wish.kids) - 1 :]:
            longer.covered_tokens = max(longer.covered_tokens, built.tokens)


def _prefixes(wish: Wish) -> Iterator[Wish]:
    """From the shortest on."""
    for length in range(1, len(wish.kids) + 1):
        yield Wish(wish.kids[:length], wish.rendering, wish.fingerprint)


def _advice(best: _Candidate) -> Advice:
    return Advice(
        kids=best.wish.kids,
        rendering=best.wish.rendering,
        fingerprint=best.wish.fingerprint,
        requests=best.requests,
        tokens=best.tokens,
        missing_tokens=best.missing_tokens,
        gain=best.gain,
    )
