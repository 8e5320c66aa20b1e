"""Batch GPU jobs on spot instances: an interruption costs seconds of work, never a row."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spotproof.batch.function import batch_function
    from spotproof.batch.job import Commit, Embed, Errors, Input, Job
    from spotproof.batch.result import Result
    from spotproof.core.errors import (
        ConfigError,
        FunctionError,
        InputError,
        Interrupted,
        JobChanged,
        RootDamaged,
        SpotproofError,
        StorageError,
        TooManyRefused,
        UnsafeStore,
    )
    from spotproof.engines.local.run import run

__all__ = [
    "Commit",
    "ConfigError",
    "Embed",
    "Errors",
    "FunctionError",
    "Input",
    "InputError",
    "Interrupted",
    "Job",
    "JobChanged",
    "Result",
    "RootDamaged",
    "SpotproofError",
    "StorageError",
    "TooManyRefused",
    "UnsafeStore",
    "batch_function",
    "run",
]

# Where each name lives. Imported when first asked for: a worker process, which passes through here, must not wait for
# what only the parent needs.
_HOMES = {
    "Commit": "batch.job",
    "ConfigError": "core.errors",
    "Embed": "batch.job",
    "Errors": "batch.job",
    "FunctionError": "core.errors",
    "Input": "batch.job",
    "InputError": "core.errors",
    "Interrupted": "core.errors",
    "Job": "batch.job",
    "JobChanged": "core.errors",
    "Result": "batch.result",
    "RootDamaged": "core.errors",
    "SpotproofError": "core.errors",
    "StorageError": "core.errors",
    "TooManyRefused": "core.errors",
    "UnsafeStore": "core.errors",
    "batch_function": "batch.function",
    "run": "engines.local.run",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'spotproof' has no attribute {name!r}")
    return getattr(importlib.import_module(f"spotproof.{home}"), name)


def __dir__() -> list[str]:
    return __all__
