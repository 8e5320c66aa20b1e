"""The store contract: what every place that can hold a root must promise.

The same suite (tests/integration/test_store_contract.py) runs over every implementation. A path is a plain
`/`-separated name below the store's own prefix, such as `parts/00012/000000004096.parquet`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ObjectInfo:
    """One listed object. `size` in bytes; `modified` in seconds since 1970 by the store's clock."""

    path: str
    size: int
    etag: str
    modified: float


@dataclass(frozen=True)
class Tail:
    """The last bytes of an object, and how large the whole of it is."""

    data: bytes
    size: int


class Store(Protocol):
    """Objects under one prefix. Thread-safe. Every method may raise `StorageUnavailable` or `StorageDenied`."""

    @property
    def uri(self) -> str:
        """Where this store lies, for people: `s3://bucket/prefix` or an absolute path."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether the objects are files of this machine."""
        ...

    def create(self, path: str, body: bytes) -> None:
        """Store `body` at `path`, all or nothing, only if the name is free; durable on return.

        One try, never retried inside. Raises `AlreadyExists` (nothing changed here, but an earlier lost try
        of one's own may be what exists; a 409 is said this way too), `OutcomeUnknown` (may or may not have
        happened). Use `create_once` unless these answers are handled.
        """
        ...

    def replace(self, path: str, body: bytes, etag: str | None) -> str:
        """Compare-and-swap: store `body` if the object's etag is still `etag` (None: if absent).

        Returns the new etag. Raises `Stale` (nothing changed), `OutcomeUnknown`.
        """
        ...

    def read(self, path: str) -> bytes:
        """The whole object. Raises `NotFound`."""
        ...

    def read_with_etag(self, path: str) -> tuple[bytes, str]:
        """The whole object and the etag to give to `replace`. Raises `NotFound`."""
        ...

    def read_tail(self, path: str, length: int) -> Tail:
        """The last `length` bytes (fewer if the object is shorter). Raises `NotFound`."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose path starts with `prefix` + "/", in no promised order; none if there are none."""
        ...

    def delete(self, path: str) -> None:
        """Remove the object; silent if it is not there."""
        ...
