from pathlib import Path

import pytest
import torch
from fakes.tiny_models import TINY, tiny_llama, write_model
from transformers import Qwen2Config

from cacheroute.engine.embedded.forward import Agreement, agree, load_model, splits_freely
from cacheroute.engine.embedded.llama import LlamaModel
from cacheroute.engine.embedded.model import Model
from cacheroute.engine.embedded.reference import ReferenceModel, load_reference
from cacheroute.engine.prepare import PreparedModel


@pytest.fixture(scope="module")
def reference(prepared: PreparedModel) -> ReferenceModel:
    return load_reference(prepared.path, "", attention="eager")


def test_ours_serves_the_default_model_and_splits_freely(model: LlamaModel) -> None:
    assert model.spec.splits_freely
    assert model.spec.forward.startswith("llama-")


def test_ours_agrees_with_transformers_on_a_real_prompt(
    model: LlamaModel, reference: ReferenceModel, prompt: list[int]
) -> None:
    ids = prompt[:200]
    got = model.prefill(model.spec.slab(256), ids, 0)
    expected = reference.prefill(reference.spec.slab(256), ids, 0)
    assert float((got - expected).abs().max()) <= 0.1 * float(expected.std())
    assert got.argmax() == expected.argmax()


def test_a_wrong_rotation_does_not_pass(reference: ReferenceModel) -> None:
    broken = LlamaModel(reference)
    assert agree(broken, reference).holds
    broken._sin = -broken._sin  # pyright: ignore[reportPrivateUsage]
    assert not agree(broken, reference).holds


@pytest.mark.parametrize(
    ("agreement", "holds"),
    [
        (Agreement(0.0, True), True),
        (Agreement(0.29, True), True),
        (Agreement(0.31, True), False),
        (Agreement(0, False), False),
    ],
)
def test_agreement_needs_near_logits_and_the_same_token(agreement: Agreement, holds: bool) -> None:
    assert agreement.holds is holds


def test_another_architecture_is_served_by_transformers_and_says_why(tmp_path: Path) -> None:
    choice = load_model(write_model(Qwen2Config(**TINY, intermediate_size=96, num_key_value_heads=2), tmp_path), "")
    assert isinstance(choice.model, ReferenceModel)
    assert "Qwen2" in choice.why
    assert not choice.model.spec.splits_freely


def test_a_model_whose_bits_depend_on_the_cut_is_found_out(tmp_path: Path) -> None:
    class Leaky(LlamaModel):
        """Adds a trace of the piece's length, as a kernel chosen by shape would."""

        def prefill(self, slab, ids, start):  # type: ignore[no-untyped-def]
            return super().prefill(slab, ids, start) + 1e-6 * len(ids)

    model: Model = Leaky(load_reference(write_model(tiny_llama(), tmp_path), ""))
    assert not splits_freely(model)
    assert torch.isfinite(model.prefill(model.spec.slab(8), [1, 2], 0)).all()
