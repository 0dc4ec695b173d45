"""What the OpenAI surface asks of an engine behind it. Knows no kind of engine."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cacheroute.engine.openai.answer import Delta, Usage
from cacheroute.engine.openai.ask import Ask
from cacheroute.engine.openai.messages import Conversation
from cacheroute.wire.artifacts import CacheReset
from cacheroute.wire.engine import EngineInfo


class Stream(Protocol):
    """One answer under way."""

    @property
    def usage(self) -> Usage: ...

    @property
    def parts_ms(self) -> Mapping[str, float]:
        """Where the time to the first token went."""
        ...

    async def next(self) -> Delta:
        """The next piece; the one with a `finish` is the last. Raises CacheRouteError where the engine failed."""
        ...


class Backend(Protocol):
    """A ready engine."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def alive(self) -> bool: ...

    def generating(self, ask: Ask) -> AbstractAsyncContextManager[Stream]:
        """An answer to `ask`, computed until it ends or the context is left.

        Raises BadRequest (the prompt cannot be rendered, a token id is no token), ContextOverflow, Overloaded.
        """
        ...

    async def tokenize(self, prompt: Conversation | str, *, add_special_tokens: bool) -> list[int]: ...
    async def detokenize(self, ids: Sequence[int]) -> str: ...
    async def reset_prefix_cache(self) -> CacheReset: ...
    async def close(self) -> None: ...
