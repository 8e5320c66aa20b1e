"""The floors, and what only some of them may do. See DESIGN.md section 2."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "src" / "spotproof"
FILES = sorted(SOURCE.rglob("*.py"))

_CLOCK_CALLS = {"time.time", "time.monotonic", "time.perf_counter", "time.sleep", "datetime.now", "datetime.utcnow"}
_MAY_TELL_TIME = ("core/", "engines/", "cli/")


def test_imports_go_down_only() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([program, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_time_chance_and_print_have_their_places(path: Path) -> None:
    name = path.relative_to(SOURCE).as_posix()
    tree = ast.parse(path.read_text())
    wrong: list[str] = []
    if not name.startswith(_MAY_TELL_TIME):
        wrong += [f"{line}: {call}() - take a Clock" for line, call in _calls(tree) if call in _CLOCK_CALLS]
        wrong += [f"{line}: import {what} - take a Clock" for line, what in _imports(tree) if what in _CLOCK_CALLS]
        wrong += [f"{line}: import {what} - no chance here" for line, what in _imports(tree) if what == "random"]
    if not name.startswith("cli/"):
        wrong += [f"{line}: print - only the command line prints" for line, call in _calls(tree) if call == "print"]
    assert not wrong, f"{name}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_heavy_libraries_are_loaded_where_they_are_used(path: Path) -> None:
    top = ast.parse(path.read_text()).body
    heavy = {"torch", "transformers", "sentence_transformers", "onnxruntime", "onnx", "boto3", "ray"}
    found = {what.split(".")[0] for node in top for _, what in _imports(ast.Module([node], [])) if _is_import(node)}
    assert not found & heavy or path.parent.name == "embedding", f"{path.name} imports {found & heavy} at load time"


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, (ast.Import, ast.ImportFrom))
