"""Knowledge placed over long conversations, while documents come and go and the scheduler forgets."""

import asyncio
import json
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cacheroute.embedding_client import EmbeddingClient
from cacheroute.errors import DeadlineExceeded
from cacheroute.proxy.compose import compose
from cacheroute.scheduler.access import Caller
from cacheroute.scheduler.body import ClientRequest, parse
from cacheroute.scheduler.config import SchedulerConfig
from cacheroute.scheduler.placing import Placed, Placer
from cacheroute.scheduler.retrieval import Retrieved, Retriever
from cacheroute.wire.serve import Knowledge
from knowledge.document import Block
from knowledge.replication.replica import Replica
from knowledge.retrieval.match import Limits

LETTERS = "abcde"
EVERYTHING = Caller(name="ann", collections=None)
TIME_S = 60.0


class Library:
    """Stands for the copy and the search in it: a question finds the documents whose letters it has."""

    def __init__(self) -> None:
        self.versions = dict.fromkeys(LETTERS, 1)

    def kid(self, letter: str) -> str:
        return f"{letter}{self.versions[letter]}"

    @property
    def kids(self) -> set[str]:
        return {self.kid(letter) for letter, version in self.versions.items() if version}

    def blocks(self, kids: Iterable[str], visible: Set[str] | None = None) -> dict[str, Block]:
        return {
            kid: Block(kid=kid, ordinal=0, text=f"text of {kid}", tokens=4, source="s", title="t")
            for kid in kids
            if kid in self.kids
        }

    async def knowledge_for(self, asked: ClientRequest, caller: Caller) -> Retrieved:
        letters = asked.query if asked.knowledge_ids is None else "".join(asked.knowledge_ids)
        found = self.blocks(self.kid(letter) for letter in letters if self.versions[letter])
        knowledge = tuple(Knowledge(kid=kid, title=block.title, text=block.text) for kid, block in found.items())
        return Retrieved(knowledge=knowledge, reason="found")


def placer(library: Library, **settings: Any) -> Placer:
    return Placer(SchedulerConfig(**settings), cast(Retriever, library), cast(Replica, library))


def request(messages: list[dict[str, str]], **fields: Any) -> ClientRequest:
    return parse("chat", json.dumps({"model": "m", "messages": messages, **fields}).encode())


def contents(asked: ClientRequest, placed: Placed) -> list[str]:
    """The prompt, message by message."""
    composed = json.loads(bytes(compose(asked.endpoint, bytes(asked.body), placed.head, placed.turns)))
    return [message["content"] for message in composed["messages"]]


QUESTION = st.text(LETTERS, max_size=2)
STEP = st.one_of(
    st.tuples(st.just("ask"), QUESTION),
    st.tuples(st.just("ask"), QUESTION),
    st.tuples(st.just("name"), QUESTION),
    st.tuples(st.just("again"), QUESTION),
    st.tuples(st.just("rag off"), QUESTION),
    st.tuples(st.just("shorten"), QUESTION),
    st.tuples(st.just("edit"), st.sampled_from(LETTERS)),
    st.tuples(st.just("delete"), st.sampled_from(LETTERS)),
    st.tuples(st.just("restart"), st.just("")),
)


async def _whatever_happens(steps: list[tuple[str, str]], session: str) -> None:
    library, messages, before = Library(), list[dict[str, str]](), list[str]()
    placing = placer(library)
    for what, text in steps:
        if what == "edit":
            library.versions[text] += 1
        elif what == "delete":
            library.versions[text] = 0
        elif what == "restart":
            placing, before = placer(library), []
        else:
            if what == "again" and messages:
                del messages[-2:]
                before = []
            messages.append({"role": "user", "content": text})
            fields: dict[str, Any] = {"knowledge_ids": list(text)} if what == "name" else {"RAG": what != "rag off"}
            asked = request(messages, **fields)
            placed = await placing.place(asked, EVERYTHING, session, TIME_S)
            kids = placed.placement.kids
            assert not placed.retrieved.knowledge, "a trace keeps no text"
            assert len(set(kids)) == len(kids)
            assert set(kids) <= library.kids, "nothing that was edited or deleted"
            prompt = contents(asked, placed)
            if what == "rag off":
                assert prompt == [message["content"] for message in messages]
            elif "anew" not in placed.retrieved.reason:
                assert prompt[: len(before)] == before
            used = [kid for kid in kids if what != "shorten" or kid not in placed.placement.kids[-1:]]
            placing.keep(asked, placed, used)
            messages.append({"role": "assistant", "content": "x"})
            before = [] if what in ("rag off", "shorten") else prompt


@settings(deadline=None, max_examples=150)
@given(st.lists(STEP, max_size=12), st.sampled_from(["", "s"]))
def test_whatever_happens_prompts_go_on_and_have_nothing_old_and_nothing_twice(steps, session):
    asyncio.run(_whatever_happens(steps, session))


def user(*texts: str) -> list[dict[str, str]]:
    roles = [{"role": role, "content": text} for text in texts for role, text in (("user", text), ("assistant", "x"))]
    return roles[:-1]


async def test_a_caller_who_no_longer_sees_a_collection_gets_nothing_of_it():
    library = Library()
    placing = placer(library)
    asked = request(user("a"))
    placed = await placing.place(asked, EVERYTHING, "", TIME_S)
    placing.keep(asked, placed, ["a1"])
    library.blocks = lambda kids, visible=None: {}  # type: ignore[method-assign]
    again = await placing.place(request(user("a", "")), Caller(name="ann", collections=frozenset("x")), "", TIME_S)
    assert (again.head, again.turns) == ((), ())
    assert "anew" in again.retrieved.reason


async def test_conversations_are_forgotten_after_their_time():
    library = Library()
    placing = placer(library, conversation_ttl_s=1e-9)
    asked = request(user("a"))
    placing.keep(asked, await placing.place(asked, EVERYTHING, "", TIME_S), ["a1"])
    library.versions["a"] = 2
    following = await placing.place(request(user("a", "")), EVERYTHING, "", TIME_S)
    assert following.retrieved.reason == "found; head found for the first turn: found"
    assert following.placement.head == ("a2",)


async def test_what_was_named_and_cannot_be_had_in_time_is_an_error_and_not_an_answer_without_it(tmp_path: Path):
    async def for_ever() -> None:
        await asyncio.Event().wait()

    replica = Replica(tmp_path / "k.db")
    embedder = cast(EmbeddingClient, None)  # nothing is searched for
    retriever = Retriever(replica, embedder, Limits(max_blocks=1, max_tokens=100), for_ever)
    placing = Placer(SchedulerConfig(), retriever, replica)
    with pytest.raises(DeadlineExceeded):
        await placing.place(request(user("a"), knowledge_ids=["k"]), EVERYTHING, "", 0.01)
    replica.close()
