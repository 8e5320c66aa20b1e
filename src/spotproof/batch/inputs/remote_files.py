"""Input files in object stores: listed, and read as seekable files by ranged requests."""

import functools
import io
from typing import Any, BinaryIO, cast

import obstore
from obstore.exceptions import BaseError

from spotproof.core.errors import InputError
from spotproof.storage.clients import open_clients
from spotproof.storage.remote import CONNECT_TIMEOUT, REQUEST_TIMEOUT

_READ_BYTES = 8 * 2**20  # one request; latency is paid once for so many bytes
SCHEMES = ("s3", "gs", "az", "abfs", "abfss")


def is_remote(uri: str) -> bool:
    """Whether `uri` is an object store's."""
    return uri.partition("://")[0] in SCHEMES and "://" in uri


def split_uri(uri: str) -> tuple[str, str]:
    """(`s3://bucket`, key)."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def list_objects(bucket_uri: str, prefix: str) -> list[tuple[str, int, str]]:
    """(key, size in bytes, etag) of everything below a prefix that ends at a slash. Raises `InputError`."""
    try:
        found: list[Any] = []
        for chunk in obstore.list(_client(bucket_uri), prefix or None):
            found.extend(chunk)
    except (BaseError, OSError, ValueError) as error:
        raise InputError(f"{bucket_uri}/{prefix}: cannot be listed: {_first_line(error)}") from error
    return [(one["path"], one["size"], one["e_tag"] or "") for one in found]


def look_up(uri: str) -> tuple[int, str] | None:
    """(size, etag) of one object; None if there is none. Raises `InputError`."""
    bucket_uri, key = split_uri(uri)
    try:
        found = obstore.head(_client(bucket_uri), key)
    except FileNotFoundError:
        return None
    except (BaseError, OSError, ValueError) as error:
        raise InputError(f"{uri}: cannot be read: {_first_line(error)}") from error
    return found["size"], found["e_tag"] or ""


def open_remote(uri: str, size: int) -> BinaryIO:
    """The object as a buffered, seekable file."""
    return cast(BinaryIO, io.BufferedReader(_Ranges(uri, size), _READ_BYTES))


class _Ranges(io.RawIOBase):
    """Reads of an object as ranged requests; the client tries again where the network fails."""

    def __init__(self, uri: str, size: int) -> None:
        bucket_uri, self._key = split_uri(uri)
        self._client = _client(bucket_uri)
        self._uri = uri
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        try:
            data = obstore.get_range(self._client, self._key, start=self._at, length=length).to_bytes()
        except (BaseError, OSError, ValueError) as error:
            raise InputError(f"{self._uri}: cannot be read at byte {self._at}: {_first_line(error)}") from error
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@functools.lru_cache(maxsize=16)
def _client(bucket_uri: str) -> Any:
    # Kept: a client holds connections and credentials, and a job may read a hundred thousand files of one bucket.
    return open_clients(bucket_uri, {}, None, REQUEST_TIMEOUT, CONNECT_TIMEOUT).patient


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
