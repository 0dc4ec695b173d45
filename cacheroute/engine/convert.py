"""A GGUF file made a Hugging Face directory in bf16: config, safetensors, tokenizer with its chat template.

transformers does the work, in a process of its own, so that whoever prepares a model neither imports torch nor
keeps a dequantised copy in memory. `python -m cacheroute.engine.convert GGUF DIRECTORY` names each step that it
begins on a line of stdout.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cacheroute.errors import ConfigError

STEPS = ("starting transformers", "reading the tokenizer", "dequantising the weights", "writing safetensors")

Step = Callable[[str, int, int], None]
"""Told (what begins, steps done, steps in all)."""


def convert_in_child(gguf: Path, directory: Path, step: Step) -> None:
    """Writes the converted model into `directory`. Raises ConfigError with the last that the process said."""
    quiet = {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    last = "it said nothing"
    with subprocess.Popen(
        [sys.executable, "-m", __name__, str(gguf), str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **quiet},
        text=True,
    ) as child:
        assert child.stdout is not None
        step(STEPS[0], 0, len(STEPS))
        for line in child.stdout:
            said = line.strip()
            if said in STEPS:
                step(said, STEPS.index(said), len(STEPS))
            last = said or last
    if child.returncode:
        raise ConfigError([f"{gguf} cannot be converted: {last}"])
    step(STEPS[-1], len(STEPS), len(STEPS))


def convert(gguf: Path, directory: Path, begin: Callable[[str], None]) -> None:
    """The conversion itself, in this process: seconds to import, twice the model's size in memory."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    begin(STEPS[1])
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    begin(STEPS[2])
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    vars(model.config).pop("quantization_config", None)  # the weights are plain from here on
    begin(STEPS[3])
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def _say(name: str) -> None:
    sys.stdout.write(name + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]), _say)
