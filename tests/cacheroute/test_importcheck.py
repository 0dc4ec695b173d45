import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest

from cacheroute.importcheck import PACKAGES, PINNED_TORCH, advice, check


def test_this_environment_passes() -> None:
    light = [name for name in PACKAGES if name not in ("torch", "transformers", "sentence_transformers", "accelerate")]
    assert check(light) == []


def test_a_missing_package_is_named_with_what_to_do() -> None:
    (finding,) = check(["no_such_package_here"])
    assert finding.fatal
    assert "no_such_package_here does not import" in finding.text
    assert "make setup" in finding.text


def test_every_broken_package_is_named_not_only_the_first() -> None:
    assert len(check(["no_such_one", "json", "no_such_other"])) == 2


def test_an_old_python_is_named_and_nothing_is_imported() -> None:
    (finding,) = check(["no_such_package_here"], version=(3, 9))
    assert finding.fatal
    assert "Python 3.9 is too old" in finding.text


def _torch(version: str, cuda: str | None) -> ModuleType:
    return cast(ModuleType, SimpleNamespace(__version__=version, version=SimpleNamespace(cuda=cuda)))


def test_a_cuda_build_of_torch_is_said_and_accepted() -> None:
    (finding,) = check(["torch"], load=lambda name: _torch(f"{PINNED_TORCH}+cu130", "13.0"))
    assert not finding.fatal
    assert "CUDA" in finding.text


def test_another_torch_is_refused() -> None:
    (finding,) = check(["torch"], load=lambda name: _torch("2.12.1+cpu", None))
    assert finding.fatal
    assert PINNED_TORCH in finding.text


@pytest.mark.parametrize(
    ("error", "what"),
    [
        ("libgomp.so.1: cannot open shared object file", "libgomp1"),
        ("/lib/libc.so.6: version `GLIBC_2.32' not found", "C library"),
        ("libcudart.so.13: cannot open shared object file", "download.pytorch.org/whl/cpu"),
        ("something nobody has seen before", "make clean"),
    ],
)
def test_known_errors_have_their_own_advice(error: str, what: str) -> None:
    assert what in advice(error)


def test_it_runs_where_only_the_standard_library_is() -> None:
    import ast

    import cacheroute.importcheck as module

    tree = ast.parse(Path(str(module.__file__)).read_text())
    imported = {
        (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else node.names[0].name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported <= sys.stdlib_module_names
