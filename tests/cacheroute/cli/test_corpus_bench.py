from pathlib import Path

import pytest

from cacheroute.bench.corpus import Skipped
from cacheroute.bench.corpus_files import CORPUS
from cacheroute.cli.corpus_bench import show_corpus
from cacheroute.cli.invocation import Invocation
from cacheroute.cli.output import Output
from cacheroute.verbs import BY_NAME


def test_without_a_corpus_the_bench_is_skipped_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CORPUS, str(tmp_path / "absent"))
    result = show_corpus(Invocation(BY_NAME["bench"], None, Output(as_json=False)))
    assert isinstance(result, Skipped)
    assert "absent" in result.skipped
    assert capsys.readouterr().out == f"Skipped: {result.skipped}\n"
