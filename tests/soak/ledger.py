"""What the KDNs were told, and so what may stand in a prompt: the truth that answers are held against.

Every text has a mark that no other has, at the beginning of each of its paragraphs. A mark that no source has any more
is gone from the moment when the scheduler was seen to have followed; from then on it must be in no prompt.
"""

import asyncio
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field

MARK = re.compile(r"zq\d{6}")
WORDS = ("valve", "harbour", "lantern", "copper", "ferry", "orchard", "granite", "saffron", "pendulum", "tundra")


@dataclass(frozen=True)
class Text:
    mark: str
    body: str


@dataclass
class Source:
    """One document by its name. Whoever holds the `lock` is the only one who changes or asks for it."""

    name: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    text: Text | None = None
    kids: tuple[str, ...] = ()
    earlier: list[Text] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """That no other source has."""
        return [f"{word}{self.name}" for word in WORDS]


class Ledger:
    """The sources, and for each mark who has it or since when it is gone."""

    def __init__(self, count: int) -> None:
        self.sources = [Source(f"s{number}") for number in range(count)]
        self.slowest_follow_s = 0.0
        self._made = 0
        self._holders: dict[str, set[str]] = {}
        self._gone_s: dict[str, float] = {}
        self._comings = Counter[str]()

    def new_text(self, source: Source, rng: random.Random) -> Text:
        """One to three paragraphs about the source's own words."""
        self._made += 1
        mark = f"zq{self._made:06d}"
        paragraphs = [
            f"{mark} part {number}: " + " ".join(rng.choices((*source.words, *WORDS), k=rng.randint(6, 20)))
            for number in range(rng.randint(1, 3))
        ]
        return Text(mark, "\n\n".join(paragraphs))

    def question(self, source: Source, rng: random.Random) -> str:
        """In the words of its text, so that it is found; never with its mark."""
        words = MARK.sub("", source.text.body).split() if source.text else source.words
        return f"What about {' '.join(rng.sample(words, min(len(words), rng.randint(2, 12))))}?"

    def comes(self, source: Source, text: Text) -> None:
        """To be called before the KDN is told: from now on the text may be seen."""
        self._holders.setdefault(text.mark, set()).add(source.name)
        self._comings[text.mark] += 1
        self._gone_s.pop(text.mark, None)

    def comings(self, source: Source) -> int:
        """How often somebody was told the text of this source."""
        return self._comings[source.text.mark] if source.text else 0

    def is_now(self, source: Source, text: Text | None, kids: tuple[str, ...]) -> Text | None:
        """The KDN has said so. Returns the text before, if no source has it any more."""
        before, source.text, source.kids = source.text, text, kids
        if before is None or before == text:
            return None
        source.earlier = [*source.earlier[-3:], before]
        self._holders[before.mark].discard(source.name)
        return None if self._holders[before.mark] else before

    def is_gone(self, text: Text, follow_s: float) -> None:
        """The scheduler was seen not to have it any more, after so long."""
        self.slowest_follow_s = max(self.slowest_follow_s, follow_s)
        if not self._holders[text.mark]:
            self._gone_s[text.mark] = time.monotonic()

    def stale(self, prompt: str, began_s: float) -> list[str]:
        """Marks in the prompt of a request that began at `began_s` which were gone before."""
        return [mark for mark in MARK.findall(prompt) if self._gone_s.get(mark, began_s) < began_s]

    @property
    def live(self) -> dict[str, str]:
        """The text of each source that has one."""
        return {source.name: source.text.body for source in self.sources if source.text}
