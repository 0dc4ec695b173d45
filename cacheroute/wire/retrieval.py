"""The scheduler's edge for retrieval: search as it does, and its threshold fitted to labelled questions.

`POST /v1/search` takes a SearchRequest and answers with `knowledge.retrieval.match.Matches`.
"""

from msgspec import Struct


class SearchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    query: str
    k: int = 5
    previous: str = ""
    """The user turn before, if there was one."""


class Labelled(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question whose answer is known. `document`: the end of the source that answers it; empty: none does."""

    question: str
    document: str = ""
    phrase: str = ""
    """A text that the right block contains; empty: any block of the document is right."""


class CalibrateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/calibrate`. The questions are kept, and the threshold is fitted again as the catalogue grows."""

    questions: tuple[Labelled, ...]


class Calibration(Struct, frozen=True, kw_only=True):
    """How the threshold was found, and what it does: on the questions themselves, by cross-validation."""

    threshold: float
    before: float
    questions: int
    answerable: int
    blocks: int
    """Of the catalogue when it was fitted."""
    precision: float
    recall: float
    auroc: float
    fitted_at: str
    """Wall clock, ISO 8601, for people."""
