"""From a URI to the store behind it."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from spotproof.core.errors import ConfigError
from spotproof.storage.local import LocalStore
from spotproof.storage.store import Store

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_REMOTE = ("s3", "gs", "az", "abfs", "abfss")
_EXPECTED = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, abfs://..., file:///FOLDER or a folder"


def open_store(uri: str) -> Store:
    """The store at `uri`; nothing is read, written or asked yet. Raises `ConfigError` for any other kind of URI."""
    found = _SCHEME.match(uri)
    if found is None:
        return LocalStore(_plain_folder(uri))
    scheme = found[1].lower()
    if scheme == "file":
        return LocalStore(_file_folder(uri))
    if scheme in _REMOTE:
        # Imported here: a job in a folder need not load the object store library (and its credentials).
        from spotproof.storage.remote import ObjectStore

        return ObjectStore(uri)
    raise ConfigError(f"{uri!r}: no store is known by {scheme}:// ; give {_EXPECTED}")


def join_uri(uri: str, path: str) -> str:
    """`path` below `uri`, for people and for URIs alike: `join_uri("s3://b/p/", "x/y")` is `s3://b/p/x/y`."""
    return f"{uri.rstrip('/')}/{path.lstrip('/')}" if path.strip("/") else uri


def _plain_folder(uri: str) -> Path:
    # "s3:/bucket" or "s3:bucket" is a slip of the hand, not the wish for a folder of that name.
    slip = re.match(rf"({'|'.join((*_REMOTE, 'file'))}):", uri)
    if not uri.strip() or slip or "\0" in uri:
        raise ConfigError(f"{uri!r} is neither a URI nor a folder: give {_EXPECTED}")
    return Path(uri).expanduser()


def _file_folder(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ConfigError(f"{uri!r} does not name a folder of this machine: give file:///FOLDER (three slashes)")
    if parts.query or parts.fragment:
        raise ConfigError(f"{uri!r}: write ? and # in a file URI as %3F and %23, or give the plain folder")
    return Path(unquote(parts.path))
