"""From the paths that a user names to the input files: files, folders and globs, local and in object stores."""

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from spotproof.batch.inputs.remote_files import is_remote, list_objects, look_up, split_uri
from spotproof.batch.inputs.slices import InputFile
from spotproof.batch.job import Input
from spotproof.core.errors import InputError

_MAGIC = re.compile(r"[*?[]")
_Found = tuple[str, int, str]  # uri, size in bytes, version


def find_files(input: Input) -> list[InputFile]:
    """Every input file once, sorted by name. Raises `InputError` for a path without files or an unknown format."""
    found: dict[str, InputFile] = {}
    for path in input.paths:
        several = _is_several(path)
        matches = _find_remote(path) if is_remote(path) else _find_local(path)
        known = [one for one in matches if not several or input.format_of(one[0]) is not None]
        if not known:
            raise InputError(_nothing(path, matches))
        for uri, size, etag in known:
            if input.format_of(uri) is None:
                raise InputError(
                    f"{uri}: its name does not tell its format: set input.format to parquet, jsonl, csv or text"
                )
            found[uri] = InputFile(uri, size, etag, None)
    return [found[uri] for uri in sorted(found)]


def check_unchanged(file: InputFile) -> None:
    """Raise `InputError` if the file is not the one that was planned."""
    now = look_up(file.uri) if is_remote(file.uri) else _version(file.uri)
    if now is None:
        raise InputError(f"{file.uri}: was there when the job was planned, and is gone: put it back, or use a new root")
    if now != (file.size, file.etag):
        raise InputError(
            f"{file.uri}: has changed since the job was planned (was {file.size:,} bytes, is {now[0]:,}): "
            "undo the change, or use a new root"
        )


def _is_several(path: str) -> bool:
    return bool(_MAGIC.search(path)) or path.endswith("/") or (not is_remote(path) and Path(path).expanduser().is_dir())


def _find_local(path: str) -> list[_Found]:
    plain = str(Path(path.removeprefix("file://")).expanduser())
    if _MAGIC.search(plain) and not os.path.lexists(plain):
        names: Iterable[str] = glob.iglob(plain, recursive=True)  # noqa: PTH207 (Path.glob knows no absolute patterns)
    elif Path(plain).is_dir():
        names = (os.path.join(folder, name) for folder, _, inside in os.walk(plain) for name in inside)  # noqa: PTH118
    else:
        names = [plain]
    base = re.split(_MAGIC, plain)[0]
    found: list[_Found] = []
    for name in names:
        if not _is_hidden(name.removeprefix(base)) and (version := _version(name)) is not None:
            found.append((name, *version))
    return found


def _version(name: str) -> tuple[int, str] | None:
    """(size, version) of a local file; None for what is not there or no file."""
    try:
        stat = os.stat(name)  # noqa: PTH116 (a hundred thousand of them: Path doubles the time)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error
    return (stat.st_size, f"{stat.st_mtime_ns:x}-{stat.st_size:x}") if not os.path.isdir(name) else None  # noqa: PTH112


def _find_remote(path: str) -> list[_Found]:
    bucket_uri, key = split_uri(path)
    if not _MAGIC.search(key):
        single = look_up(path) if key and not key.endswith("/") else None
        if single is not None:
            return [(path, *single)]
        folder = f"{key.rstrip('/')}/" if key else ""
        return [
            (f"{bucket_uri}/{name}", size, etag)
            for name, size, etag in list_objects(bucket_uri, folder)
            if not _is_hidden(name.removeprefix(folder)) and name.startswith(folder)
        ]
    before = re.split(_MAGIC, key)[0]
    folder = before[: before.rfind("/") + 1]
    pattern = re.compile(_as_regex(key))
    return [
        (f"{bucket_uri}/{name}", size, etag)
        for name, size, etag in list_objects(bucket_uri, folder)
        if pattern.fullmatch(name) and not _is_hidden(name.removeprefix(before))
    ]


def _as_regex(pattern: str) -> str:
    """A glob as a regular expression: `*` within a name, `**/` over folders."""
    pieces: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            pieces.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            pieces.append(".*")
            at += 2
        elif pattern[at] == "[" and "]" in pattern[at + 2 :]:
            end = pattern.index("]", at + 2)
            inside = pattern[at + 1 : end].replace("\\", "\\\\")
            pieces.append(f"[{'^' + inside[1:] if inside[0] == '!' else inside}]")
            at = end + 1
        else:
            pieces.append({"*": "[^/]*", "?": "[^/]"}.get(pattern[at], re.escape(pattern[at])))
            at += 1
    return "".join(pieces)


def _is_hidden(name: str) -> bool:
    """Names by which tools mark what is not data: `_SUCCESS`, `.crc`, `.tmp/...`."""
    return any(piece.startswith((".", "_")) for piece in name.strip("/").split("/") if piece not in ("", ".", ".."))


def _nothing(path: str, matches: list[_Found]) -> str:
    if matches:
        return (
            f"{path}: none of the {len(matches)} files there has a name that tells its format "
            f"(such as {matches[0][0]}): set input.format to parquet, jsonl, csv or text"
        )
    return f"{path}: no input file is there: check input.path (relative paths start from the folder you run in)"
