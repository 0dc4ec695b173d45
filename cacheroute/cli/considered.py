"""Blocks that were looked at for a question, as a table: for `knowledge search` and `knowledge why`."""

from collections.abc import Iterable
from typing import Protocol

from cacheroute.cli.output import Output
from cacheroute.cli.selection import KID_SHOWN

_FIGURES = ("CONF", "SCORE", "WORDS", "MEANING")


class Looked(Protocol):
    """A block with its scores, each from 0 to 1, and what became of it."""

    @property
    def kid(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def fused(self) -> float: ...
    @property
    def lexical(self) -> float: ...
    @property
    def cosine(self) -> float: ...
    @property
    def confidence(self) -> float: ...
    @property
    def reason(self) -> str: ...


def say_considered(out: Output, considered: Iterable[Looked]) -> None:
    """Best first. What a verdict says of the confidence, its column and the threshold say already."""
    out.table(
        ("KID", *_FIGURES, "VERDICT", "TITLE"),
        (
            (
                block.kid[:KID_SHOWN],
                f"{block.confidence:.2f}",
                f"{block.fused:.2f}",
                f"{block.lexical:.2f}",
                f"{block.cosine:.2f}",
                block.reason.partition(": confidence")[0],
                block.title,
            )
            for block in considered
        ),
        right=_FIGURES,
        whole=("KID",),
    )
