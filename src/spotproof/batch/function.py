"""The user's function: how it is named, found, built once per worker, and called with batches."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from spotproof.core.errors import ConfigError

T = TypeVar("T", bound=Callable[..., Any])

_OPTIONS = "__spotproof_options__"
MAIN_ALIAS = "__spotproof_main__"


@dataclass(frozen=True)
class FunctionOptions:
    """How a function wants its batches. `concurrency` counts batches in flight, for async functions only."""

    batch_rows: int = 1024
    batch_format: Literal["numpy", "pyarrow"] = "numpy"
    concurrency: int = 8


@overload
def batch_function(target: T) -> T: ...
@overload
def batch_function(
    *, batch_rows: int = 1024, batch_format: Literal["numpy", "pyarrow"] = "numpy", concurrency: int = 8
) -> Callable[[T], T]: ...
def batch_function(
    target: T | None = None,
    *,
    batch_rows: int = 1024,
    batch_format: Literal["numpy", "pyarrow"] = "numpy",
    concurrency: int = 8,
) -> T | Callable[[T], T]:
    """Say how a function or class wants its batches; the object itself is returned unchanged.

    A class is built once per worker, so a model loads once; its `__call__` is given the batches, and its `prepare`,
    if it has one, is called with each batch ahead of time in another thread. `batch_format` "numpy" gives a dict of
    arrays, "pyarrow" a RecordBatch; the same two (and dicts of lists) may be returned. One input row may give zero,
    one or many output rows: where the counts differ, return `origin` too, the batch row (0-based, never descending)
    of each output row. `concurrency` is how many batches of an async function are in flight.
    """
    if batch_rows < 1 or concurrency < 1:
        raise ConfigError("batch_function: batch_rows and concurrency must be 1 or more")
    if batch_format not in ("numpy", "pyarrow"):
        raise ConfigError(f"batch_function: batch_format is 'numpy' or 'pyarrow', not {batch_format!r}")
    options = FunctionOptions(batch_rows, batch_format, concurrency)

    def mark(function: T) -> T:
        setattr(function, _OPTIONS, options)
        return function

    return mark if target is None else mark(target)


def options_of(function: Callable[..., Any]) -> FunctionOptions:
    """What `batch_function` said of this function, or the defaults."""
    found = getattr(function, _OPTIONS, None)
    return found if isinstance(found, FunctionOptions) else FunctionOptions()


@dataclass(frozen=True)
class FunctionReference:
    """How another process finds the function. `script` is the file of a `__main__` that has no importable name."""

    module: str
    qualname: str
    script: str | None = None

    def __str__(self) -> str:
        return f"{Path(self.script).stem if self.script else self.module}:{self.qualname}"

    @classmethod
    def parse(cls, text: str) -> "FunctionReference":
        """From `module:name`, as job files have it."""
        module, colon, qualname = text.partition(":")
        if not colon or not module or not qualname:
            raise ConfigError(f"function: {text!r} is not of the form module:name, such as my_module:Embed")
        return cls(module, qualname)

    @classmethod
    def of(cls, function: str | Callable[..., Any]) -> "FunctionReference":
        """From what a user gave; a callable must be importable by name from a worker process."""
        if isinstance(function, str):
            return cls.parse(function)
        module, qualname = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
        # A method is bound to an object that only this process has.
        if not module or not qualname or "<" in qualname or inspect.ismethod(function):
            raise ConfigError(
                f"function: {function!r} has no name that a worker process can import; "
                "define a function or class at the top level of a module"
            )
        if module != "__main__":
            return cls(module, qualname)
        script = getattr(sys.modules["__main__"], "__file__", None)
        if script is None:
            raise ConfigError(
                f"function: {qualname} lives in an interactive session, which worker processes cannot import; "
                "put it in a file and import it from there"
            )
        return cls(module, qualname, str(Path(script).resolve()))

    def load(self) -> Callable[..., Any]:
        """The function or class itself. Raises `ConfigError` naming what is missing."""
        module = _load_script(self.script) if self.script else _import(self.module)
        found: Any = module
        for name in self.qualname.split("."):
            if not hasattr(found, name):
                raise ConfigError(f"function: {self.module} has no {self.qualname!r}")
            found = getattr(found, name)
        if not callable(found):
            raise ConfigError(f"function: {self} is not callable")
        return found

    def source_hash(self) -> str:
        """A hash of the function's source: a resume with an edited function would mix two functions' results."""
        function = self.load()
        try:
            source = inspect.getsource(function)
        except (OSError, TypeError):
            source = _source_of_class(function) or repr(self)
        return hashlib.sha256(source.encode()).hexdigest()[:32]


def _source_of_class(function: Callable[..., Any]) -> str | None:
    # An object that is called has no source of its own; what it does is in its class.
    try:
        return inspect.getsource(type(function))
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return repr((code.co_code, code.co_names)) if code is not None else None


def _import(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.split(".")[0] and error.name != name:
            raise ConfigError(f"function: importing {name} failed: {error}") from error
        raise ConfigError(
            f"function: there is no module {name!r} on the path; run from the folder that holds it, "
            "or put it beside the job file"
        ) from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"function: importing {name} failed: {type(error).__name__}: {error}") from error


def _load_script(path: str) -> types.ModuleType:
    # As multiprocessing's spawn does: the user's script is run under another name, so that its
    # `if __name__ == "__main__"` part does not start a second job.
    main = sys.modules["__main__"]
    if getattr(main, "__file__", None) and Path(str(main.__file__)).resolve() == Path(path):
        return main
    if MAIN_ALIAS in sys.modules:
        return sys.modules[MAIN_ALIAS]
    sys.path.insert(0, str(Path(path).parent))
    spec = importlib.util.spec_from_file_location(MAIN_ALIAS, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"function: {path} cannot be loaded as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MAIN_ALIAS] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[MAIN_ALIAS]
        raise ConfigError(
            f"function: running {path} failed: {type(error).__name__}: {error}; what starts the job "
            "belongs below `if __name__ == '__main__':`"
        ) from error
    return module
