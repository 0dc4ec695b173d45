"""`cacheroute bench retrieval` and `bench confidence`: what retrieval is worth, and the fit that it stands on."""

from typing import TYPE_CHECKING

from cacheroute.cli.invocation import Invocation

if TYPE_CHECKING:  # loading scikit-learn takes seconds that other benches need not spend
    from cacheroute.bench.confidence import ConfidenceResult
    from cacheroute.bench.retrieval import RetrievalResult


def show_retrieval(invocation: Invocation) -> "RetrievalResult":
    """Needs no running stack."""
    from cacheroute.bench.retrieval import LABELLED, run_retrieval

    out = invocation.out
    result = run_retrieval(invocation.config.embedder, out.note)
    columns = ("SET", "BLOCKS", "R@1", "R@5", "PRECISION", "RECALL", "AUROC", "CHIT-CHAT")
    rows = (
        (
            each.name,
            each.blocks,
            _share(each.r_at_1),
            _share(each.r_at_5),
            _share(each.abstain.precision),
            _share(each.abstain.recall),
            _share(each.abstain.auroc),
            _share(each.chitchat_accepted),
        )
        for each in result.sets
    )
    out.table(columns, rows, right=columns[1:])
    for each in result.sets:
        if each.two_facts is not None:
            out.say(f"{each.name}, two facts in one question: {each.two_facts.recall:.3f} of them found, "
                    f"{each.two_facts.precision:.3f} of what is injected is right.")  # fmt: skip
    for each in result.sets:
        if each.calibrated is not None:
            out.say(f"{each.name}, threshold fitted to {LABELLED} labelled questions: precision "
                    f"{each.calibrated.precision:.3f}, recall {each.calibrated.recall:.3f}.")  # fmt: skip
    turns = result.turns
    out.say(f"Two turns: {turns.found} of {turns.follow_ups} follow-ups find their document ({turns.found_alone} by "
            f"themselves); {turns.dragged} of {turns.changes} changes of subject get knowledge.")  # fmt: skip
    latency = result.latency
    out.say(f"{latency.blocks:,} made-up blocks: p50 {latency.p50_ms:.1f} ms, p95 {latency.p95_ms:.1f} ms (embedding "
            f"{latency.embed_p50_ms:.1f}, search {latency.search_p50_ms:.1f}); event-loop lag p99 "
            f"{latency.loop_lag_p99_ms:.1f} ms.")  # fmt: skip
    for why in result.skipped:
        out.say(f"Skipped: {why}")
    out.say(f"At a threshold of {result.threshold:.2f}. Precision: right / injected; recall: answerable questions that "
            "got the right block.")  # fmt: skip
    return result


def show_confidence(invocation: Invocation) -> "ConfidenceResult":
    """Needs no running stack, but XQuAD."""
    from cacheroute.bench.confidence import run_confidence

    out = invocation.out
    result = run_confidence(invocation.config.embedder)
    out.say(
        f"Fitted on {result.rows} questions, {result.right} with the right block on top. "
        "For knowledge/retrieval/confidence.py:"
    )
    out.say(f"{result.regression}")
    out.say(f"threshold {result.threshold}")
    return result


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
