import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cacheroute.engine.embedded.sampler import Sampler, logprob

LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=50).map(torch.tensor)


@settings(deadline=None)
@given(logits=LOGITS, seed=st.integers())
def test_temperature_zero_takes_the_likeliest_whatever_the_seed(logits: torch.Tensor, seed: int) -> None:
    assert Sampler(temperature=0, seed=seed).sample(logits) == int(logits.argmax())


@settings(deadline=None)
@given(logits=LOGITS, seed=st.integers())
def test_a_tiny_top_p_leaves_only_the_likeliest(logits: torch.Tensor, seed: int) -> None:
    token = Sampler(temperature=1, top_p=1e-9, seed=seed).sample(logits)
    probabilities = torch.softmax(logits, dim=-1)
    assert probabilities[token] == probabilities.max()


@settings(deadline=None)
@given(logits=LOGITS, top_p=st.floats(0.01, 1), temperature=st.floats(0.05, 5), seed=st.integers(0, 2**70))
def test_the_same_seed_draws_the_same_tokens(logits: torch.Tensor, top_p: float, temperature: float, seed: int) -> None:
    first, second = (Sampler(temperature, top_p, seed) for _ in range(2))
    assert [first.sample(logits) for _ in range(5)] == [second.sample(logits) for _ in range(5)]


@settings(deadline=None)
@given(logits=LOGITS, top_p=st.floats(0.01, 0.99), seed=st.integers())
def test_a_drawn_token_is_in_the_nucleus(logits: torch.Tensor, top_p: float, seed: int) -> None:
    token = Sampler(temperature=1, top_p=top_p, seed=seed).sample(logits)
    probabilities = torch.softmax(logits, dim=-1)
    likelier = float(probabilities[probabilities > probabilities[token]].sum())
    assert likelier < top_p + 1e-5


def test_draws_follow_the_probabilities() -> None:
    sampler = Sampler(temperature=2, seed=1)
    logits = torch.tensor([0.7, 0.2, 0.1]).log() * 2
    counts = Counter(sampler.sample(logits) for _ in range(4000))
    assert [counts[token] / 4000 for token in range(3)] == pytest.approx([0.7, 0.2, 0.1], abs=0.03)


def test_requests_without_a_seed_differ() -> None:
    logits = torch.zeros(1000)
    draws = {tuple(Sampler().sample(logits) for _ in range(4)) for _ in range(3)}
    assert len(draws) == 3


def test_seeds_do_not_disturb_each_other() -> None:
    logits = torch.zeros(1000)
    alone = Sampler(seed=7)
    expected = [alone.sample(logits) for _ in range(4)]
    one, other = Sampler(seed=7), Sampler(seed=8)
    mixed = [(one.sample(logits), other.sample(logits))[0] for _ in range(4)]
    assert mixed == expected


@pytest.mark.parametrize("wrong", [{"temperature": -0.1}, {"temperature": math.nan}, {"top_p": 0}, {"top_p": 1.1}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampler(**wrong)


@settings(deadline=None)
@given(logits=LOGITS)
def test_logprobs_are_those_of_a_distribution(logits: torch.Tensor) -> None:
    total = sum(math.exp(logprob(logits, token)) for token in range(len(logits)))
    assert total == pytest.approx(1, abs=1e-4)
