"""The threshold for this catalogue, fitted to labelled questions, and fitted again as the catalogue grows.

Questions and threshold are one file, written whole or not at all. Fitting asks the scheduler's own search, one question
after the other, so that live requests pass in between. Knows no HTTP.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from cacheroute.background import in_background
from cacheroute.durable import replace_file
from cacheroute.errors import BadRequest, CacheRouteError
from cacheroute.scheduler.access import OPERATOR
from cacheroute.scheduler.retrieval import Retriever
from cacheroute.wire.retrieval import Calibration, Labelled
from knowledge.catalogue.sources import count_blocks, kids_of
from knowledge.errors import KnowledgeError
from knowledge.replication.replica import Replica
from knowledge.retrieval.calibrate import Outcome, cross_validate, fit_threshold
from knowledge.retrieval.confidence import THRESHOLD
from knowledge.retrieval.match import Gate, Limits

log = logging.getLogger(__name__)

MAX_QUESTIONS = 1000
GROWTH = 1.2
"""Blocks, as a multiple of those that a threshold was fitted on, from which it is fitted again."""
CHECK_EVERY_S = 5.0
RETRY_AFTER_S = 60.0

_OPEN = Gate(min_confidence=0.0)
_ONE = Limits(max_blocks=1, max_tokens=2**31)


class _Kept(Struct, frozen=True, kw_only=True):
    questions: tuple[Labelled, ...]
    calibration: Calibration


class _Right(Struct, frozen=True):
    """A question, and the kids of the blocks that answer it; none: nothing does."""

    question: str
    kids: frozenset[str]


class Calibrator:
    """Sets the retriever's gate. `path`: the file that is kept."""

    def __init__(self, retriever: Retriever, replica: Replica, path: Path) -> None:
        self._retriever = retriever
        self._replica = replica
        self._path = path
        self._kept: _Kept | None = None
        self._fitting = asyncio.Lock()

    @property
    def present(self) -> Calibration:
        """The threshold in force; the shipped one has no questions."""
        if self._kept is not None:
            return self._kept.calibration
        return Calibration(
            threshold=THRESHOLD, before=THRESHOLD, questions=0, answerable=0, blocks=0,
            precision=0.0, recall=0.0, auroc=0.0, fitted_at="",
        )  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Takes up what was kept, and refits in the background until the end."""
        await asyncio.to_thread(self._load)
        async with in_background(self._keep_up()):
            yield

    async def calibrate(self, questions: Sequence[Labelled]) -> Calibration:
        """Fits the threshold and keeps it with its questions.

        Raises BadRequest naming a question that cannot be used; what `Retriever.search` raises; OSError, and then
        nothing has changed.
        """
        _check(questions)
        async with self._fitting:
            return await self._fit(tuple(questions), await asyncio.to_thread(self._right, questions))

    async def refit_if_grown(self) -> bool:
        """Fits again if the catalogue is GROWTH times what it was; returns whether it did. Questions whose document
        is gone are passed over. Raises as `calibrate`."""
        kept = self._kept
        if kept is None or self._fitting.locked():
            return False
        blocks = await asyncio.to_thread(count_blocks, self._replica.shelf)
        if blocks < GROWTH * kept.calibration.blocks or blocks == kept.calibration.blocks:
            return False
        async with self._fitting:
            await self._fit(kept.questions, await asyncio.to_thread(self._still_right, kept.questions))
        return True

    async def _keep_up(self) -> None:
        failed = ""
        while True:
            await asyncio.sleep(RETRY_AFTER_S if failed else CHECK_EVERY_S)
            try:
                await self.refit_if_grown()
                failed = ""
            except (CacheRouteError, KnowledgeError, OSError) as error:
                if str(error) != failed:
                    log.warning("cannot fit the threshold again: %s", error)
                failed = str(error)

    async def _fit(self, questions: tuple[Labelled, ...], right: Sequence[_Right]) -> Calibration:
        started_s = time.monotonic()
        blocks = await asyncio.to_thread(count_blocks, self._replica.shelf)
        outcomes = [await self._outcome(each) for each in right]
        threshold = round(fit_threshold(outcomes, THRESHOLD), 4)
        figures = cross_validate(outcomes, THRESHOLD)
        calibration = Calibration(
            threshold=threshold,
            before=self._retriever.gate.min_confidence,
            questions=len(outcomes),
            answerable=sum(outcome.answerable for outcome in outcomes),
            blocks=blocks,
            precision=round(figures.precision, 4),
            recall=round(figures.recall, 4),
            auroc=round(figures.auroc, 4),
            fitted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        kept = _Kept(questions=questions, calibration=calibration)
        await asyncio.to_thread(replace_file, self._path, msgspec.json.encode(kept))
        self._use(kept)
        log.info("threshold %.3f, from %d questions over %d blocks, in %.1f s", threshold, len(outcomes), blocks,
                 time.monotonic() - started_s)  # fmt: skip
        return calibration

    async def _outcome(self, asked: _Right) -> Outcome:
        """By the gate's floors alone: what they let through shows its confidence."""
        accepted = (await self._retriever.search(asked.question, OPERATOR, _ONE, gate=_OPEN)).accepted
        confidence = accepted[0].confidence if accepted else 0.0
        return Outcome(confidence, bool(asked.kids), bool(accepted) and accepted[0].kid in asked.kids)

    def _use(self, kept: _Kept) -> None:
        self._kept = kept
        self._retriever.gate = Gate(min_confidence=kept.calibration.threshold)

    def _load(self) -> None:
        try:
            self._use(msgspec.json.decode(self._path.read_bytes(), type=_Kept))
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("the threshold in %s cannot be read (%s): the shipped one is in force until the next "
                        "`cacheroute knowledge calibrate`", self._path, error)  # fmt: skip

    def _right(self, questions: Sequence[Labelled]) -> list[_Right]:
        """Blocking. Raises BadRequest for a document or a phrase that the catalogue does not have."""
        found: list[_Right] = []
        for number, asked in enumerate(questions, 1):
            known, kids = self._kids(asked)
            if asked.document and not known:
                raise BadRequest(f"question {number}: the catalogue has no document whose source ends with "
                                 f"{asked.document!r}; see `cacheroute knowledge list`", param="questions")  # fmt: skip
            if asked.document and not kids:
                raise BadRequest(f"question {number}: no block of {asked.document!r} contains {asked.phrase!r}",
                                 param="questions")  # fmt: skip
            found.append(_Right(asked.question, kids))
        return found

    def _still_right(self, questions: Sequence[Labelled]) -> list[_Right]:
        """Blocking. The questions whose document is still what it was."""
        each = [(asked, self._kids(asked)[1]) for asked in questions]
        return [_Right(asked.question, kids) for asked, kids in each if kids or not asked.document]

    def _kids(self, asked: Labelled) -> tuple[bool, frozenset[str]]:
        return kids_of(self._replica.shelf, asked.document, asked.phrase) if asked.document else (False, frozenset())


def _check(questions: Sequence[Labelled]) -> None:
    if not questions:
        raise BadRequest("there are no questions to fit a threshold to", param="questions")
    if len(questions) > MAX_QUESTIONS:
        raise BadRequest(f"{len(questions)} questions; at most {MAX_QUESTIONS} are taken", param="questions")
    for number, asked in enumerate(questions, 1):
        if not asked.question.strip():
            raise BadRequest(f"question {number} is empty", param="questions")
        if asked.phrase and not asked.document:
            raise BadRequest(f"question {number} has a phrase and no document that it stands in", param="questions")
    if not any(asked.document for asked in questions):
        raise BadRequest("no question names a document that answers it: nothing can be learnt from refusals alone",
                         param="questions")  # fmt: skip
