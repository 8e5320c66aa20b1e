"""The public names: all there, each where it says, and none of them paid for before it is asked for."""

import importlib
import json
import subprocess
import sys

import pytest

import spotproof

# What takes long to import; a worker process passes through `import spotproof` each time it is started.
HEAVY = ("torch", "pyarrow", "numpy", "pydantic", "yaml", "rich", "typer", "sentence_transformers", "obstore")


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_names_are_sorted_and_there_once() -> None:
    assert spotproof.__all__ == sorted(set(spotproof.__all__))
    assert spotproof.__all__, "there are no public names"


@pytest.mark.parametrize("name", spotproof.__all__)
def test_every_name_is_the_object_of_its_module(name: str) -> None:
    found = getattr(spotproof, name)
    home = importlib.import_module(found.__module__)
    assert found is getattr(home, name)
    assert home.__name__.startswith("spotproof.")


def test_star_import_gives_exactly_the_public_names() -> None:
    given: dict[str, object] = {}
    exec("from spotproof import *", given)
    assert set(given) - {"__builtins__"} == set(spotproof.__all__)


def test_dir_lists_them_and_other_names_are_refused() -> None:
    assert dir(spotproof) == spotproof.__all__
    with pytest.raises(AttributeError, match="module 'spotproof' has no attribute 'Jobb'"):
        _ = spotproof.Jobb  # type: ignore[attr-defined]


def test_every_public_error_is_a_spotproof_error() -> None:
    found = [getattr(spotproof, name) for name in spotproof.__all__]
    errors = [one for one in found if isinstance(one, type) and issubclass(one, Exception)]
    assert len(errors) >= 8
    assert all(issubclass(error, spotproof.SpotproofError) for error in errors)


def test_import_loads_nothing_heavy() -> None:
    loaded = modules_after("import spotproof")
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)
    assert not [name for name in loaded if name.startswith(("spotproof.batch.", "spotproof.engines."))]


@pytest.mark.parametrize(
    ("name", "loads", "spares"),
    [
        ("Interrupted", "spotproof.core.errors", ("torch", "pyarrow", "pydantic")),
        ("batch_function", "spotproof.batch.function", ("torch", "pyarrow")),
        ("Job", "spotproof.batch.job", ("torch",)),
        ("run", "spotproof.engines.local.run", ("torch", "sentence_transformers")),
    ],
)
def test_a_name_loads_what_it_needs_when_it_is_asked_for(name: str, loads: str, spares: tuple[str, ...]) -> None:
    assert loads not in modules_after("import spotproof")
    loaded = modules_after(f"from spotproof import {name}")
    assert loads in loaded
    assert loaded.isdisjoint(spares), loaded & set(spares)
