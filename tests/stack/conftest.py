"""What the stack's tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.stack_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.clean_up()
