"""`cacheroute bench corpus`: a corpus of real documents registered, searched, partly built and asked."""

import asyncio
import os
from collections.abc import Sequence

from cacheroute.bench.corpus import COLLECTION, CorpusResult, Register, Registered, Skipped, run_corpus
from cacheroute.bench.corpus_files import Corpus, corpus, questions, some_of
from cacheroute.bench.live_requests import LiveTtft
from cacheroute.cli.documents import File, find
from cacheroute.cli.intake import Intake
from cacheroute.cli.intake_display import Display, summary
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.output import Output
from cacheroute.cli.tally import Tally
from cacheroute.errors import NotFound
from cacheroute.kdn_client import Kdn
from cacheroute.wire.documents import AddedDocument
from knowledge.parse import Given


def show_corpus(invocation: Invocation) -> CorpusResult | Skipped:
    """Needs a running stack and a corpus; without the latter it says what to install."""
    out = invocation.out
    try:
        chosen = corpus(os.environ)
    except NotFound as error:
        out.say(f"Skipped: {error.message}")
        return Skipped(skipped=error.message)
    result = asyncio.run(run_corpus(invocation.config, chosen, _registration(out, chosen), out.note))
    _say(out, result)
    return result


def _registration(out: Output, chosen: Corpus) -> Register:
    """As `cacheroute knowledge add` does it, told in progress and sums, not by document."""

    async def register(kdn: Kdn) -> Registered:
        files = await asyncio.to_thread(_files, chosen)
        tally = Tally(len(files))
        async with Display(out, tally).shown():
            await Intake(kdn, tally, _not_told, _not_told).run(files, Given(collection=COLLECTION))
        took_s = tally.took_s
        for line in summary(tally):
            out.note(line)
        return Registered(
            files=tally.files,
            added=tally.statuses["added"],
            unchanged=tally.statuses["unchanged"],
            failures=tuple(tally.failures),
            blocks=tally.blocks,
            near_duplicates=sum(len(each.near_duplicates) for each in tally.added),
            notes=sum(len(each.notes) for each in tally.added),
            took_s=round(took_s, 1),
            parts_ms={part: round(ms) for part, ms in tally.parts_ms.items()},
        )

    return register


def _files(chosen: Corpus) -> list[File]:
    """Raises NotFound where the folder holds nothing to register."""
    listing = find([str(chosen.folder)])
    if listing.failures:
        raise NotFound("; ".join(listing.failures))
    paths = [file.path for file in listing.files if file.path is not None]
    return [File(path) for path in (some_of(paths, questions(), chosen.most_files) if chosen.most_files else paths)]


def _not_told(what: AddedDocument | Sequence[str]) -> None:
    """Of each document: there are too many."""


def _say(out: Output, result: CorpusResult) -> None:
    registered, again, search = result.registered, result.again, result.search
    parts = ", ".join(f"{part} {ms / 1000:.0f} s" for part, ms in registered.parts_ms.items())
    size = result.footprint.files
    out.table(
        ("STAGE", "TOOK", "WHAT"),
        (
            ("register", f"{registered.took_s:.1f} s", f"{registered.added} documents, {registered.blocks} blocks, "
             f"{result.passages} passages, {len(registered.failures)} failures ({parts}, summed)"),
            ("copy", f"{result.copied_after_s:.1f} s", "until the scheduler had it, too"),
            ("again", f"{again.took_s:.1f} s", f"{again.unchanged} unchanged"),
            ("search", f"{search.p50_ms:.0f} ms", f"median, p95 {search.p95_ms:.0f} ms; R@1 {search.r_at_1:.3f}, R@5 "
             f"{search.r_at_5:.3f}, {search.abstained} of {search.unanswerable} unanswerable get nothing"),
        ),
        right=("TOOK",),
    )  # fmt: skip
    out.say(f"Requests: TTFT alone {_ttft(result.before)}; while registering {_ttft(result.while_registering)}.")
    out.say(f"Library {size['library'] / 2**20:.0f} MB, the scheduler's copy {size['copy'] / 2**20:.0f} MB.")
    out.say(f"Resident at most: {_megabytes(result.footprint.rss_peak)}.")
    if result.kv is not None:
        kv = result.kv
        out.say(f"KV of {len(kv.rows)} blocks: {kv.median_build_ms:.0f} ms and {kv.median_nbytes / 2**20:.1f} MB each, "
                f"median; TTFT by text {kv.text_ms:.0f} ms, by KV {kv.kv_ms:.0f} ms ({kv.ratio:.1f} x); "
                f"{kv.same_answers} of {len(kv.rows)} with the same answers.")  # fmt: skip
    if result.removal is not None:
        gone = result.removal
        out.say(f"Deleted {gone.documents} documents in {gone.took_s:.1f} s: {gone.left} left in "
                f"{sum(gone.looked_at.values())} places looked at.")  # fmt: skip
    out.say(f"{result.took_s:.0f} s in all, at a load of {result.load_average[0]} to {result.load_average[1]}.")


def _ttft(ttft: LiveTtft) -> str:
    if ttft.median_ms is None:
        return f"unknown ({len(ttft.failures)} of {ttft.requests} failed)"
    return f"{ttft.median_ms:.0f} ms, worst {ttft.worst_ms:.0f} ms, {len(ttft.failures)} of {ttft.requests} failed"


def _megabytes(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {size / 2**20:.0f} MB" for name, size in sizes.items())
