from pathlib import Path

import pytest

from cacheroute.bench.corpus_files import CORPUS, DEBIAN, FILES, INSTALL, KEEP, corpus, is_of, questions, some_of
from cacheroute.config import load
from cacheroute.errors import BadRequest, NotFound


def test_without_a_corpus_it_is_said_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=INSTALL):
        corpus({}, tmp_path / "absent")
    with pytest.raises(NotFound, match="elsewhere"):
        corpus({CORPUS: str(tmp_path / "elsewhere")}, tmp_path)


def test_a_folder_of_ones_own_goes_before_the_packaged_one(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert corpus({}, tmp_path).folder == tmp_path
    chosen = corpus({CORPUS: str(tmp_path / "mine"), KEEP: "1", FILES: "7"}, tmp_path)
    assert (chosen.folder, chosen.keep, chosen.most_files) == (tmp_path / "mine", True, 7)
    with pytest.raises(BadRequest, match="many"):
        corpus({FILES: "many"}, tmp_path)


def test_what_the_bench_reads_from_the_environment_is_no_unknown_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    load(None, {CORPUS: str(tmp_path), KEEP: "1", FILES: "7"})


def test_there_are_forty_questions_and_eight_of_them_have_no_answer() -> None:
    asked = questions()
    assert len({each.question for each in asked}) == 40
    assert sum(not each.document for each in asked) == 8


@pytest.mark.skipif(not DEBIAN.is_dir(), reason=f"needs {DEBIAN}: {INSTALL}")
def test_each_question_is_about_a_file_that_there_is() -> None:
    assert [each.document for each in questions() if each.document and not (DEBIAN / each.document).is_file()] == []


def test_a_document_is_known_by_whole_parts_of_its_source() -> None:
    assert is_of("/usr/share/library/copy.rst.txt", "library/copy.rst.txt")
    assert is_of("library/copy.rst.txt", "library/copy.rst.txt")
    assert not is_of("/usr/share/mylibrary/copy.rst.txt", "library/copy.rst.txt")
    assert not is_of("/usr/share/library/copy.rst.txt", "")


def test_some_files_are_those_asked_about_and_others_from_all_over() -> None:
    paths = [Path(f"/docs/library/{number:03}.rst.txt") for number in range(100)]
    asked = [each for each in questions() if each.document][:2]
    named = [Path("/docs") / each.document for each in asked]
    some = some_of([*paths, *named], asked, 12)
    assert len(some) == 12
    assert some[-2:] == named
    assert [path.name[:3] for path in some[:-2]] == [f"{number:03}" for number in range(0, 100, 10)]
    assert some_of([*paths, *named], asked, 1) == named
    assert some_of(paths, asked, 1000) == paths
