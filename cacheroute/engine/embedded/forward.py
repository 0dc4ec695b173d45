"""Chooses the forward pass that serves a model: ours where it agrees with the reference, else the reference.

Both are run at load over one short made-up prompt. Transformers' eager attention is the measure, because it
rounds where our own does: on the machines it was tried on they agreed to the last bit.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch

from cacheroute.engine.embedded.llama import LlamaModel
from cacheroute.engine.embedded.model import Model
from cacheroute.engine.embedded.reference import ReferenceModel, UnsupportedModel, load_reference

PROBE_TOKENS = 80
PROBE_CUTS = (0, 1, 34, 36, PROBE_TOKENS)
TOLERANCE = 0.3
"""Largest gap between two logits, in standard deviations of the reference's. bf16 noise reaches 0.23 (eager against
SDPA attention, both transformers' own, a thousand tokens in); a wrong rotation or mask is beyond 1."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that serves, and why it is this forward pass."""

    model: Model
    why: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """How close a forward pass is to the reference on the probe."""

    largest_gap: float
    """Of the logits, in standard deviations of the reference's."""
    same_argmax: bool

    @property
    def holds(self) -> bool:
        return self.same_argmax and self.largest_gap <= TOLERANCE


def load_model(path: Path, digest: str) -> Choice:
    """Loads the Hugging Face directory `path`. Raises as `load_reference` does."""
    eager = load_reference(path, digest, attention="eager")
    try:
        ours = LlamaModel(eager)
    except UnsupportedModel as error:
        return Choice(load_reference(path, digest), f"transformers serves it: {error}")
    agreement = agree(ours, eager)
    gap = f"logits within {agreement.largest_gap:.2g} standard deviations of transformers'"
    if not agreement.holds:
        same = "the same" if agreement.same_argmax else "another"
        return Choice(load_reference(path, digest), f"transformers serves it: ours gave {same} token, {gap}")
    ours.spec = replace(ours.spec, splits_freely=splits_freely(ours))
    cut = "split anywhere" if ours.spec.splits_freely else "split at chunk boundaries only"
    return Choice(ours, f"{ours.spec.forward}: {gap}, {cut}")


def agree(model: Model, reference: ReferenceModel) -> Agreement:
    """Runs both over the probe from nothing."""
    ids = probe(reference.spec.vocab)
    got = model.prefill(model.spec.slab(PROBE_TOKENS), ids, 0)
    wanted = reference.prefill(reference.spec.slab(PROBE_TOKENS), ids, 0)
    gap = float((got - wanted).abs().max() / wanted.std())
    return Agreement(gap, bool(got.argmax() == wanted.argmax()))


def splits_freely(model: Model) -> bool:
    """Whether the probe in one piece, in several, and its last token decoded give the same bits."""
    ids = probe(model.spec.vocab)
    whole, pieces = model.spec.slab(PROBE_TOKENS), model.spec.slab(PROBE_TOKENS)
    expected = model.prefill(whole, ids, 0)
    in_pieces = [model.prefill(pieces, ids[start:end], start) for start, end in pairwise(PROBE_CUTS)][-1]
    same_kv = torch.equal(whole.kv, pieces.kv)
    pieces.truncate(PROBE_TOKENS - 1)
    decoded = model.decode([pieces], ids[-1:])[0]
    return same_kv and torch.equal(expected, in_pieces) and torch.equal(expected, decoded)


def probe(vocab: int) -> list[int]:
    """Token ids spread over the vocabulary, the same every time."""
    return [(7919 * index + 104729) % vocab for index in range(PROBE_TOKENS)]
