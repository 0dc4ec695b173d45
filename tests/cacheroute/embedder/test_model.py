import numpy as np
import pytest

from cacheroute.embedder.config import EmbedderConfig
from cacheroute.embedder.model import Model

TEXTS = ["The ferry leaves at noon.", "At what time does the ferry leave?", "Barley is stored in the north tower."]

pytestmark = pytest.mark.slow  # the real model is loaded


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    return Model.load(EmbedderConfig(dtype="float32")).embed(TEXTS, "passage")


@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "float32"])
def test_vectors_are_unit_float32_and_alike_whatever_the_model_computes_in(exact, dtype):
    vectors = Model.load(EmbedderConfig(dtype=dtype)).embed(TEXTS, "passage")
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert np.allclose(vectors @ vectors.T, exact @ exact.T, atol=0.02)
    assert (vectors @ vectors.T)[0].argsort()[-2] == 1
