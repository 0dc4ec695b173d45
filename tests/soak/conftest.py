"""How long a soak runs, and by which seed: SOAK_S seconds of each (90), SOAK_SEED to do one again."""

import logging
import os
import random
from collections.abc import Iterator

import pytest
from soak.journal import Journal

SOAK_S = float(os.environ.get("SOAK_S", "90"))
ENDING_S = 300.0
"""Beyond its own time, what starting, the last checks and stopping may take."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "soak":
            item.add_marker(pytest.mark.soak)
            item.add_marker(pytest.mark.timeout(SOAK_S + ENDING_S))


@pytest.fixture
def soak_s() -> float:
    return SOAK_S


@pytest.fixture
def journal(capsys: pytest.CaptureFixture[str]) -> Iterator[Journal]:
    """Said in any case: the seed, and how much was done. After a failure, pytest shows the last operations, too."""
    journal = Journal(int(os.environ.get("SOAK_SEED", random.randrange(10**6))))
    root = logging.getLogger()
    root.addHandler(journal.log)
    try:
        yield journal
    finally:
        root.removeHandler(journal.log)
        with capsys.disabled():
            print(f"\n{journal.summary}")
        print("the last operations:", *journal.last, sep="\n")
