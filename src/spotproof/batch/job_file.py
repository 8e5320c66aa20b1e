"""From a job file, the environment and flags to a `Job`; later ones win. Every mistake is named with its place."""

import difflib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from spotproof.batch.job import Job
from spotproof.core.errors import ConfigError

PREFIX = "SPOTPROOF_"
# Given to workers and to the user's function; not settings.
_GIVEN = ("SPOTPROOF_JOB_ID", "SPOTPROOF_ATTEMPT", "SPOTPROOF_WORKER")


def load_job(path: Path, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Job:
    """The job of a YAML file, with `SPOTPROOF_*` variables and then flags put over it.

    `SPOTPROOF_COMMIT__SECONDS=5` and the flag `commit.seconds` both mean `commit: {seconds: 5}`. Raises `ConfigError`.
    """
    settings = _read(path)
    for name, value in sorted(environment.items()):
        if name.startswith(PREFIX) and name not in _GIVEN:
            _put(settings, name.removeprefix(PREFIX).lower().split("__"), _scalar(value))
    for name, value in flags.items():
        _put(settings, name.split("."), value)
    try:
        return Job.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(f"{path}:\n" + "\n".join(_explain(found) for found in error.errors())) from error


def parse_flag(text: str) -> tuple[str, Any]:
    """`commit.seconds=5` as ("commit.seconds", 5). Raises `ConfigError`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--set {text!r}: give KEY=VALUE, such as commit.seconds=5")
    return name.strip(), _scalar(value)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist: write one with `spotproof init {path}`") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} must hold settings as `key: value`; start from `spotproof init`")
    return {str(key): value for key, value in found.items()}


def _scalar(text: str) -> Any:
    """The value as YAML has it; what it takes for nothing (``), a mapping (`query: `) or a date stays a text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, date):
        return text
    is_meant = value is not None or text.strip() in ("null", "~")
    return value if is_meant and (not isinstance(value, dict) or text.lstrip().startswith("{")) else text


def _put(settings: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    *folders, last = keys
    at = settings
    for key in folders:
        inner = at.get(key)
        if not isinstance(inner, dict):
            inner = at[key] = {}
        at = inner
    at[last] = value


def _explain(found: Any) -> str:
    place = [str(one) for one in found["loc"] if isinstance(one, int) or not _is_type_tag(str(one))]
    shown = ".".join(place) or "the job"
    if found["type"] == "extra_forbidden":
        known = sorted(_keys_at(Job, place[:-1]))
        near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"  {shown}: there is no such setting; {hint}"
    if found["type"] == "missing":
        return f"  {shown}: is needed"
    message = str(found["msg"]).removeprefix("Value error, ")
    given = "" if isinstance(found["input"], dict) else f" (given: {found['input']!r})"
    return f"  {shown}: {message[:1].lower()}{message[1:]}{given}"


def _is_type_tag(piece: str) -> bool:
    # pydantic names the alternatives of a union inside the path, such as `workers.int` or `function.callable`.
    return piece in ("int", "str", "list[str]", "callable") or "[" in piece


def _keys_at(model: type[BaseModel], place: Sequence[str]) -> set[str]:
    for key in place:
        annotation = model.model_fields[key].annotation if key in model.model_fields else None
        inner = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        models = [kind for kind in inner if issubclass(kind, BaseModel)]
        if not models:
            return set()
        model = models[0]
    return set(model.model_fields)
