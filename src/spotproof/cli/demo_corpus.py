"""A corpus that every Python carries: the docstrings of its standard library."""

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "lib2to3"}


@dataclass(frozen=True)
class Passage:
    """One docstring: where it stands (`name` is dotted, empty for the module itself) and its text."""

    module: str
    name: str
    text: str


def passages(minimum_length: int = 40) -> list[Passage]:
    """Docstrings of `minimum_length` characters or more, sorted by module and name; about 6,500. Takes seconds."""
    folder = Path(sysconfig.get_path("stdlib"))
    found: list[Passage] = []
    for path in folder.rglob("*.py"):
        inner = path.relative_to(folder)
        if not _SKIPPED.intersection(inner.parts):
            found += [one for one in _of_file(path, inner) if len(one.text) >= minimum_length]
    return sorted(found, key=lambda one: (one.module, one.name, one.text))


def _of_file(path: Path, inner: Path) -> Iterator[Passage]:
    module = ".".join(inner.with_suffix("").parts).removesuffix(".__init__")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old files hold escapes that today's parser frowns upon
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    yield from _of_node(tree, module, "")


def _of_node(node: ast.AST, module: str, name: str) -> Iterator[Passage]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text:
            yield Passage(module, name, text)
    for child in ast.iter_child_nodes(node):
        inner = getattr(child, "name", None) if isinstance(child, ast.stmt) else None
        yield from _of_node(child, module, f"{name}.{inner}".lstrip(".") if inner else name)
