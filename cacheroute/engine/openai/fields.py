"""A JSON body read field by field: typed, ranged, every complaint naming its field. Knows no endpoint.

A field that is null is absent, as OpenAI's clients mean it. What nobody reads passes unnoticed.
"""

from typing import Any, cast

import msgspec

from cacheroute.errors import BadRequest


class Fields:
    """One JSON object. Raises BadRequest from every method whose field is not as asked."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    @classmethod
    def decode(cls, body: bytes) -> "Fields":
        try:
            values = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"the body is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise BadRequest("the body must be a JSON object")
        return cls(cast(dict[str, Any], values))

    def raw(self, name: str) -> Any:
        return self._values.get(name)

    def text(self, name: str) -> str:
        """A string that must be there."""
        value = self.raw(name)
        if not isinstance(value, str) or not value:
            raise wrong(name, "must be a string that is not empty" if value is not None else "is missing")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.raw(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise wrong(name, "must be true or false")
        return value

    def number(self, name: str, default: float, low: float, high: float) -> float:
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise wrong(name, f"must be a number from {low:g} to {high:g}")
        return float(value)

    def integer(self, name: str, low: int, high: int) -> int | None:
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise wrong(name, f"must be a whole number from {low} to {high}")
        return value

    def strings(self, name: str, most: int) -> tuple[str, ...]:
        """A string or a list of up to `most` of them, none empty; absent: none."""
        value = self.raw(name)
        if value is None:
            return ()
        listed = cast(list[Any], value) if isinstance(value, list) else [value]
        if len(listed) > most or not all(isinstance(text, str) and text for text in listed):
            raise wrong(name, f"must be a string or a list of up to {most} strings, none of them empty")
        return tuple(listed)

    def token_ids(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers from 0 on, at least one."""
        value = self.raw(name)
        listed = cast(list[Any], value) if isinstance(value, list) else []
        if not listed or not all(type(token) is int and token >= 0 for token in listed):
            raise wrong(name, "must be a list of token ids that is not empty")
        return tuple(listed)

    def inner(self, name: str) -> "Fields":
        """A nested object; absent: an empty one."""
        value = self.raw(name)
        if value is None:
            return Fields({})
        if not isinstance(value, dict):
            raise wrong(name, "must be an object")
        return Fields(cast(dict[str, Any], value))

    def refuse(self, name: str, why: str, *harmless: Any) -> None:
        """Raises unless the field is absent, empty or one of the `harmless` values: what we cannot do, we say."""
        value = self.raw(name)
        if not value or value in harmless:
            return
        raise wrong(name, why)


def wrong(name: str, why: str) -> BadRequest:
    return BadRequest(f"{name} {why}", param=name)
