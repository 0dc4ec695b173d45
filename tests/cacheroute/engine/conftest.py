"""What tests of the numerics share: the default model, loaded once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from cacheroute.config import load
from cacheroute.engine.embedded.forward import load_model
from cacheroute.engine.embedded.llama import LlamaModel
from cacheroute.engine.prepare import PreparedModel, prepare


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads that wait for each other on a busy machine take many times longer than one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def prepared() -> PreparedModel:
    return prepare(None, load().paths.data_dir)


@pytest.fixture(scope="session")
def model(prepared: PreparedModel) -> LlamaModel:
    choice = load_model(prepared.path, prepared.weights_sha256)
    assert isinstance(choice.model, LlamaModel), choice.why
    return choice.model


@pytest.fixture(scope="session")
def prompt(prepared: PreparedModel) -> list[int]:
    """Thousands of tokens of English."""
    samples = sorted((Path(__file__).parents[3] / "knowledge" / "samples").glob("*.md"))
    text = "\n\n".join(sample.read_text() for sample in samples)
    return Tokenizer.from_file(str(prepared.path / "tokenizer.json")).encode(text).ids
