import json
from pathlib import Path

import pytest

from cacheroute.engine.hfdir import inspect
from cacheroute.errors import ConfigError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    return tmp_path


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        inspect(path)
    return caught.value.problems


def test_a_whole_directory_is_known_by_its_parts(directory: Path) -> None:
    files = inspect(directory)
    assert [path.name for path in files.weights] == ["model.safetensors"]
    assert [path.name for path in files.tokenizer] == ["tokenizer.json", "tokenizer_config.json"]
    assert files.template == "{{ messages }}"


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    found = "\n".join(problems(tmp_path))
    assert all(word in found for word in ("config.json", "weights", "tokenizer", "chat template", str(tmp_path)))
    assert len(problems(tmp_path)) == 4


def test_a_missing_chat_template_is_named(directory: Path) -> None:
    (directory / "chat_template.jinja").unlink()
    assert len(problems(directory)) == 1
    assert "chat_template.jinja" in problems(directory)[0]


def test_a_chat_template_may_stand_in_the_tokenizers_config(directory: Path) -> None:
    (directory / "chat_template.jinja").unlink()
    (directory / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ other }}"}))
    assert inspect(directory).template == "{{ other }}"


def test_weights_in_parts_need_every_part(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "part-1.safetensors")
    index = {"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors", "c": "part-1.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "part-2.safetensors" in problems(directory)[0]
    (directory / "part-2.safetensors").write_bytes(b"more")
    assert [path.name for path in inspect(directory).weights] == ["part-1.safetensors", "part-2.safetensors"]


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_config_that_is_no_json_object_is_named(directory: Path, text: str) -> None:
    (directory / "config.json").write_text(text)
    assert "config.json" in problems(directory)[0]


def test_quantised_weights_are_refused(directory: Path) -> None:
    (directory / "config.json").write_text('{"model_type": "llama", "quantization_config": {}}')
    assert "quantization_config" in problems(directory)[0]


def test_pickled_weights_are_not_read(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    assert "pickled" in problems(directory)[0]
