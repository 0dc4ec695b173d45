"""Token ids to text as they come: whole characters only, and nothing of a stop string. Knows no model. Pure."""

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]

_BROKEN = "\N{REPLACEMENT CHARACTER}"


class Detokeniser:
    """The text that each further token adds.

    Bytes of a character may be spread over tokens: text that ends in a replacement character waits for more.
    Each piece is decoded behind its predecessor, so that a decoder which treats a first word otherwise (a
    leading space dropped) does so only once.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._context: list[int] = []
        """The tokens of the last piece that was given out."""
        self._held: list[int] = []

    def push(self, token: int) -> str:
        """What can be said after this token; empty while a character is incomplete."""
        self._held.append(token)
        before = self._decode(self._context)
        text = self._decode([*self._context, *self._held])
        if text.endswith(_BROKEN) or len(text) <= len(before):
            return ""
        self._context, self._held = self._held, []
        return text[len(before) :]


class StopStrings:
    """Lets text through up to the first stop string, holding back whatever could still become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """What of the text so far is safe to show. Once `stopped`, nothing more."""
        if self.stopped:
            return ""
        text = self._held + text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        safe = len(text) - self._longest_beginning(text)
        self._held = text[safe:]
        return text[:safe]

    def flush(self) -> str:
        """What was held back for a stop string that never came."""
        text, self._held = self._held, ""
        return text

    def _longest_beginning(self, text: str) -> int:
        """The length of the longest end of `text` that a stop string begins with."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
