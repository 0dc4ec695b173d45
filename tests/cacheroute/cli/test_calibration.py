import pytest

from cacheroute.cli.calibration import MAX_BYTES, read_questions
from cacheroute.errors import BadRequest
from cacheroute.wire.retrieval import Labelled


def test_questions_are_read_a_line_each_and_null_is_no_answer(tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text('{"question": "a?", "document": "a.md", "phrase": "b"}\n\n{"question": "c?", "document": null}\n')
    assert read_questions(file) == (
        Labelled(question="a?", document="a.md", phrase="b"),
        Labelled(question="c?"),
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"question": "a?"}\n{"quest', "line 2"),
        (b'["a?"]', "line 1"),
        (b'{"question": 5}', "line 1"),
        (b'{"question": "a?", "answer": "b"}', "answer"),
        (b"\xff\xfe", "line 1"),
        (b"\n \n", "no questions"),
        (b" " * (MAX_BYTES + 1), "more than"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path, content, says):
    file = tmp_path / "q.jsonl"
    file.write_bytes(content)
    with pytest.raises(BadRequest, match=says):
        read_questions(file)
