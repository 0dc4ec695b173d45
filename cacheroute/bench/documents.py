"""Documents that no cache has ever seen, of about a wished length, each with a question that it answers."""

from collections.abc import Awaitable, Callable
from random import Random

from msgspec import Struct

CountTokens = Callable[[str], Awaitable[int]]

_PLACES = ("harbour", "valley", "plateau", "forest", "island", "desert", "delta", "canyon", "meadow", "glacier")
_GOODS = ("copper wire", "barley", "glass lenses", "rope", "cedar planks", "dried figs", "lamp oil", "clay tiles")
_HABITS = (
    "is inspected before dawn by two clerks who sign a green ledger",
    "closes its gates when the river rises above the third marker",
    "sends a rider to the capital with the week's figures",
    "keeps a bell that is rung once for each cart that arrives",
    "repairs its scales in spring, when the roads are too soft for wagons",
)
_SYLLABLES = ("kel", "mar", "tor", "vin", "sal", "dun", "bri", "hol", "ner", "oth", "ra", "ul")


class FreshDocument(Struct, frozen=True, kw_only=True):
    source: str
    title: str
    text: str
    question: str
    n_tokens: int


async def fresh_document(rng: Random, about_tokens: int, count_tokens: CountTokens) -> FreshDocument:
    """A document of `about_tokens` tokens, to within a sentence or two, as `count_tokens` counts."""
    code = f"{rng.getrandbits(48):012x}"
    station = _name(rng)
    title = f"Stores of {station} and its neighbours ({code})"
    first = f"Station {station} in the {rng.choice(_PLACES)} stores {rng.randint(100, 999)} crates of "
    first += f"{rng.choice(_GOODS)}."
    sentences = [first]
    while await count_tokens(_paragraphs(title, sentences)) < about_tokens:
        # grow by what is likely missing (a sentence has about 28 tokens), so that few counts are needed
        missing = about_tokens - await count_tokens(_paragraphs(title, sentences))
        sentences += [_sentence(rng) for _ in range(max(1, missing // 40))]
    text = _paragraphs(title, sentences)
    return FreshDocument(
        source=f"demo/{code}.md",
        title=title,
        text=text,
        question=f"What does station {station} store, and how much of it?",
        n_tokens=await count_tokens(text),
    )


def _sentence(rng: Random) -> str:
    crates = rng.randint(100, 999)
    return (
        f"Station {_name(rng)} in the {rng.choice(_PLACES)} holds {crates} crates of {rng.choice(_GOODS)} "
        f"and {rng.choice(_HABITS)}."
    )


def _name(rng: Random) -> str:
    return "".join(rng.choices(_SYLLABLES, k=3)).capitalize() + f"-{rng.randint(10, 99)}"


def _paragraphs(title: str, sentences: list[str]) -> str:
    groups = (sentences[start : start + 4] for start in range(0, len(sentences), 4))
    return f"# {title}\n\n" + "\n\n".join(" ".join(group) for group in groups)
