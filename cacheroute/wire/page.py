"""A long list, a page at a time: what every listing answers with."""

from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")

MAX_PAGE = 512
"""The most that one page holds, whatever `limit` asks for."""


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """`?limit=&after=`: items in a lasting order. `next` is the `after` of the page that follows; empty: the end."""

    items: tuple[T, ...]
    next: str = ""
