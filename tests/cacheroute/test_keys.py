"""The key scheme, held against keys computed by independent code for LMCache's multiprocess format."""

from hypothesis import given
from hypothesis import strategies as st

from cacheroute.keys import ROOT, KeyScheme, model_of

IDS = [number * 7919 % 49152 for number in range(700)]


def test_the_chain_starts_where_lmcache_starts_it():
    assert ROOT.hex().startswith("7e3eff9e")


def test_keys_have_the_multiprocess_format_and_the_known_hashes():
    keys = KeyScheme(model="models/smollm2-135m", chunk_tokens=256).keys(IDS)
    assert keys == GOLDEN


def test_a_salt_keeps_tenants_apart():
    plain, salted = (KeyScheme(model="m", chunk_tokens=256, salt=salt).keys(IDS)[0] for salt in ("", "tenant"))
    assert salted == f"{plain}@tenant"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.sampled_from(["", "tenant"]))
def test_a_key_tells_its_model_and_a_foreign_key_none(model, salt):
    (key,) = KeyScheme(model=model, chunk_tokens=4, salt=salt).keys(range(4))
    assert model_of(key) == model
    assert model_of(key + "@x@y") != model
    assert model_of(key[:-1].replace("@0@", "@")) == ""


@given(st.lists(st.integers(0, 2**31), max_size=80), st.integers(1, 20), st.integers(0, 79))
def test_a_key_depends_on_every_token_before_its_end_and_on_none_after(ids, chunk_tokens, at):
    scheme = KeyScheme(model="m", chunk_tokens=chunk_tokens)
    keys = scheme.keys(ids)
    assert len(keys) == len(ids) // chunk_tokens
    if at < len(ids):
        changed = [*ids[:at], ids[at] + 1, *ids[at + 1 :]]
        same = at // chunk_tokens
        assert scheme.keys(changed)[:same] == keys[:same]
        assert not set(scheme.keys(changed)[same:]) & set(keys[same:])


GOLDEN = (
    "models/smollm2-135m@01000100@0@53d975e1b7b677ddcee841e618ace71b68b99a6ff2c2f0c0f33f46df1b38a794",
    "models/smollm2-135m@01000100@0@a6878baf4fe2b25ddfc97c057364aff4614ea72d66ef88511199306e3de7491b",
)
