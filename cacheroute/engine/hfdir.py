"""What a Hugging Face directory must hold to be served, all that is missing named at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from cacheroute.errors import ConfigError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")


class HfFiles(msgspec.Struct, frozen=True):
    """The parts of a directory that decide what a token id means and what KV it makes."""

    path: Path
    weights: tuple[Path, ...]
    tokenizer: tuple[Path, ...]
    template: str


def inspect(path: Path) -> HfFiles:
    """Looks at the directory without loading anything. Raises ConfigError with every problem."""
    problems: list[str] = []
    config = _json(path / "config.json", problems.append, required=True)
    if config and "model_type" not in config:
        problems.append("config.json names no model_type")
    if config and "quantization_config" in config:
        problems.append("config.json has a quantization_config: the embedded engine serves plain bf16 weights")
    weights = _weights(path, problems.append)
    tokenizer = tuple(path / name for name in TOKENIZER_FILES if (path / name).is_file())
    if not any(file.name != "tokenizer_config.json" for file in tokenizer):
        problems.append("there is no tokenizer (tokenizer.json or tokenizer.model)")
    template = _template(path, problems.append)
    if problems:
        raise ConfigError([f"model {path}: {problem}" for problem in problems])
    return HfFiles(path, weights, tokenizer, template)


def _weights(path: Path, problem: Callable[[str], None]) -> tuple[Path, ...]:
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        single = path / "model.safetensors"
        if not single.is_file():
            problem("there are no weights (model.safetensors, or its index and parts; pickled .bin is not read)")
        return (single,)
    shards = sorted({path / name for name in _json(index, problem, required=True).get("weight_map", {}).values()})
    for shard in shards:
        if not shard.is_file():
            problem(f"the part {shard.name} of the weights is missing")
    if not shards:
        problem(f"{index.name} names no parts")
    return tuple(shards)


def _template(path: Path, problem: Callable[[str], None]) -> str:
    jinja = path / "chat_template.jinja"
    if jinja.is_file():
        return jinja.read_text()
    template = _json(path / "tokenizer_config.json", problem, required=False).get("chat_template")
    if isinstance(template, str):
        return template
    problem("there is no chat template (chat_template.jinja, or chat_template in tokenizer_config.json)")
    return ""


def _json(path: Path, problem: Callable[[str], None], *, required: bool) -> dict[str, Any]:
    if not path.is_file():
        if required:
            problem(f"{path.name} is missing")
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        problem(f"{path.name} is no JSON object: {error}")
        return {}
