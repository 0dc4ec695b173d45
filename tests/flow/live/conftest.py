"""One whole stack for all the stories here, with the sample knowledge in it: starting it takes some ten seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.live_stack import LiveStack, live_stack

import knowledge

SAMPLES = Path(knowledge.__file__).parent / "samples"


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    with live_stack(tmp_path_factory.mktemp("live")) as stack:
        stack.cacheroute("knowledge", "add", *map(str, sorted(SAMPLES.glob("*.md"))))
        yield stack
